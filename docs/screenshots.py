#!/usr/bin/env python3
"""Pictures of the page in a real browser, and what the browser complains of.

    docs/screenshots.py target/release/cpc-stream [FOLDER] [--streams 64] [--seconds 150] [--axe axe.min.js]

Starts a daemon with that many streams, files at the pace of microphones with whistles in noise, waits until normal is learnt and events
came, and takes pictures on a desk and on a phone, in light and dark, with many streams, an open event, and before any sound came. With
axe-core (npm install axe-core) it judges the page as screen readers meet it, contrast too. Then it walks over the page by the Tab key. Ends
with 1 where the console complained, anything was asked of another address, a rule of axe-core is broken, or what the keyboard reaches
shows no focus or has no name. Needs Chromium and Python, nothing more.
"""

import argparse
import base64
import json
import math
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import wave
from pathlib import Path

RATE = 16_000


def sound(path, seconds, seed):
    """Noise, and a whistle now and then."""
    rng = random.Random(seed)
    noise = [rng.gauss(0, 1) for _ in range(RATE)]
    loud = 10 ** rng.uniform(2.0, 2.7)
    samples = [loud * noise[(7919 * (i // RATE) + i) % RATE] for i in range(seconds * RATE)]
    at = rng.uniform(40, 70)
    while at < seconds - 2:
        tone = rng.uniform(800, 3500)
        for i in range(int(at * RATE), int((at + rng.uniform(0.3, 1.2)) * RATE)):
            samples[i] += 12 * loud * math.sin(2 * math.pi * tone * i / RATE)
        at += rng.uniform(20, 60)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(struct.pack(f"<{len(samples)}h", *(max(-32768, min(32767, int(x))) for x in samples)))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Browser:
    """Chromium, spoken to through a pipe by the protocol of its developer tools."""

    def __init__(self, folder):
        names = ["chromium", "chromium-browser", "google-chrome"]
        name = next((found for found in map(shutil.which, names) if found), None)
        if name is None:
            sys.exit("no Chromium is here: apt-get install chromium")
        (theirs_in, self.out), (self.inn, theirs_out) = os.pipe(), os.pipe()

        def pipes():
            # copies first: one of the two may be 3 or 4 already
            ends = [os.dup(theirs_in), os.dup(theirs_out)]
            ends = [os.dup2(end, 10 + i) for i, end in enumerate(ends)]
            for i, end in enumerate(ends):
                os.dup2(end, 3 + i)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
                 "--no-first-run", "--disable-background-networking", f"--user-data-dir={folder}"]
        self.process = subprocess.Popen([name, *flags, "about:blank"], preexec_fn=pipes, close_fds=False,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.rest, self.number, self.complaints, self.asked, self.loaded = b"", 0, [], set(), False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def read(self):
        while b"\0" not in self.rest:
            more = os.read(self.inn, 1 << 20)
            if not more:
                raise RuntimeError("the browser is gone")
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(message)
        kind, about = message.get("method"), message.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.complaints.append(str(about["exceptionDetails"]))
        elif kind == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(about["args"]))
        elif kind == "Log.entryAdded":
            self.complaints.append(about["entry"]["text"])
        elif kind == "Network.requestWillBeSent":
            self.asked.add(about["request"]["url"])
        elif kind == "Page.loadEventFired":
            self.loaded = True
        return message

    def look(self, url, width, height, dark, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.loaded = False
        self.call("Page.navigate", url=url)
        while not self.loaded:
            self.read()

    def do(self, script):
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def take(self, path):
        picture = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(picture))
        wide = self.do("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        print(f"{path}: {path.stat().st_size // 1024} KiB" + (f", {wide} px too wide" if wide > 0 else ""))
        return wide <= 0

    def judge(self, axe, name):
        """What axe-core finds, by rule."""
        self.do(axe)
        found = self.do("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']}).then((r) => JSON.stringify("
                        "{passed: r.passes.length, broken: r.violations.map((v) => [v.id, v.impact, v.help,"
                        " v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary)])}))")
        found = json.loads(found)
        print(f"{name}: axe-core: {found['passed']} rules passed, {len(found['broken'])} broken")
        for rule in found["broken"]:
            print("complaint:", *rule)
        return not found["broken"]

    def walk(self, most=60):
        """Presses Tab until the focus comes round: what it reaches must have a name and show that it has the focus."""
        reached, good = [], True
        self.do("document.activeElement.blur(); window.reached = new Set(); 0")
        for _ in range(most):
            for kind in ["rawKeyDown", "keyUp"]:
                self.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
            at = self.do("(() => { const e = document.activeElement; if (!e || e === document.body || reached.has(e)) return null;"
                         " reached.add(e);"
                         " const s = getComputedStyle(e); const name = e.getAttribute('aria-label') || e.innerText ||"
                         " (e.labels && e.labels[0] && e.labels[0].innerText) || e.title || '';"
                         " const shown = s.outlineStyle !== 'none' && s.outlineWidth !== '0px' || s.boxShadow !== 'none';"
                         " return [e.tagName.toLowerCase(), e.id, name.trim().split(/\\s*\\n\\s*/).join(' ').slice(0, 40), shown]; })()")
            if at is None:
                break
            reached.append(at)
            if not at[2] or not at[3]:
                print("complaint: by keyboard:", at)
                good = False
        print(f"by keyboard: {len(reached)} places, the first {', '.join(place[2] for place in reached[:6])}")
        return good and len(reached) > 3

    def close(self):
        self.process.terminate()
        self.process.wait()


def daemon(program, home, port, sources, more=()):
    # some seconds of a budget that lets events through, and pictures of them
    command = [program, "--http", str(port), "--node", "kitchen-pi", "--events-per-hour", "6", "--state-dir", str(home / "state"),
               "--calibrate-seconds", "30", *more]
    for source in sources:
        command += ["--input", str(source)]
    environment = {**os.environ, "CPC_STREAM_SNAPSHOTS__SPECTROGRAM": "true"}
    log = open(home / "log", "ab")
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log, env=environment)


def events(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/events", timeout=20) as answer:
            return json.load(answer)["events"]
    except OSError:
        return []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("folder", nargs="?", default="target/screenshots")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=150)
    parser.add_argument("--axe", type=Path)
    args = parser.parse_args()
    out = Path(args.folder)
    out.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp())
    rooms = ["kitchen", "hall", "cellar", "attic", "garage", "workshop", "yard", "stable"]
    sounds = []
    for n in range(8):
        sounds.append(home / f"sound{n}.wav")
        sound(sounds[-1], args.seconds + 120, n)
    files = []
    for n in range(args.streams):
        files.append(home / f"{rooms[n % 8]}-{n // 8 + 1}.wav")
        os.link(sounds[n % 8], files[-1])
    port, idle_port = free_port(), free_port()
    running = daemon(args.program, home, port, files)
    (home / "idle").mkdir()
    idle = daemon(args.program, home / "idle", idle_port, ["-"])
    browser = Browser(home / "browser")
    fits = True
    try:
        began = time.time()
        while time.time() - began < args.seconds or not events(port):
            time.sleep(1)
            if running.poll() is not None:
                sys.exit((home / "log").read_text())
        page, alone = f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{idle_port}/"
        browser.look(alone, 1280, 900, False)
        time.sleep(3)
        fits &= browser.take(out / "idle.png")
        for name, width, height, dark in [("light", 1280, 1000, False), ("dark", 1280, 1000, True), ("phone", 390, 1400, False)]:
            browser.look(page, width, height, dark, phone=name == "phone")
            browser.do("new Promise((done) => setTimeout(done, 3000))")
            # the stream of the last event, of which the page has a look at some seconds
            browser.do("(() => { const name = document.querySelector('#events summary strong').textContent;"
                       " document.getElementById(`stream-${name}`).click(); })()")
            browser.do("new Promise((done) => setTimeout(done, 25000))")
            fits &= browser.take(out / f"{name}.png")
            if args.axe:
                fits &= browser.judge(args.axe.read_text(), name)
        fits &= browser.walk()
        browser.look(page, 1280, 1500, False)
        browser.do("new Promise((done) => { const look = () => document.querySelector('#events summary') ?"
                   " setTimeout(done, 4000) : setTimeout(look, 500); look(); })")
        browser.do("document.querySelector('#events summary').click()")
        browser.do("new Promise((done) => setTimeout(done, 3000))")
        fits &= browser.take(out / "event.png")
        browser.look(page, 390, 900, True, phone=True)
        browser.do("new Promise((done) => setTimeout(done, 4000))")
        browser.do("document.querySelector('#cal-title').scrollIntoView()")
        fits &= browser.take(out / "phone-normal.png")
        # how long the page itself works in a second with this many streams
        first = {m["name"]: m["value"] for m in metrics(browser)}
        browser.do("new Promise((done) => setTimeout(done, 10000))")
        last = {m["name"]: m["value"] for m in metrics(browser)}
        print(f"the page works {100 * (last['TaskDuration'] - first['TaskDuration']) / 10:.0f} ms a second,"
              f" {last['JSHeapUsedSize'] / 2 ** 20:.0f} MiB")
    finally:
        browser.close()
        for process in [running, idle]:
            process.kill()
            process.wait()
        shutil.rmtree(home, ignore_errors=True)
    ours = (f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{idle_port}/", "blob:", "data:", "about:")
    foreign = sorted(url for url in browser.asked if not url.startswith(ours))
    for line in browser.complaints + foreign:
        print("complaint:", line)
    sys.exit(0 if fits and not browser.complaints and not foreign else 1)


def metrics(browser):
    browser.call("Performance.enable")
    return browser.call("Performance.getMetrics")["metrics"]


if __name__ == "__main__":
    main()
