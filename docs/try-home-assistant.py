#!/usr/bin/env python3
"""A real Home Assistant against the daemon: what docs/home-assistant.md promises of it, a line for each thing that is so.

    docs/try-home-assistant.py target/release/cpc-stream [--hass hass] [--picture device.png]

`docs/try-home-assistant.sh` makes a Home Assistant first where there is none. Needs Mosquitto, and Chromium for the picture; all runs on
free ports of the loopback and in a folder of its own. Takes about 3 minutes, more where Home Assistant first installs what it needs, and
ends with 1 at the first thing that is not so.
"""

import argparse
import json
import math
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from home_assistant import BLUEPRINT, CLIENT, NODE, PAGE, Daemon, HomeAssistant, stop
from screenshots import Browser

# entities of a stream: name, unit, whether it is enabled from the start
KITCHEN = "kitchen_pi_kitchen"
OF_STREAM = [("event.{}_event", None, True), ("binary_sensor.{}_anomaly", None, True), ("sensor.{}_score", None, True),
             ("sensor.{}_level", "dBFS", True), ("sensor.{}_state", None, True), ("sensor.{}_novelty", None, False),
             ("sensor.{}_surprise", None, False), ("number.{}_budget", "events/h", True), ("switch.{}_mute", None, True),
             ("button.{}_recalibrate", None, True), ("sensor.{}_learning", "%", True), ("sensor.{}_watching_from", None, True),
             ("sensor.{}_events_today", "events", True), ("sensor.{}_events_yesterday", "events", True),
             ("image.{}_picture", None, True), ("button.{}_last_event_was_normal", None, True)]
(EVENT, ANOMALY, SCORE, LEVEL, STATE, NOVELTY, _, BUDGET, MUTE, RECALIBRATE, LEARNING, WATCHING_FROM, TODAY, YESTERDAY,
 PICTURE, WAS_NORMAL) = (
    name.format(KITCHEN) for name, *_ in OF_STREAM)
LOAD, OUTBOX, HALL_EVENT = "sensor.kitchen_pi_load", "sensor.kitchen_pi_outbox", "event.kitchen_pi_hall_event"
ALL = [(name.format(stream), *rest) for stream in [KITCHEN, "kitchen_pi_hall"] for name, *rest in OF_STREAM]
ALL += [(OUTBOX, "events", True), (LOAD, "%", True)]


def check(what, asked, seconds=60):
    """Waits until `asked` gives something true, which it returns; ends the script where that takes longer."""
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


def check_discovery(hass, daemon):
    """The device and its entities, and no other; gives the id of the device."""
    # the first time it installs what it needs
    check("Home Assistant answers", hass.responds, 900)
    check("it takes the broker", lambda: hass.set_up(daemon.broker_port), 1)
    print(f"        Home Assistant {hass.api('/api/config')['version']}")
    device = check("the device is there", hass.device)
    version = subprocess.run([daemon.program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    said = [device[key] for key in ["name", "manufacturer", "model", "sw_version"]]
    check(f"it is {said}", lambda: said == [NODE, "cpc-stream", "audio anomaly detector", version], 1)
    check(f"it links to the page, {PAGE}", lambda: device["configuration_url"] == PAGE, 1)
    check(f"{len(ALL)} entities, no other", lambda: set(hass.entities()) == {name for name, *_ in ALL})
    check("novelty and surprise are off, no other",
          lambda: all((hass.entities()[name]["disabled_by"] is None) == shown for name, _, shown in ALL))
    shown = [(name, unit) for name, unit, on in ALL if on and "hall" not in name]
    # the icon of a device class is of the browser's making
    check("each has an icon", lambda: all("icon" in hass.attributes(name) for name, _ in shown if name not in (ANOMALY, WATCHING_FROM)))
    check("units are right", lambda: all(hass.attributes(name).get("unit_of_measurement") == unit for name, unit in shown))
    return device["id"]


def check_blueprint(hass):
    """Home Assistant takes the blueprint, and has an automation of it."""
    blueprint = hass.ask("blueprint/list", domain="automation").get(BLUEPRINT, {})
    check(f"the blueprint is valid: {blueprint.get('metadata', blueprint).get('name')}", lambda: "metadata" in blueprint, 1)
    check("an automation uses it", lambda: hass.state("automation.of_the_blueprint") == "on")


def check_sensors(hass):
    """What the sensors show of a stream where nothing happens, and of one that gets no sound."""
    check("automations run", hass.is_running)
    check("the room is learnt", lambda: hass.state(STATE) == "watching", 120)
    for name in [SCORE, LEVEL, LOAD, OUTBOX]:
        check(f"{name} is a number", lambda name=name: math.isfinite(float(hass.state(name))))
    check("the hall, where nobody speaks, is unavailable", lambda: hass.state(HALL_EVENT) == "unavailable")
    check("no anomaly", lambda: hass.state(ANOMALY) == "off")


def check_event(hass, daemon):
    """A whistle, from its onset to the message of the automation; gives its event document."""
    daemon.microphone.whistles = True
    check("a whistle is an anomaly", lambda: hass.state(ANOMALY) == "on", 10)
    check("and an event", lambda: hass.attributes(EVENT)["event_type"] in ("new", "update"), 5)
    daemon.microphone.whistles = False
    check("it is over", lambda: hass.state(ANOMALY) == "off" and hass.attributes(EVENT)["event_type"] == "end")
    said = hass.attributes(EVENT)
    check(f"{said['onset']} to {said['offset']}, {said['band_hz']} Hz, {said['tier']}",
          lambda: said["band_hz"][0] <= 1900 <= said["band_hz"][1] and said["stream"] == "kitchen", 1)
    check(f"it says what it was: {said['summary']}", lambda: said["kind"] == "foreign" and said["summary"].startswith("foreign sound"), 1)
    check("the automation of the page spoke once", lambda: len(hass.notifications()) == 1, 10)
    check(f"that of the blueprint too: {hass.notifications('kitchen: foreign')}",
          lambda: len(hass.notifications("kitchen: foreign sound")) == 1, 10)
    check("its severity is at least the chosen one, 40",
          lambda: int(hass.notifications("kitchen: foreign sound")[0].rsplit(" ", 1)[1]) >= 40, 1)
    check("its picture is a PNG", lambda: hass.picture(PICTURE).startswith(b"\x89PNG"), 10)
    return said


def check_days(hass, daemon, said):
    """The counts of days follow the event and its label, which a sound that is alike has too."""
    def counts():
        return int(hass.state(TODAY)), hass.attributes(TODAY)["labels"]

    check("one event today", lambda: counts() == (1, {}) and hass.attributes(TODAY)["kinds"] == {"foreign": 1}, 10)
    about = hass.attributes(TODAY)
    check(f"a total of {about['date']}, since {about['last_reset']}",
          lambda: about["state_class"] == "total" and about["worst"]["id"] == said["id"] and about["analysed_s"] > 20, 1)
    check("an hour has it, and no verdict",
          lambda: sum(about["hours"]) == 1 and about["verdicts"] == {"normal": 0, "anomaly": 0, "none": 1}, 1)
    check("statistics are kept of it",
          lambda: TODAY in [statistic["statistic_id"] for statistic in hass.ask("recorder/list_statistic_ids")])
    check("none yesterday", lambda: hass.state(YESTERDAY) == "0", 1)
    hass.call("automation/trigger", "automation.each_morning")
    check("which the report of the page says", lambda: hass.notifications("yesterday") == ["0 events yesterday"], 10)
    check("the event gets a label over MQTT", lambda: daemon.give_label(said["id"], "whistle"), 1)
    check("which the day counts", lambda: counts() == (1, {"whistle": 1}), 10)
    daemon.microphone.whistles = True
    check("the same sound again", lambda: hass.state(ANOMALY) == "on", 10)
    daemon.microphone.whistles = False
    check("has the label at its end",
          lambda: hass.attributes(EVENT)["event_type"] == "end" and hass.attributes(EVENT)["label"] == "whistle")
    again = hass.attributes(EVENT)
    check(f"with similarity {again['similarity']}, heard {again['heard']} times",
          lambda: again["similarity"] >= 0.5 and again["heard"] == 2, 1)
    check("two events today, both with the label", lambda: counts() == (2, {"whistle": 2}), 10)


def check_commands(hass, daemon):
    """Budget, mute and recalibrate, and a sensor that somebody enables."""
    hass.call("number/set_value", BUDGET, value=7.5)
    check("a budget is set", lambda: daemon.setting("budget") == 7.5 == float(hass.state(BUDGET)))
    hass.call("switch/turn_on", MUTE)
    check("muted", lambda: 0 < daemon.setting("mute") <= 120 and hass.state(MUTE) == "on")
    at = hass.state(EVENT)
    daemon.microphone.whistle()
    time.sleep(3)
    check("a whistle is no event then", lambda: hass.state(EVENT) == at, 1)
    hass.call("switch/turn_off", MUTE)
    check("no longer muted", lambda: daemon.setting("mute") == 0 and hass.state(MUTE) == "off")
    hass.call("button/press", RECALIBRATE)
    check("normal is learnt anew", lambda: hass.state(STATE) in ("calibrating", "relearning"))
    check("of which a part is done, with a time for the rest",
          lambda: 0 <= float(hass.state(LEARNING)) < 100 and hass.state(WATCHING_FROM).startswith("20"))
    hass.ask("config/entity_registry/update", entity_id=NOVELTY, disabled_by=None)
    check("and known", lambda: hass.state(STATE) == "watching", 120)
    check("all of it", lambda: hass.state(LEARNING) == "100" and hass.state(WATCHING_FROM) == "unknown")
    check(f"{NOVELTY}, switched on, is a number", lambda: math.isfinite(float(hass.state(NOVELTY))), 120)


def check_interruptions(hass, daemon):
    """Microphone, daemon, broker and Home Assistant go away and come back."""
    kitchen = [name for name, _, shown in ALL if shown and "hall" not in name]

    def gone():
        return all(hass.state(name) == "unavailable" for name in kitchen)

    def back():
        return hass.is_running() and not any(hass.state(name) == "unavailable" for name in kitchen)

    def no_event(before):
        # the second after a gap is not judged, either
        time.sleep(3)
        check("which the automation takes for no event", lambda: len(hass.notifications()) == before, 1)

    before = len(hass.notifications())
    daemon.microphone.on = False
    check("no microphone: the room is unavailable, the node is not",
          lambda: hass.state(EVENT) == hass.state(MUTE) == hass.state(LEVEL) == "unavailable" != hass.state(LOAD))
    check("nor is the count of today", lambda: hass.state(TODAY) == "2", 1)
    daemon.microphone.on = True
    check("it is back", back)
    no_event(before)
    daemon.microphone.whistles = True
    check("an event begins", lambda: hass.attributes(EVENT)["event_type"] in ("new", "update") and hass.state(ANOMALY) == "on")
    before = len(hass.notifications())
    for what, how in [("killed in the middle of it", signal.SIGKILL), ("stopped", signal.SIGTERM)]:
        stop(daemon.process, how)
        check(f"{what}: all is unavailable", gone)
        daemon.microphone.whistles = False
        daemon.start()
        check("started again, it is back", back)
        no_event(before)
    stop(daemon.broker)
    check("no broker: all is unavailable", gone)
    daemon.start_broker()
    check("a broker that remembers nothing: it is back", back, 120)
    no_event(before)
    stop(hass.process)
    hass.start()
    check("Home Assistant restarts: it is back", back, 120)
    no_event(0)

    def received():
        daemon.microphone.whistle()
        time.sleep(3)
        return hass.attributes(EVENT)["event_type"] == "end" and hass.notifications()

    check("and receives events", received)


def check_verdict(hass, daemon):
    """The button by which an event was normal."""
    check("no verdict yet", lambda: hass.attributes(TODAY)["verdicts"]["normal"] == 0, 1)
    hass.call("button/press", WAS_NORMAL)
    check("the last event was normal", lambda: hass.attributes(TODAY)["verdicts"]["normal"] == 1, 10)
    check("which the detector knows", lambda: "was judged: Normal" in (daemon.folder / "log").read_text(), 10)
    at = hass.state(EVENT)
    daemon.microphone.whistle()
    time.sleep(3)
    check("such a sound is no event any more", lambda: hass.state(EVENT) == at, 1)


def check_removal(hass, daemon):
    """What is taken out of the configuration goes."""
    stop(daemon.process)
    daemon.start(streams=["kitchen"], commands=["mute"], pictures="false")
    stays = {name for name, *_ in ALL if "hall" not in name} - {BUDGET, RECALIBRATE, WAS_NORMAL, PICTURE}
    check("a room, pictures and three commands, taken out of the configuration, are out", lambda: set(hass.entities()) == stays)
    check("the others stay", lambda: hass.state(STATE) == "watching" and hass.state(MUTE) == "off")
    stop(daemon.process)
    daemon.start(streams=["kitchen"], enable="false")
    check("switched off: no entity, no device", lambda: not hass.entities() and not hass.device())
    check("and the broker keeps no word of it", lambda: daemon.retained(f"homeassistant/device/{NODE}/config") == "")


def take_picture(hass, device, path):
    """The page of the device, as a browser shows it."""
    browser = Browser(hass.folder / "browser")
    page = f"http://127.0.0.1:{hass.port}"
    token = {**hass.token, "hassUrl": page, "clientId": CLIENT, "expires": int(1000 * (time.time() + hass.token["expires_in"]))}
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
    daemon, hass = Daemon(args.program, folder), HomeAssistant(args.hass, folder / "home-assistant")
    try:
        device = check_discovery(hass, daemon)
        check_blueprint(hass)
        check_sensors(hass)
        check_days(hass, daemon, check_event(hass, daemon))
        check_commands(hass, daemon)
        if args.picture:
            take_picture(hass, device, args.picture)
        check_interruptions(hass, daemon)
        check_verdict(hass, daemon)
        doubts = [doubt for of in hass.ask("recorder/validate_statistics").values() for doubt in of]
        check_removal(hass, daemon)
        mine = [issue for issue in hass.ask("repairs/list_issues")["issues"] if issue["domain"] == "mqtt"]
        # the page takes the score out of the recorder
        complaints = hass.complaints() + mine + [doubt for doubt in doubts if doubt["type"] != "entity_not_recorded"]
        for complaint in complaints:
            print(complaint)
        check("Home Assistant complains of nothing", lambda: not complaints, 1)
    except BaseException:
        for log in [folder / "log", folder / "home-assistant" / "out"]:
            print(f"-- {log.name}", *log.read_text().splitlines()[-30:], sep="\n")
        raise
    finally:
        for process in [hass.process, daemon.process, daemon.broker]:
            stop(process)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
