#!/usr/bin/env python3
"""Load of a cluster on this machine: microphones that play a file at its own pace, one nats-server with JetStream, and workers.

    benches/cluster.py [--program target/release/cpc-stream] [--worker PROGRAM] [--mics 8,32,200] [--workers 1] [--via nats]
                       [--seconds 30] [--sound FILE] [--compress none] [--more 'precision = "int8"']
    benches/cluster.py --delay 300 [--program target/release/cpc-stream]
    benches/cluster.py --shares [--mics 12]

A row for each number of microphones: what JetStream stored a second, the processor time of server, microphones and workers in % of one
core, the memory of the server, and how far the streams are behind at the end. Without workers the server's part alone is measured.
`--more` are lines for [model] of the workers. Needs nats-server and Python 3.

`--delay` compares, for so many seconds, the delay of events by NATS JetStream and a worker with that by mosquitto and a daemon. Two
microphones read the same sound from pipes at the same time; a delay is the time from the capture of the last sample that an event was
decided by to a subscriber of the MQTT broker, which is the same one. Needs mosquitto and mosquitto_sub too.

`--shares` measures how long it takes until each worker has its fair share of the microphones: after a second and a third have joined, and
after one was stopped and another killed.
"""
import argparse
import json
import math
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import wave

TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def write_wav(path, seconds):
    noise = random.Random(7)
    samples = (0.02 * math.sin(2 * math.pi * 100 * i / 16000) + 0.01 * noise.uniform(-1, 1) for i in range(16000 * seconds))
    with wave.open(path, "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
        file.writeframes(b"".join(struct.pack("<h", int(32767 * x)) for x in samples))


def processor_s(processes):
    """Seconds of processor time of running processes so far."""
    total = 0
    for process in processes:
        with open(f"/proc/{process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def resident_mib(process):
    with open(f"/proc/{process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) / 1024


def microphone(options, mic, url, sound):
    coding = [] if options.compress == "none" else ["--compress", options.compress]
    return [options.program, "microphone", "--id", mic, "--broker", url, "--input", sound, *coding]


class Load:
    def __init__(self, options, folder):
        self.options, self.folder, self.running = options, folder, []
        self.port, self.mqtt, self.monitor = free_port(), free_port(), free_port()

    def start(self, command, **more):
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, **quiet, **more)
        self.running.append(process)
        return process

    def server(self):
        config = f"{self.folder}/nats.conf"
        with open(config, "w") as file:
            file.write(
                f'listen: "127.0.0.1:{self.port}"\nserver_name: "n1"\nhttp: "127.0.0.1:{self.monitor}"\n'
                f'jetstream {{ store_dir: "{self.folder}/store", max_memory_store: 2GB, max_file_store: 4GB }}\n'
                f'mqtt {{ listen: "127.0.0.1:{self.mqtt}" }}\n'
            )
        return self.start(["nats-server", "-c", config])

    def worker(self, number, mics):
        home = f"{self.folder}/w{number}"
        os.makedirs(home)
        with open(f"{home}/c.toml", "w") as file:
            file.write(f'node = "w{number}"\n[cluster]\nurl = "nats://127.0.0.1:{self.port}"\nmax_streams = 1000\n')
            file.write(f"[model]\n{self.options.more}\n[detect]\ncalibrate_seconds = 10.0\n")
            file.writelines(f'[[source]]\nmqtt = "{mic}"\n' for mic in mics)
        command = [self.options.worker, "--config", f"{home}/c.toml", "--state-dir", f"{home}/state"]
        return self.start(command, env={**os.environ, "HOME": home})

    def stored(self):
        """Messages and bytes that the stream of the sound has stored so far; none while it is not there."""
        url = f"http://127.0.0.1:{self.monitor}/jsz?streams=true"
        with urllib.request.urlopen(url, timeout=10) as answer:
            accounts = json.load(answer).get("account_details", [])
        for stream in (stream for account in accounts for stream in account.get("stream_detail", [])):
            if stream["name"] == "cluster-sound":
                return stream["state"]["last_seq"], stream["state"]["bytes"]
        return None

    def lags(self):
        """Seconds of sound that each stream is behind, by its worker."""
        config = f"{self.folder}/w1/c.toml"
        command = [self.options.worker, "cluster", "status", "--json", "--config", config]
        for _ in range(5):
            asked = subprocess.run(command, capture_output=True, timeout=60)
            if asked.returncode == 0:
                break
        else:
            print(f"no status: {asked.stderr.decode()}", file=sys.stderr)
            return []
        report = json.loads(asked.stdout)
        return sorted(line["lag_s"] for line in report["streams"].values() if line.get("lag_s") is not None)

    def make_stream(self):
        """A worker that is there for a moment makes the stream of the sound."""
        worker = self.worker(0, ["nobody"])
        wait("the stream of the sound", self.stored)
        worker.send_signal(signal.SIGTERM)
        worker.wait()
        self.running.remove(worker)

    def stop(self):
        for process in reversed(self.running):
            process.kill()
            process.wait()


def wait(what, done, limit_s=180):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if found := done():
                return found
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit(f"waited in vain for {what}")


def measure(options, count):
    with tempfile.TemporaryDirectory() as folder:
        load = Load(options, folder)
        try:
            server = load.server()
            load.make_stream()
            mics = [f"m{number}" for number in range(count)]
            workers = [load.worker(number + 1, mics) for number in range(options.workers)]
            url = f"nats://127.0.0.1:{load.port}" if options.via == "nats" else f"mqtt://127.0.0.1:{load.mqtt}"
            speak = lambda mic: microphone(options, mic, url, options.wav)
            speakers = [load.start(speak(mic)) for mic in mics]
            rate = lambda: load.stored()[0]
            before = rate()
            # all are there once they give what they should, nearly
            wait("the microphones", lambda: (time.sleep(2), rate() - before > 20 * count)[1])
            time.sleep(options.settle)
            parts = [[server], speakers, workers]
            begun, first, used = time.monotonic(), load.stored(), [processor_s(part) for part in parts]
            time.sleep(options.seconds)
            took, last = time.monotonic() - begun, load.stored()
            used = [100 * (processor_s(part) - was) / took for part, was in zip(parts, used)]
            alive = sum(speaker.poll() is None for speaker in speakers)
            lags = load.lags() if workers else []
            behind = f"{lags[len(lags) // 2]:.2f}, {lags[-1]:.2f} ({len(lags)})" if lags else "–"
            print(
                f"| {alive} | {(last[0] - first[0]) / took:.0f} | {(last[1] - first[1]) / took / 1e6:.2f} | {used[0]:.0f} | "
                f"{used[1]:.0f} | {used[2]:.0f} | {resident_mib(server):.0f} | {behind} |",
                flush=True,
            )
        finally:
            load.stop()


BLOCK = 320
"""Samples of a block that the microphones read, 20 ms."""


class Pump:
    """Room noise with a burst each three seconds or so, written to two microphones at the pace of time."""

    def __init__(self, speakers):
        self.speakers, self.random, self.captured, self.low = speakers, random.Random(7), [], 0.0
        self.burst = (30 * 16000, 0, 0.0)

    def block(self):
        samples = []
        for i in range(len(self.captured) * BLOCK, (len(self.captured) + 1) * BLOCK):
            self.low += 0.3 * (self.random.uniform(-0.5, 0.5) - self.low)
            x = 0.05 * self.low + 0.02 * math.sin(2 * math.pi * 100 * i / 16000)
            start, length, hz = self.burst
            if i >= start + length:
                start = max(start, i) + self.random.randrange(2 * 16000, 4 * 16000)
                self.burst = (start, self.random.randrange(3000, 12000), self.random.uniform(600, 4000))
            elif i >= start:
                x += 0.4 * math.sin(2 * math.pi * hz * i / 16000)
            samples.append(int(32000 * x))
        return struct.pack(f"<{BLOCK}h", *samples)

    def run(self, seconds):
        begun = time.monotonic()
        for number in range(int(seconds * 16000 / BLOCK)):
            block = self.block()
            time.sleep(max(0.0, begun + (number + 1) * BLOCK / 16000 - time.monotonic()))
            self.captured.append(time.time())
            # neither is always the first
            for speaker in self.speakers[:: -1 if number % 2 else 1]:
                speaker.stdin.write(block)
                speaker.stdin.flush()

    def when(self, second):
        """When the sample at this second of the stream was captured."""
        block = int(second * 16000) // BLOCK
        return self.captured[block] - ((block + 1) * BLOCK / 16000 - second)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def compare_delays(options):
    with tempfile.TemporaryDirectory() as folder:
        load = Load(options, folder)
        broker = free_port()
        try:
            load.server()
            with open(f"{folder}/mosquitto.conf", "w") as file:
                file.write(f"listener {broker} 127.0.0.1\nallow_anonymous true\n")
            load.start(["mosquitto", "-c", f"{folder}/mosquitto.conf"])
            load.make_stream()
            listen = ["mosquitto_sub", "-p", str(broker), "-v", "-t", "cpc-stream/+/porch/event", "-t", "cpc-stream/+/porch/availability"]
            wait("the broker", lambda: socket.create_connection(("127.0.0.1", broker)).close() or True)
            subscriber = subprocess.Popen(listen, stdout=subprocess.PIPE, text=True)
            load.running.append(subscriber)
            lines = []
            note = lambda: [lines.append((time.time(), line)) for line in subscriber.stdout]
            threading.Thread(target=note, daemon=True).start()

            publish = f'[publish]\nbroker = "mqtt://127.0.0.1:{broker}"\n'
            detect = "[detect]\ncalibrate_seconds = 20.0\nevents_per_hour = 100.0\nrepeat_after_s = 0.0\n"
            source = '[[source]]\nmqtt = "porch"\n'
            cluster = f'[cluster]\nurl = "nats://127.0.0.1:{load.port}"\n'
            daemons = {"plain": "", "w1": cluster}
            for node, more in daemons.items():
                home = f"{folder}/{node}"
                os.makedirs(home)
                with open(f"{home}/c.toml", "w") as file:
                    file.write(f'node = "{node}"\n{more}{publish}{detect}{source}')
                command = [options.worker, "--config", f"{home}/c.toml", "--state-dir", f"{home}/state"]
                load.start(command, env={**os.environ, "HOME": home})
            wait("the daemon", lambda: any("cpc-stream/plain/porch/availability" in line for _, line in lines))
            status = [options.worker, "cluster", "status", "--json", "--config", f"{folder}/w1/c.toml"]
            asked = lambda: subprocess.run(status, capture_output=True, timeout=60).stdout or "{}"
            wait("the worker", lambda: json.loads(asked()).get("streams", {}).get("porch", {}).get("owner"))
            time.sleep(3)

            urls = [f"mqtt://127.0.0.1:{broker}", f"nats://127.0.0.1:{load.port}"]
            quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            speakers = [subprocess.Popen(microphone(options, "porch", url, "-"), **quiet) for url in urls]
            load.running += speakers
            time.sleep(3)
            pump = Pump(speakers)
            pump.run(options.delay)
            time.sleep(2)
            report_delays(pump, lines)
        finally:
            load.stop()


def report_delays(pump, lines):
    delays = {"plain": {}, "cluster": {}}
    for came, line in lines:
        topic, _, payload = line.partition(" ")
        if not topic.endswith("/event"):
            continue
        event = json.loads(payload)
        if event.get("phase") == "new":
            delays[topic.split("/")[1]][event["onset_sample"], event["emitted_s"]] = 1000 * (came - pump.when(event["emitted_s"]))
    both = sorted(delays["plain"].keys() & delays["cluster"].keys())
    if not both:
        sys.exit(f"no event came by both ways: {[len(found) for found in delays.values()]}")
    rows = {
        "MQTT: mosquitto, daemon": [delays["plain"][key] for key in both],
        "NATS JetStream, worker": [delays["cluster"][key] for key in both],
        "the second less the first, event by event": [delays["cluster"][key] - delays["plain"][key] for key in both],
    }
    print("| way | events | p50, ms | p99, ms | most, ms |\n| --- | --- | --- | --- | --- |")
    for way, values in rows.items():
        print(f"| {way} | {len(values)} | {percentile(values, 0.5):.1f} | {percentile(values, 0.99):.1f} | {max(values):.1f} |")
    alone = {way: len(found) - len(both) for way, found in delays.items()}
    print(f"by one way only: {alone}")


def measure_shares(options):
    count = int(options.mics.split(",")[0])
    mics = [f"m{number}" for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        load = Load(options, folder)
        status = [options.worker, "cluster", "status", "--json", "--config", f"{folder}/w1/c.toml"]

        def owners():
            report = json.loads(subprocess.run(status, capture_output=True, timeout=60).stdout or "{}")
            return [line.get("owner") for line in report.get("streams", {}).values()]

        def report(what, nodes, begun):
            fair = lambda: sorted(owners().count(node) for node in nodes) == sorted((count + i) // len(nodes) for i in range(len(nodes)))
            wait(what, fair)
            print(f"| {what} | {time.monotonic() - begun:.1f} |", flush=True)

        try:
            load.server()
            load.make_stream()
            for mic in mics:
                load.start(microphone(options, mic, f"nats://127.0.0.1:{load.port}", options.wav))
            print("| what | seconds |\n| --- | --- |")
            workers = []
            for number in range(1, 4):
                begun = time.monotonic()
                workers.append(load.worker(number, mics))
                report(f"worker {number} starts, until each has its share", [f"w{i + 1}" for i in range(number)], begun)
                time.sleep(15)
            begun = time.monotonic()
            workers[2].send_signal(signal.SIGTERM)
            workers[2].wait()
            print(f"| one is stopped, until it has ended | {time.monotonic() - begun:.1f} |")
            report("the same, until the others have its share", ["w1", "w2"], begun)
            time.sleep(5)
            begun = time.monotonic()
            workers[1].kill()
            report("one is killed, until the last one has all", ["w1"], begun)
        finally:
            load.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/cpc-stream")
    parser.add_argument("--worker", help="another program for the workers")
    parser.add_argument("--mics", default="8,32,200")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--via", choices=["nats", "mqtt"], default="nats")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--settle", type=float, default=20, help="seconds before the measurement: calibrations end")
    parser.add_argument("--sound", metavar="FILE", help="what the microphones play, a minute longer than all takes [default: hum and noise]")
    parser.add_argument("--compress", choices=["none", "flac"], default="none")
    parser.add_argument("--delay", type=float, metavar="SECONDS")
    parser.add_argument("--shares", action="store_true")
    parser.add_argument("--more", default="")
    options = parser.parse_args()
    options.program = os.path.abspath(options.program)
    options.worker = os.path.abspath(options.worker or options.program)
    if options.delay:
        return compare_delays(options)
    with tempfile.TemporaryDirectory() as folder:
        options.wav = os.path.abspath(options.sound or f"{folder}/room.wav")
        if not options.sound:
            write_wav(options.wav, int(options.seconds + options.settle) + 120)
        if options.shares:
            return measure_shares(options)
        print("| microphones | messages/s | MB/s stored | server, % of a core | microphones, % | workers, % | server, MiB | behind: p50, most (streams), s |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for count in options.mics.split(","):
            measure(options, int(count))


if __name__ == "__main__":
    main()
