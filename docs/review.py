#!/usr/bin/env python3
"""Pictures of the review of events in a real browser, and a walk through it by the keyboard.

    docs/review.py target/release/cpc-stream [FOLDER] [--axe axe.min.js]

Makes events on several days (the daemon hears whistles with its clock set back, tests/support/meddle.c), starts it with a token for operators,
and tries filters, the map by day and hour, links, verdicts and labels, reading out, enlarged pictures, clips, similar events and the mute in
Chromium. Ends with 1 where something is not as it should be.
"""

import argparse
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from screenshots import Browser, free_port

TOKEN = "operators-0123456789"
CODES = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "Enter": 13, "Escape": 27}


def whistles(seconds, quiet, number):
    samples, noise = [], 0.0
    for i in range(seconds * 16_000):
        t = i / 16_000
        noise += 0.3 * (((i * 2654435761 + 97 * number) % 65521) / 65521 - 0.5 - noise)
        since = (t - quiet) % 4
        tone = 0.4 * math.sin(2 * math.pi * (900 + 300 * number + 700 * since) * t) if t >= quiet and 1 < since < 1.6 else 0
        samples.append(int(32_000 * (0.05 * noise + 0.02 * math.sin(628.3 * t) + tone)))
    return struct.pack(f"<{len(samples)}h", *samples)


def start(program, home, port, back_s=0):
    control = home / "control"
    control.write_bytes(struct.pack("=qq", -back_s, 0))
    environment = {**os.environ, "CPC_STREAM_SNAPSHOTS__SPECTROGRAM": "true", "CPC_STREAM_SNAPSHOTS__CLIP": "true",
                   "CPC_STREAM_DETECT__REPEAT_AFTER_S": "0",
                   "CPC_STREAM_HTTP__OPERATOR_TOKEN_FILE": str(home / "operators")}
    if back_s:
        environment.update(LD_PRELOAD=str(home / "meddle.so"), MEDDLE=str(control))
    command = [program, "--input", "-", "--http", str(port), "--node", "kitchen-pi", "--events-per-hour", "60",
               "--calibrate-seconds", "12", "--state-dir", str(home / "state")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=open(home / "log", "ab"), env=environment)


def ask(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=20) as answer:
        return json.load(answer)


def refused(port, path, token=None):
    """The code with which a request is refused; None where it is answered."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/api/v1/{path}", headers=headers), timeout=20).read()
    except urllib.error.HTTPError as error:
        return error.code
    return None


def until(what, look, limit=60):
    by = time.time() + limit
    while not look():
        if time.time() > by:
            sys.exit(f"waited {limit} s for {what}")
        time.sleep(0.3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("folder", nargs="?", default="target/screenshots")
    parser.add_argument("--axe", type=Path)
    args = parser.parse_args()
    out, home = Path(args.folder), Path(tempfile.mkdtemp())
    out.mkdir(parents=True, exist_ok=True)
    (home / "operators").write_text(TOKEN + "\n")
    source = Path(__file__).parent.parent / "tests/support/meddle.c"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", home / "meddle.so", source, "-ldl"], check=True)
    for number, hours in enumerate([310, 288, 263, 215, 170, 99, 75, 51, 27, 3]):
        running = start(args.program, home, free_port(), 3600 * hours)
        running.communicate(whistles(20 + 6 * (number % 5), 14, number))
    port = free_port()
    running = start(args.program, home, port)
    browser, faults = Browser(home / "browser"), []

    def check(what, good):
        print(("ok: " if good else "fault: ") + what)
        if not good:
            faults.append(what)

    def press(key):
        for kind in ["keyDown", "keyUp"]:
            browser.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")
        pause(1)

    def pause(seconds):
        browser.do(f"new Promise((done) => setTimeout(done, {1000 * seconds}))")

    def listed():
        return browser.do("document.querySelectorAll('#events > li').length")

    def text(selector):
        return browser.do(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")

    def place(selector, x=0.5, y=0.5):
        found = browser.do(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{ block: 'center' }});"
                           " const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()")
        return {"x": found[0] + x * found[2], "y": found[1] + y * found[3]}

    def hover(selector, x=0.5, y=0.5):
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", **place(selector, x, y))
        pause(0.5)

    def click(selector, x=0.5, y=0.5):
        at = place(selector, x, y)
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"]:
            browser.call("Input.dispatchMouseEvent", type=kind, button="none" if kind == "mouseMoved" else "left", clickCount=1, **at)
        pause(1)

    def stroke(selector, *keys):
        if selector:
            browser.do(f"document.querySelector({json.dumps(selector)}).focus()")
        for key in keys:
            for kind in ["rawKeyDown", "keyUp"]:
                browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=CODES[key])
        pause(0.5)

    def judged(name, colours="light"):
        if args.axe:
            check(f"axe-core, {name}", browser.judge(args.axe.read_text(), colours))

    def looked_into(all_of):
        """What a person does with one event: read out, enlarge, listen, look for others like it; and the mute."""
        browser.look("about:blank", 1280, 1500, False)
        browser.look(f"{page}#token={TOKEN}", 1280, 1500, False)
        pause(2)
        # nothing comes now: what is drawn was there before the page
        colours = browser.do("(() => { const c = document.getElementById('spectrum'); const row = c.getContext('2d').getImageData(0, c.height >> 1, c.width, 1).data;"
                             " return new Set(Array.from({ length: c.width }, (_, x) => row.slice(4 * x, 4 * x + 3).join())).size; })()")
        check(f"the spectrogram of before is there when the page opens ({colours} colours)", colours > 10)
        hover("#strip .probe", 0.9, 0.5)
        check(f"the spectrogram is read out: {text('#strip .read')}", all(word in text("#strip .read") for word in [" s ", "Hz", "dB"]))
        stroke("#scores + .probe", "ArrowLeft", "ArrowLeft")
        spoken = browser.do("document.activeElement.getAttribute('aria-valuetext')")
        check(f"the scores are read out by keys: {spoken}", "score" in spoken and "threshold" not in spoken)
        browser.do("document.querySelector('#events summary').click()")
        until("the picture of the event", lambda: browser.do("Boolean(document.querySelector('.picture canvas'))"), 10)
        hover(".picture .probe", 0.4, 0.6)
        check(f"its picture is read out: {text('.picture .read')}", "Hz" in text(".picture .read") and text(".picture .read")[0] in "+−0")
        browser.take(out / "review-picture.png")
        click(".picture .probe")
        check("a click enlarges it", browser.do("document.getElementById('zoom').open"))
        stroke(None, "Home")
        whole = browser.do("document.activeElement.getAttribute('aria-valuemax')")
        for _ in range(3):
            press("+")
        stroke(None, "ArrowRight")
        close = browser.do("document.activeElement.getAttribute('aria-valuemax')")
        check(f"+ looks closer: up to {close} s, not {whole} s", float(close) < float(whole))
        check("the enlarged picture fits", browser.take(out / "review-zoom.png"))
        judged("enlarged")
        stroke(None, "Escape")
        check("Escape closes it", not browser.do("document.getElementById('zoom').open"))
        listened = browser.do("document.querySelector('#events details[open] dd:last-of-type').textContent")
        check("who may look may not listen", refused(port, f"events/{listened}/clip") == 403 and refused(port, f"events/{listened}/clip", TOKEN) is None)
        click(".listen")
        until("the sound of the clip", lambda: browser.do("document.querySelector('audio')?.currentTime > 0.2"), 10)
        check(f"an operator listens, and the log says so: {listened}", f"listens to the clip of event {listened}" in (home / "log").read_text())
        click(".more button")
        until("similar events", lambda: text(".similar p"), 10)
        links = browser.do("[...document.querySelectorAll('.similar a')].map((a) => a.hash)")
        check(f"similar events: {text('.similar p')}", len(links) > 0 and f"#event={listened}" not in links)
        judged("an event with its sound and similar ones")
        browser.take(out / "review-similar.png")
        click(".similar a")
        opened = browser.do("[...document.querySelectorAll('#events details[open] dd:last-of-type')].map((e) => e.textContent)")
        check("a similar event is opened by its link", opened == [links[0].split("=")[1]])
        stroke("#heat [tabindex='0']", "Home")
        first = browser.do("document.activeElement.getAttribute('aria-label')")
        stroke(None, "ArrowDown")
        second = browser.do("document.activeElement.getAttribute('aria-label')")
        stroke(None, "Enter")
        pause(1)
        check(f"keys go over the map from “{first}” to “{second}”: {listed()} listed", first != second and 0 < listed() < len(all_of))
        browser.do("document.getElementById('all').click(); document.getElementById('operate').open = true")
        pause(1)
        for button, word in [("#mute", "muted for 600 s"), ("#unmute", "")]:
            click(button)
            until("the answer", lambda: "stdin: " in text("#operate-said"), 10)
            check(f"{button}: {text('#operate-said')}", word in (home / "log").read_text())

    page = f"http://127.0.0.1:{port}/"
    try:
        until("the page", lambda: running.poll() is None and reachable(port))
        running.stdin.write(whistles(40, 14, 3))
        running.stdin.flush()
        until("events of this run", lambda: any(e["boot"] == ask(port, "overview")["health"]["boot"] for e in ask(port, "events")["events"]))
        time.sleep(6)
        all_of = ask(port, "events?limit=1000")["events"]
        days = {event["onset"][:10] for event in all_of}
        browser.look(f"{page}#token={TOKEN}", 1280, 1500, False)
        pause(4)
        check(f"{len(all_of)} events of {len(days)} days are kept, {listed()} are listed", listed() == min(100, len(all_of)) and len(days) > 5)
        check("the map shows them", browser.do("document.querySelectorAll('#heat rect:not(.heat-0)').length") > 5)
        check("the review fits", browser.take(out / "review.png"))
        if args.axe:
            check("axe-core, light", browser.judge(args.axe.read_text(), "light"))
        last = all_of[-1]["id"]
        browser.look("about:blank", 1280, 1500, True)
        browser.look(f"{page}#event={last}", 1280, 1500, True)
        pause(4)
        check("a link opens its event", browser.do("document.querySelector('#events details[open] dd:last-of-type').textContent") == last)
        check("dark fits", browser.take(out / "review-dark.png"))
        if args.axe:
            check("axe-core, dark", browser.judge(args.axe.read_text(), "dark"))
        browser.look("about:blank", 1280, 1500, False)
        browser.look(f"{page}#token={TOKEN}", 1280, 1500, False)
        pause(3)
        for key in "jna":
            press(key)
        verdicts = [event["verdict"] for event in ask(port, "events?limit=2")["events"]]
        check(f"by keys the first two are judged: {verdicts}", verdicts == ["normal", "anomaly"])
        press("u")
        press("l")
        browser.call("Input.insertText", text="kettle")
        browser.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        pause(1)
        named = ask(port, "events?label=kettle")["events"]
        check(f"a label is given by keys ({len(named)})", len(named) == 1)
        browser.take(out / "review-event.png")
        looked_into(all_of)
        running.stdin.write(whistles(16, 3, 3))
        running.stdin.flush()
        until("a sound that is known again", lambda: any(e["label_source"] == "similarity" for e in ask(port, "events?label=kettle")["events"]), 30)
        pause(3)
        check("the page says what it sounds like", browser.do("[...document.querySelectorAll('#events .kind')].some((it) => it.textContent === 'kettle?')"))
        for fold in ["labels-fold", "day-fold"]:
            browser.do(f"document.getElementById('{fold}').open = true")
        pause(2)
        check("the label is listed", browser.do("document.querySelector('#labels input')?.value") == "kettle")
        text = browser.do("document.getElementById('day-text').textContent")
        check(f"the day is summed up: {text}", "kettle" in text and "foreign" in text)
        check("its worst events are named", browser.do("document.querySelectorAll('#day-worst li').length") == 3)
        check("labels and day fit", browser.take(out / "review-labels.png"))
        if args.axe:
            check("axe-core, labels and day", browser.judge(args.axe.read_text(), "light"))
        browser.do("(() => { const f = document.getElementById('of-verdict'); f.value = 'anomaly';"
                   " f.dispatchEvent(new Event('change', { bubbles: true })); })()")
        pause(1)
        check(f"a filter narrows the list to {listed()}", listed() == 1)
        browser.do("document.getElementById('all').click()")
        browser.do("document.querySelector('#heat rect:not(.heat-0)').dispatchEvent(new Event('click', { bubbles: true }))")
        pause(1)
        check(f"an hour of the map holds {listed()}", 0 < listed() < len(all_of))
        browser.look("about:blank", 390, 1400, False, phone=True)
        browser.look(f"{page}", 390, 1400, False, phone=True)
        pause(3)
        browser.do("document.querySelector('#events-title').scrollIntoView()")
        check("a phone fits", browser.take(out / "review-phone.png"))
        if args.axe:
            check("axe-core, phone", browser.judge(args.axe.read_text(), "phone"))
    finally:
        browser.close()
        running.kill()
        running.wait()
        shutil.rmtree(home, ignore_errors=True)
    for line in browser.complaints:
        check(f"the browser says: {line}", False)
    sys.exit(1 if faults else 0)


def reachable(port):
    try:
        return bool(ask(port, "overview"))
    except OSError:
        return False


if __name__ == "__main__":
    main()
