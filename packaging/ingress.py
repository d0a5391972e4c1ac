#!/usr/bin/env python3
"""The page of the add-on as the side bar of Home Assistant shows it: in a frame, below a path of its own, through a proxy that takes that path off.

    unshare --net packaging/ingress.py target/release/cpc-stream

The add-on's run.sh starts the program with a microphone over TCP as its source; the proxy has the address of the Supervisor, 172.30.32.2, and
Chromium looks through it. Ends with 1 at the first thing that is not so. As root, in a network of its own, to which it gives these addresses.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "docs"))
from home_assistant import Microphone, run, stop  # noqa: E402
from screenshots import Browser  # noqa: E402

ADD_ON, SUPERVISOR, NEIGHBOUR, PORT = "172.30.33.7", "172.30.32.2", "172.30.33.9", 8099
PREFIX = "/api/hassio_ingress/4aT-kQ/"
OPERATOR = "0123456789abcdef"
OUTER = b"<!doctype html><title>Home Assistant</title><link rel=icon href=data:,><iframe src='" + PREFIX.encode() + \
    b"' style='width: 1200px; height: 900px'></iframe>"
# headers that belong to a connection, not to what is passed on
OWN = {"connection", "transfer-encoding", "content-length", "keep-alive", "accept-encoding", "content-encoding"}


class Proxy(BaseHTTPRequestHandler):
    """Core and Supervisor in one: the host is the browser's, the path below PREFIX goes on, answers go back as they come."""

    protocol_version = "HTTP/1.1"
    # pieces of answers by path
    pieces = {}

    def do_GET(self):
        if self.path == "/":
            return self.answer(200, {"Content-Type": "text/html"}, OUTER)
        if not self.path.startswith(PREFIX):
            return self.answer(404, {}, b"")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = http.client.HTTPConnection(ADD_ON, PORT, source_address=(SUPERVISOR, 0))
        headers = {key: value for key, value in self.headers.items() if key.lower() not in OWN}
        headers |= {"X-Ingress-Path": PREFIX.rstrip("/"), "X-Forwarded-For": f"192.168.1.20, {SUPERVISOR}"}
        upstream.request(self.command, "/" + self.path[len(PREFIX):], body or None, headers)
        with upstream.getresponse() as found:
            headers = {key: value for key, value in found.getheaders() if key.lower() not in OWN}
            if found.getheader("Content-Length"):
                return self.answer(found.status, headers, found.read())
            self.send_response(found.status)
            for key, value in [*headers.items(), ("Transfer-Encoding", "chunked")]:
                self.send_header(key, value)
            self.end_headers()
            try:
                while piece := found.read1(65536):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    path = self.path.split("?")[0]
                    self.pieces[path] = self.pieces.get(path, 0) + 1
                self.wfile.write(b"0\r\n\r\n")
            except (OSError, http.client.HTTPException):
                self.close_connection = True

    do_POST = do_GET

    def answer(self, code, headers, body):
        self.send_response(code)
        for key, value in [*headers.items(), ("Content-Length", len(body))]:
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def ask(path, source, **headers):
    """Code and text of the add-on's answer to who asks from this address."""
    connection = http.client.HTTPConnection(ADD_ON, PORT, timeout=20, source_address=(source, 0))
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError as error:
        return 0, str(error)
    finally:
        connection.close()


def check(what, asked, seconds=60):
    """Waits until it is so."""
    until = time.monotonic() + seconds
    while not (last := asked()):
        if time.monotonic() > until:
            sys.exit(f"FAILED: {what}: {last!r}")
        time.sleep(0.3)
    print(f"ok: {what}")
    return last


def look(browser, outer):
    """What the page shows in its frame."""
    inside = "document.querySelector('iframe').contentDocument"
    # the frame's policy keeps evaluation of texts out, not the developer tools
    text = lambda place: browser.do(f"{inside}?.querySelector('{place}')?.textContent ?? ''")  # noqa: E731
    browser.look(outer, 1280, 1000, False)
    check("the page loads and lists the stream", lambda: "hall" in text("#streams"))
    check("nobody asks for a token", lambda: browser.do(f"!{inside}.getElementById('ask').open"))
    check("its link is live", lambda: text("#link") == "live")
    live = PREFIX + "api/v1/live"
    check("scores arrive as they are computed", lambda: Proxy.pieces.get(live, 0) >= 20)
    check("it learns", lambda: "%" in text("#streams") + text("main"))
    fetch = "fetch('api/v1/overview', {headers: {Authorization: 'Bearer " + OPERATOR + "'}}).then((a) => a.json()).then((o) => o.review.allowed)"
    window = "document.querySelector('iframe').contentWindow"
    check("the operator token passes", lambda: browser.do(f"{window}.{fetch}") is True)
    foreign = sorted(url for url in browser.asked if not url.startswith((outer[:-1] + PREFIX, "data:", "blob:", "about:")) and url != outer)
    check(f"all {len(browser.asked) - 1} addresses that it asks are below {PREFIX}", lambda: not foreign or print(*foreign))
    check("the console is silent", lambda: not browser.complaints or print(*browser.complaints), 1)


def main():
    program = Path(sys.argv[1]).resolve()
    picture = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in [ADD_ON, SUPERVISOR, NEIGHBOUR]:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        home = Path(name)
        (home / "bin").mkdir()
        (home / "bin" / "cpc-stream").symlink_to(program)
        (home / "options.json").write_text(json.dumps({
            "sources": [{"id": "hall", "url": Microphone().url}], "events_per_hour": 1, "commands": [], "pictures": True,
            "operator_token": OPERATOR}))
        os.environ |= {"DATA": name, "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
        with open(home / "log", "wb") as log:
            add_on = run([str(HERE / "home-assistant" / "cpc-stream" / "run.sh")], log)
        server = ThreadingHTTPServer(("127.0.0.1", 8123), Proxy)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = None
        try:
            check("the add-on answers its health check", lambda: ask("/healthz", NEIGHBOUR)[0] == 200)
            check("a neighbour is asked for a token", lambda: ask("/api/v1/overview", NEIGHBOUR)[0] == 401, 1)
            check("though it names the Supervisor",
                  lambda: ask("/api/v1/overview", NEIGHBOUR, **{"X-Forwarded-For": SUPERVISOR, "X-Ingress-Path": PREFIX})[0] == 401, 1)
            check("the Supervisor is not", lambda: ask("/api/v1/overview", SUPERVISOR)[0] == 200, 1)
            browser = Browser(home / "browser")
            look(browser, "http://127.0.0.1:8123/")
            if picture:
                browser.take(picture)
        except BaseException:
            print(*(home / "log").read_text().splitlines()[-20:], sep="\n")
            raise
        finally:
            if browser:
                browser.close()
            stop(add_on)


if __name__ == "__main__":
    main()
