"""What docs/try-home-assistant.py runs: a real Home Assistant, and the daemon with its broker and a microphone."""

import array
import atexit
import json
import math
import random
import re
import shlex
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from screenshots import free_port

RATE = 16_000
NODE = "kitchen-pi"
PAGE = "http://kitchen-pi.lan:8099/"
BLUEPRINT = "cpc-stream/event.yaml"
# the client that signs in at Home Assistant is known by an address
CLIENT = "http://127.0.0.1/"
# what Home Assistant says of a broker that is away, as it should
AWAY = re.compile(r"mqtt\.client\] (Disconnected|Failed to connect|Error returned from MQTT server|Unable to)")


def run(command, log=subprocess.DEVNULL):
    """A process that ends with the script, whatever becomes of that."""
    process = subprocess.Popen(command, stdout=log, stderr=log)
    atexit.register(stop, process)
    return process


def stop(process, how=signal.SIGTERM):
    """Sends the signal, where the process runs, and waits for its end."""
    if process.poll() is None:
        process.send_signal(how)
        process.wait(60)


class Microphone(threading.Thread):
    """A source over TCP: noise, with a whistle of 1,900 Hz in it while `whistles` is set; it hangs up while `on` is not."""

    def __init__(self):
        super().__init__(daemon=True)
        rng = random.Random(1)
        noise = [rng.gauss(0, 150) for _ in range(10 * RATE)]
        self.quiet = array.array("h", map(int, noise)).tobytes()
        tone = 2 * math.pi * 1900 / RATE
        self.loud = array.array("h", (int(x + 6000 * math.sin(tone * i)) for i, x in enumerate(noise))).tobytes()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "tcp://{}:{}".format(*self.listener.getsockname())
        self.on, self.whistles = True, False
        self.start()

    def run(self):
        at, piece = 0, 2 * RATE // 50
        while True:
            try:
                with self.listener.accept()[0] as connection:
                    due = time.monotonic()
                    while self.on:
                        connection.sendall((self.loud if self.whistles else self.quiet)[at:at + piece])
                        at, due = (at + piece) % len(self.quiet), due + 0.02
                        time.sleep(max(0, due - time.monotonic()))
            except OSError:
                pass

    def whistle(self):
        """A short one."""
        self.whistles = True
        time.sleep(0.7)
        self.whistles = False


class Daemon:
    """The daemon and its broker, with two streams: the kitchen has a microphone, the hall is a listener to which nobody connects."""

    def __init__(self, program, folder):
        self.program, self.folder, self.broker_port, self.microphone = program, folder, free_port(), Microphone()
        # where it is noon: no day ends meanwhile
        self.zone = f"NOON{time.gmtime().tm_hour - 12:+d}"
        self.urls = {"kitchen": self.microphone.url, "hall": f"tcp-listen://127.0.0.1:{free_port()}"}
        self.start_broker()
        self.start()

    def start_broker(self):
        self.broker = run(["mosquitto", "-p", str(self.broker_port)])

    def start(self, streams=("kitchen", "hall"), commands=("ack-event", "budget", "mute", "recalibrate", "label"), enable="true",
              pictures="true"):
        """Starts the daemon with a configuration of these streams and commands, and with or without discovery and pictures."""
        sources = "".join(f"[[source]]\nid = '{stream}'\nurl = '{self.urls[stream]}'\n" for stream in streams)
        (self.folder / "c.toml").write_text(
            f"node = '{NODE}'\nstate_dir = '{self.folder}/state'\n{sources}"
            "[detect]\ncalibrate_seconds = 20\nevents_per_hour = 20\nrepeat_after_s = 0\n"
            f"[publish]\nbroker = 'mqtt://127.0.0.1:{self.broker_port}'\nhealth_s = 2\nday_s = 1\ncommands = {list(commands)}\n"
            f"[snapshots]\nspectrogram = true\npublish = {pictures}\n"
            f"[homeassistant]\nenable = {enable}\nmute_s = 120\npage_url = '{PAGE}'\n")
        with open(self.folder / "log", "ab") as log:
            self.process = run(["env", f"TZ={self.zone}", self.program, "--config", str(self.folder / "c.toml")], log)

    def retained(self, topic):
        """The message that the broker retains there, empty where it has none."""
        command = ["mosquitto_sub", "-p", str(self.broker_port), "-t", topic, "-C", "1", "-W", "2"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def give_label(self, event, label):
        """Sends the command `label` over MQTT; whether it is answered with ok."""
        request = json.dumps({"id": event, "label": label})
        command = ["mosquitto_rr", "-p", str(self.broker_port), "-t", f"cpc-stream/{NODE}/request/label",
                   "-e", f"cpc-stream/{NODE}/response/label", "-m", request, "-W", "10"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return json.loads(answer.stdout)["status"] == "ok"

    def setting(self, key):
        """The retained state `budget` or `mute` of the kitchen."""
        return float(self.retained(f"cpc-stream/{NODE}/kitchen/state/{key}"))


class HomeAssistant:
    """Home Assistant with the automations of docs/home-assistant.md, spoken to over HTTP and WebSocket as its own page does."""

    def __init__(self, command, folder):
        self.command, self.folder, self.port, self.token = shlex.split(command), folder, free_port(), None
        folder.mkdir()
        here = Path(__file__).parent
        page = (here / "home-assistant.md").read_text()
        found = re.findall(r"```yaml\n((?:triggers|use_blueprint):.*?)```", page, re.S)
        blueprint = folder / "blueprints" / "automation" / BLUEPRINT
        blueprint.parent.mkdir(parents=True)
        blueprint.write_text((here.parent / "config" / "home-assistant-blueprint.yaml").read_text())
        automations = [text.replace("notify.notify", "persistent_notification.create").splitlines() for text in found]
        (folder / "configuration.yaml").write_text(
            f"http: {{ server_host: 127.0.0.1, server_port: {self.port} }}\nfrontend:\nhistory:\nlogger: {{ default: warning }}\n"
            "recorder: { exclude: { entity_globs: [sensor.*_score] } }\n"
            "automation:\n" + "".join(f"  - alias: {name}\n" + "".join(f"    {line}\n" for line in lines)
                                      for name, lines in zip(["of the page", "of the blueprint", "each morning"], automations, strict=True)))
        self.start()

    def start(self):
        with open(self.folder / "out", "ab") as out:
            self.process = run([*self.command, "--config", str(self.folder)], out)

    def api(self, path, body=None, form=False):
        """The answer to a request, a POST where it has a body."""
        data = None if body is None else urllib.parse.urlencode(body).encode() if form else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        request.add_header("Content-Type", "application/x-www-form-urlencoded" if form else "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token['access_token']}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise OSError(f"{path}: {error} {error.read().decode()}") from error

    def ask(self, kind, **more):
        """The result of a command over the WebSocket, for what HTTP has no path for; None where it is refused."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection, connection.makefile("rb") as answers:
            connection.sendall(b"GET /api/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
            while answers.readline().strip():
                pass
            for said in [{"type": "auth", "access_token": self.token["access_token"]}, {"id": 1, "type": kind, **more}]:
                data = json.dumps(said).encode()
                connection.sendall(b"\x81\xfe" + struct.pack(">H", len(data)) + bytes(4) + data)
            while head := answers.read(2):
                form = {126: ">H", 127: ">Q"}.get(head[1])
                size = struct.unpack(form, answers.read(struct.calcsize(form)))[0] if form else head[1]
                data = answers.read(size)
                if head[0] & 15 == 1 and (answer := json.loads(data)).get("id") == 1:
                    return answer.get("result")
        raise OSError("Home Assistant hung up")

    def set_up(self, broker_port):
        """Makes the first user, gets its token and adds the broker; whether the broker is taken."""
        user = {"name": "x", "username": "x", "password": "x", "client_id": CLIENT, "language": "en"}
        code = self.api("/api/onboarding/users", user)["auth_code"]
        self.token = self.api("/auth/token", {"grant_type": "authorization_code", "code": code, "client_id": CLIENT}, form=True)
        for step in ["core_config", "analytics", "integration"]:
            self.api(f"/api/onboarding/{step}", {"client_id": CLIENT, "redirect_uri": CLIENT} if step == "integration" else {})
        # since 2026 a port of one's own is taken back after five minutes unless somebody confirms it
        self.ask("http/config/promote")
        flow = self.api("/api/config/config_entries/flow", {"handler": "mqtt"})
        form = {**as_proposed(flow["data_schema"]), "broker": "127.0.0.1", "port": broker_port}
        return self.api(f"/api/config/config_entries/flow/{flow['flow_id']}", form)["type"] == "create_entry"

    def responds(self):
        """Whether it is up so far that it answers HTTP."""
        if self.process.poll() is not None:
            raise SystemExit("FAILED  Home Assistant does not start")
        return self.api("/api/onboarding")

    def attributes(self, name):
        return self.api(f"/api/states/{name}")["attributes"]

    def state(self, name):
        return self.api(f"/api/states/{name}")["state"]

    def call(self, service, entity, **data):
        self.api(f"/api/services/{service}", {"entity_id": entity, **data})

    def is_running(self):
        return self.api("/api/config")["state"] == "RUNNING"

    def device(self):
        """The device of the node, if there is one."""
        return next((device for device in self.ask("config/device_registry/list") if device["name"] == NODE), None)

    def entities(self):
        """What the registry has of entities by MQTT, disabled ones too."""
        return {entity["entity_id"]: entity for entity in self.ask("config/entity_registry/list") if entity["platform"] == "mqtt"}

    def picture(self, name):
        """The bytes of an image entity, as its page gets them."""
        path = self.attributes(name)["entity_picture"]
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return answer.read()

    def notifications(self, about="the kitchen"):
        """What automations of docs/home-assistant.md have said with these words in it."""
        return [note["message"] for note in self.ask("persistent_notification/get") if about in note["message"]]

    def complaints(self):
        """Lines of its log that have to do with us, save those about a broker that is away."""
        bad = re.compile(r" (WARNING|ERROR|CRITICAL) .*(mqtt|kitchen|automation)")
        return [line for line in (self.folder / "out").read_text().splitlines() if bad.search(line) and not AWAY.search(line)]


def as_proposed(fields):
    """The answers to a form as somebody sends it who changes nothing: its layout differs between versions."""
    def one(field):
        if "schema" in field:
            return as_proposed(field["schema"])
        return field.get("default", field.get("selector", {}).get("select", {}).get("options", [False])[0])
    return {field["name"]: one(field) for field in fields if field.get("required")}
