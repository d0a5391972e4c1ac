#!/usr/bin/env python3
"""A real Home Assistant against the daemon: what docs/home-assistant.md promises of it, a line for each thing that is so.

    docs/try-home-assistant.py target/release/cpc-stream [--hass hass] [--picture device.png]

`docs/try-home-assistant.sh` makes a Home Assistant first where there is none. Needs Mosquitto, and Chromium for the picture; all runs on
free ports of the loopback and in a folder of its own. Takes about 4 minutes and ends with 1 at the first thing that is not so.
"""

import argparse
import array
import json
import math
import random
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from screenshots import Browser, free_port

RATE = 16_000
NODE, ROOM = "kitchen-pi", "kitchen_pi_kitchen"
URL = "http://127.0.0.1/"
# entity, unit, whether it is shown without asking
OF_STREAM = [("event.{}_event", None, True), ("binary_sensor.{}_anomaly", None, True), ("sensor.{}_score", None, True),
             ("sensor.{}_level", "dBFS", True), ("sensor.{}_state", None, True), ("sensor.{}_novelty", None, False),
             ("sensor.{}_surprise", None, False), ("number.{}_budget", "events/h", True), ("switch.{}_mute", None, True),
             ("button.{}_recalibrate", None, True), ("sensor.{}_learning", "%", True), ("sensor.{}_watching_from", None, True),
             ("sensor.{}_events_today", "events", True), ("sensor.{}_events_yesterday", "events", True)]
EVENT, ANOMALY, SCORE, LEVEL, STATE, NOVELTY, _, BUDGET, MUTE, PRESS, _, _, TODAY, YESTERDAY = (name.format(ROOM) for name, *_ in OF_STREAM)
LOAD, OUTBOX, HALL = "sensor.kitchen_pi_load", "sensor.kitchen_pi_outbox", "event.kitchen_pi_hall_event"
ALL = [(name.format(room), *rest) for room in [ROOM, "kitchen_pi_hall"] for name, *rest in OF_STREAM]
ALL += [(OUTBOX, "events", True), (LOAD, "%", True)]
# what Home Assistant says of a broker that is away, as it should
AWAY = re.compile(r"mqtt\.client\] (Disconnected|Failed to connect|Error returned from MQTT server|Unable to)")


def check(what, asked, seconds=60):
    """Waits until `asked` gives something true, which it returns."""
    began, last = time.time(), None
    while time.time() - began < seconds:
        try:
            if last := asked():
                print(f"ok      {what} ({time.time() - began:.1f} s)", flush=True)
                return last
        except (OSError, KeyError, ValueError) as error:
            last = repr(error)
        time.sleep(0.2)
    raise SystemExit(f"FAILED  {what}: not so within {seconds} s; last {last!r}")


def end(process, how=signal.SIGTERM):
    if process and process.poll() is None:
        process.send_signal(how)
        process.wait(60)


class Microphone(threading.Thread):
    """A room: noise, and a whistle while it is told to, given to whoever comes."""

    def __init__(self):
        super().__init__(daemon=True)
        rng = random.Random(1)
        noise = [rng.gauss(0, 150) for _ in range(10 * RATE)]
        self.quiet = array.array("h", map(int, noise)).tobytes()
        tone = 2 * math.pi * 1900 / RATE
        self.loud = array.array("h", (int(x + 6000 * math.sin(tone * i)) for i, x in enumerate(noise))).tobytes()
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = "tcp://{}:{}".format(*self.door.getsockname())
        self.on, self.whistles = True, False
        self.start()

    def run(self):
        at, piece = 0, 2 * RATE // 50
        while True:
            try:
                with self.door.accept()[0] as line:
                    due = time.monotonic()
                    while self.on:
                        line.sendall((self.loud if self.whistles else self.quiet)[at:at + piece])
                        at, due = (at + piece) % len(self.quiet), due + 0.02
                        time.sleep(max(0, due - time.monotonic()))
            except OSError:
                pass

    def whistle(self):
        self.whistles = True
        time.sleep(0.7)
        self.whistles = False


class Daemon:
    """The daemon with its broker, a room that it hears, and a hall where nobody speaks to it."""

    def __init__(self, program, folder):
        self.program, self.folder, self.port, self.room = program, folder, free_port(), Microphone()
        self.urls = {"kitchen": self.room.url, "hall": f"tcp-listen://127.0.0.1:{free_port()}"}
        self.broker = self.process = None
        self.start_broker()
        self.start()

    def start_broker(self):
        self.broker = subprocess.Popen(["mosquitto", "-p", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self, rooms=("kitchen", "hall"), commands=("budget", "mute", "recalibrate", "label"), enable="true"):
        sources = "".join(f"[[source]]\nid = '{room}'\nurl = '{self.urls[room]}'\n" for room in rooms)
        (self.folder / "c.toml").write_text(
            f"node = '{NODE}'\nstate_dir = '{self.folder}/state'\n{sources}[detect]\ncalibrate_seconds = 20\nevents_per_hour = 20\nrepeat_after_s = 0\n"
            f"[publish]\nbroker = 'mqtt://127.0.0.1:{self.port}'\nhealth_s = 2\nday_s = 1\ncommands = {list(commands)}\n"
            f"[homeassistant]\nenable = {enable}\nmute_s = 120\n")
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([self.program, "--config", str(self.folder / "c.toml")], stdout=log, stderr=log)

    def kept(self, topic):
        """What the broker keeps there."""
        command = ["mosquitto_sub", "-p", str(self.port), "-t", topic, "-C", "1", "-W", "2"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def give_label(self, event, label):
        request = json.dumps({"id": event, "label": label})
        command = ["mosquitto_rr", "-p", str(self.port), "-t", f"cpc-stream/{NODE}/request/label", "-e", f"cpc-stream/{NODE}/response/label",
                   "-m", request, "-W", "10"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return json.loads(answer.stdout)["status"] == "ok"

    def setting(self, key):
        return float(self.kept(f"cpc-stream/{NODE}/kitchen/state/{key}"))


class House:
    """Home Assistant, spoken to as its page does."""

    def __init__(self, command, folder):
        self.command, self.folder, self.port, self.token = shlex.split(command), folder, free_port(), None
        folder.mkdir()
        page = (Path(__file__).parent / "home-assistant.md").read_text()
        found = re.findall(r"```yaml\n(triggers:.*?)```", page, re.S)
        automations = [text.replace("notify.notify", "persistent_notification.create").splitlines() for text in found]
        (folder / "configuration.yaml").write_text(
            f"http: {{ server_host: 127.0.0.1, server_port: {self.port} }}\nfrontend:\nhistory:\nlogger: {{ default: warning }}\n"
            "recorder: { exclude: { entity_globs: [sensor.*_score] } }\n"
            "automation:\n" + "".join(f"  - alias: {name}\n" + "".join(f"    {line}\n" for line in lines)
                                      for name, lines in zip(["of the page", "each morning"], automations, strict=True)))
        self.start()

    def start(self):
        with open(self.folder / "out", "ab") as out:
            self.process = subprocess.Popen([*self.command, "--config", str(self.folder)], stdout=out, stderr=out)

    def api(self, path, body=None, form=False):
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
        """A command over the WebSocket, for what has no path."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as line, line.makefile("rb") as answers:
            line.sendall(b"GET /api/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
            while answers.readline().strip():
                pass
            for said in [{"type": "auth", "access_token": self.token["access_token"]}, {"id": 1, "type": kind, **more}]:
                data = json.dumps(said).encode()
                line.sendall(b"\x81\xfe" + struct.pack(">H", len(data)) + bytes(4) + data)
            while head := answers.read(2):
                form = {126: ">H", 127: ">Q"}.get(head[1])
                size = struct.unpack(form, answers.read(struct.calcsize(form)))[0] if form else head[1]
                data = answers.read(size)
                if head[0] & 15 == 1 and (answer := json.loads(data)).get("id") == 1:
                    return answer.get("result")
        raise OSError("Home Assistant hung up")

    def enter(self, broker_port):
        """The first user, its token, and the broker."""
        user = {"name": "x", "username": "x", "password": "x", "client_id": URL, "language": "en"}
        code = self.api("/api/onboarding/users", user)["auth_code"]
        self.token = self.api("/auth/token", {"grant_type": "authorization_code", "code": code, "client_id": URL}, form=True)
        for step in ["core_config", "analytics", "integration"]:
            self.api(f"/api/onboarding/{step}", {"client_id": URL, "redirect_uri": URL} if step == "integration" else {})
        # since 2026 a port of one's own is taken back after five minutes unless somebody confirms it
        self.ask("http/config/promote")
        flow = self.api("/api/config/config_entries/flow", {"handler": "mqtt"})
        form = {**as_proposed(flow["data_schema"]), "broker": "127.0.0.1", "port": broker_port}
        return self.api(f"/api/config/config_entries/flow/{flow['flow_id']}", form)["type"] == "create_entry"

    def answers(self):
        if self.process.poll() is not None:
            raise SystemExit("FAILED  Home Assistant does not start")
        return self.api("/api/onboarding")

    def about(self, name):
        return self.api(f"/api/states/{name}")["attributes"]

    def state(self, name):
        return self.api(f"/api/states/{name}")["state"]

    def call(self, service, entity, **data):
        self.api(f"/api/services/{service}", {"entity_id": entity, **data})

    def runs(self):
        return self.api("/api/config")["state"] == "RUNNING"

    def device(self):
        return next((device for device in self.ask("config/device_registry/list") if device["name"] == NODE), None)

    def entities(self):
        return {entity["entity_id"]: entity for entity in self.ask("config/entity_registry/list") if entity["platform"] == "mqtt"}

    def notes(self, about="the kitchen"):
        """What an automation of docs/home-assistant.md has said."""
        return [note["message"] for note in self.ask("persistent_notification/get") if about in note["message"]]

    def complaints(self):
        bad = re.compile(r" (WARNING|ERROR|CRITICAL) .*(mqtt|kitchen|automation)")
        return [line for line in (self.folder / "out").read_text().splitlines() if bad.search(line) and not AWAY.search(line)]


def as_proposed(fields):
    """A form as somebody sends it who changes nothing: its layout differs between versions."""
    def one(field):
        if "schema" in field:
            return as_proposed(field["schema"])
        return field.get("default", field.get("selector", {}).get("select", {}).get("options", [False])[0])
    return {field["name"]: one(field) for field in fields if field.get("required")}


def it_appears(house, daemon):
    # the first time it installs what it needs
    check("Home Assistant answers", house.answers, 900)
    check("it takes the broker", lambda: house.enter(daemon.port), 1)
    print(f"        Home Assistant {house.api('/api/config')['version']}")
    device = check("the device is there", house.device)
    version = subprocess.run([daemon.program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    said = [device[key] for key in ["name", "manufacturer", "model", "sw_version"]]
    check(f"it is {said}", lambda: said == [NODE, "cpc-stream", "audio anomaly detector", version], 1)
    check(f"{len(ALL)} entities, no other", lambda: set(house.entities()) == {name for name, *_ in ALL})
    check("novelty and surprise are off, no other",
          lambda: all((house.entities()[name]["disabled_by"] is None) == shown for name, _, shown in ALL))
    heard = [(name, unit) for name, unit, shown in ALL if shown and "hall" not in name]
    check("units are right", lambda: all(house.about(name).get("unit_of_measurement") == unit for name, unit in heard))
    return device["id"]


def it_is_used(house, daemon):
    check("automations run", house.runs)
    check("the room is learnt", lambda: house.state(STATE) == "watching", 120)
    for name in [SCORE, LEVEL, LOAD, OUTBOX]:
        check(f"{name} is a number", lambda name=name: math.isfinite(float(house.state(name))))
    check("the hall, where nobody speaks, is unavailable", lambda: house.state(HALL) == "unavailable")
    check("nothing is heard", lambda: house.state(ANOMALY) == "off")
    daemon.room.whistles = True
    check("a whistle is an anomaly", lambda: house.state(ANOMALY) == "on", 10)
    check("and an event", lambda: house.about(EVENT)["event_type"] in ("new", "update"), 5)
    daemon.room.whistles = False
    check("it is over", lambda: house.state(ANOMALY) == "off" and house.about(EVENT)["event_type"] == "end")
    said = house.about(EVENT)
    check(f"{said['onset']} to {said['offset']}, {said['band_hz']} Hz, {said['tier']}",
          lambda: said["band_hz"][0] <= 1900 <= said["band_hz"][1] and said["stream"] == "kitchen", 1)
    check(f"it says what it was: {said['summary']}", lambda: said["kind"] == "foreign" and said["summary"].startswith("foreign sound"), 1)
    check("the automation of the page spoke once", lambda: len(house.notes()) == 1, 10)

    def counts():
        return int(house.state(TODAY)), house.about(TODAY)["labels"]

    check("one event today", lambda: counts() == (1, {}) and house.about(TODAY)["kinds"] == {"foreign": 1}, 10)
    about = house.about(TODAY)
    check(f"a total of {about['date']}, since {about['last_reset']}",
          lambda: about["state_class"] == "total" and about["worst"]["id"] == said["id"] and about["analysed_s"] > 20, 1)
    check("none yesterday", lambda: house.state(YESTERDAY) == "0", 1)
    house.call("automation/trigger", "automation.each_morning")
    check("which the report of the page says", lambda: house.notes("yesterday") == ["0 events yesterday"], 10)
    check("the event gets a label over MQTT", lambda: daemon.give_label(said["id"], "whistle"), 1)
    check("which the day counts", lambda: counts() == (1, {"whistle": 1}), 10)
    daemon.room.whistles = True
    check("the same sound again", lambda: house.state(ANOMALY) == "on", 10)
    daemon.room.whistles = False
    check("has the label at its end", lambda: house.about(EVENT)["event_type"] == "end" and house.about(EVENT)["label"] == "whistle")
    again = house.about(EVENT)
    check(f"with similarity {again['similarity']}, heard {again['heard']} times", lambda: again["similarity"] >= 0.5 and again["heard"] == 2, 1)
    check("two events today, both with the label", lambda: counts() == (2, {"whistle": 2}), 10)

    house.call("number/set_value", BUDGET, value=7.5)
    check("a budget is set", lambda: daemon.setting("budget") == 7.5 == float(house.state(BUDGET)))
    house.call("switch/turn_on", MUTE)
    check("muted", lambda: 0 < daemon.setting("mute") <= 120 and house.state(MUTE) == "on")
    at = house.state(EVENT)
    daemon.room.whistle()
    time.sleep(3)
    check("a whistle is no event then", lambda: house.state(EVENT) == at, 1)
    house.call("switch/turn_off", MUTE)
    check("no longer muted", lambda: daemon.setting("mute") == 0 and house.state(MUTE) == "off")
    house.call("button/press", PRESS)
    check("normal is learnt anew", lambda: house.state(STATE) in ("calibrating", "relearning"))
    house.ask("config/entity_registry/update", entity_id=NOVELTY, disabled_by=None)
    check("and known", lambda: house.state(STATE) == "watching", 120)
    check(f"{NOVELTY}, switched on, is a number", lambda: math.isfinite(float(house.state(NOVELTY))), 120)


def it_goes_and_comes(house, daemon):
    kitchen = [name for name, _, shown in ALL if shown and "hall" not in name]

    def gone():
        return all(house.state(name) == "unavailable" for name in kitchen)

    def back():
        return house.runs() and not any(house.state(name) == "unavailable" for name in kitchen)

    def quiet(notes):
        # the second after a gap is not judged, either
        time.sleep(3)
        check("which the automation takes for no event", lambda: len(house.notes()) == notes, 1)

    notes = len(house.notes())
    daemon.room.on = False
    check("no microphone: the room is unavailable, the node is not",
          lambda: house.state(EVENT) == house.state(MUTE) == house.state(LEVEL) == "unavailable" != house.state(LOAD))
    check("nor is the count of today", lambda: house.state(TODAY) == "2", 1)
    daemon.room.on = True
    check("it is back", back)
    quiet(notes)
    daemon.room.whistles = True
    check("an event begins", lambda: house.about(EVENT)["event_type"] in ("new", "update") and house.state(ANOMALY) == "on")
    notes = len(house.notes())
    for what, how in [("killed in the middle of it", signal.SIGKILL), ("stopped", signal.SIGTERM)]:
        end(daemon.process, how)
        check(f"{what}: all is unavailable", gone)
        daemon.room.whistles = False
        daemon.start()
        check("started again, it is back", back)
        quiet(notes)
    end(daemon.broker)
    check("no broker: all is unavailable", gone)
    daemon.start_broker()
    check("a broker that remembers nothing: it is back", back, 120)
    quiet(notes)
    end(house.process)
    house.start()
    check("Home Assistant restarts: it is back", back, 120)
    quiet(0)

    def heard():
        daemon.room.whistle()
        time.sleep(3)
        return house.about(EVENT)["event_type"] == "end" and house.notes()

    check("and hears", heard)


def it_is_forgotten(house, daemon):
    end(daemon.process)
    daemon.start(rooms=["kitchen"], commands=["mute"])
    stays = {name for name, *_ in ALL if "hall" not in name} - {BUDGET, PRESS}
    check("a room and two commands, taken out of the configuration, are out", lambda: set(house.entities()) == stays)
    check("the others stay", lambda: house.state(STATE) == "watching" and house.state(MUTE) == "off")
    end(daemon.process)
    daemon.start(rooms=["kitchen"], enable="false")
    check("switched off: no entity, no device", lambda: not house.entities() and not house.device())
    check("and the broker keeps no word of it", lambda: daemon.kept(f"homeassistant/device/{NODE}/config") == "")


def take_picture(house, device, path):
    browser = Browser(house.folder / "browser")
    page = f"http://127.0.0.1:{house.port}"
    token = {**house.token, "hassUrl": page, "clientId": URL, "expires": int(1000 * (time.time() + house.token["expires_in"]))}
    try:
        browser.look(f"{page}/static/icons/favicon.ico", 1280, 1400, False)
        browser.do(f"localStorage.setItem('hassTokens', {json.dumps(json.dumps(token))})")
        browser.look(f"{page}/config/devices/device/{device}", 1280, 1400, False)
        browser.do("new Promise((done) => setTimeout(done, 20000))")
        browser.take(path)
    finally:
        browser.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--hass", default="hass", help="what starts Home Assistant")
    parser.add_argument("--picture", type=Path, help="where a picture of the device's page goes")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    daemon, house = Daemon(args.program, folder), House(args.hass, folder / "house")
    try:
        device = it_appears(house, daemon)
        it_is_used(house, daemon)
        if args.picture:
            take_picture(house, device, args.picture)
        it_goes_and_comes(house, daemon)
        doubts = [doubt for of in house.ask("recorder/validate_statistics").values() for doubt in of]
        it_is_forgotten(house, daemon)
        mine = [issue for issue in house.ask("repairs/list_issues")["issues"] if issue["domain"] == "mqtt"]
        # the page takes the score out of the recorder
        complaints = house.complaints() + mine + [doubt for doubt in doubts if doubt["type"] != "entity_not_recorded"]
        print(*complaints, sep="\n", end="")
        check("Home Assistant complains of nothing", lambda: not complaints, 1)
    except BaseException:
        for log in [folder / "log", folder / "house" / "out"]:
            print(f"-- {log.name}", *log.read_text().splitlines()[-30:], sep="\n")
        raise
    finally:
        for process in [house.process, daemon.process, daemon.broker]:
            end(process)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
