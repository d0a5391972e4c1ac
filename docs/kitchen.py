#!/usr/bin/env python3
"""Sound of a synthetic kitchen over TCP, in real time: noise and hum, a glass that breaks while they are learnt, and after 5 minutes a kettle, a pan and a timer.

    docs/kitchen.py [HOST:PORT] [SECONDS]      127.0.0.1:5599, 520 s; mono, 16 kHz, 16 bit

Stands in for a microphone where a source is `url = "tcp-listen://127.0.0.1:5599"`. The same sound each time.
"""

import math
import random
import socket
import struct
import sys
import time

RATE, CHUNK = 16_000, 320
GLASS, KETTLE, PAN, TIMER = 170, 345, 400, 450


def glass(t):
    """A crack and splinters that ring, 0.6 s."""
    if not 0 <= t < 0.6:
        return 0.0
    splinters = sum(math.exp(-14 * (t - at)) * math.sin(math.tau * hz * t) for at, hz in ((0, 5210), (0.11, 6340), (0.19, 4470)) if t >= at)
    return 0.05 * splinters + 0.08 * math.exp(-60 * t) * random.gauss(0, 1)


def kettle(t):
    """Hiss that grows into a whistle, 9 s."""
    if not 0 <= t < 9:
        return 0.0
    loud = 0.05 * min(1, t / 4) * min(1, 9 - t)
    return loud * (math.sin(math.tau * (6800 + 150 * math.sin(3 * t)) * t) + random.gauss(0, 0.3))


def pan(t):
    """A blow on metal, which falls twice."""
    blows = [t - fall for fall in (0, 0.28, 0.45) if t >= fall]
    if not blows or t > 1.5:
        return 0.0
    partials = (523, 1187, 2110, 3391, 4876, 7204)
    return sum(0.06 / (1 + i) * math.exp(-9 * blow) * math.sin(math.tau * hz * blow)
               for i, blow in enumerate(blows) for hz in partials)


def timer(t):
    """Beeps of 0.1 s, four a second, for 3 s."""
    return 0.05 * math.sin(math.tau * 2930 * t) if 0 <= t < 3 and t % 0.25 < 0.1 else 0.0


def sample(n):
    t = n / RATE
    room = random.gauss(0, 0.003) + 0.005 * math.sin(math.tau * 100 * t)
    return room + glass(t - GLASS) + kettle(t - KETTLE) + pan(t - PAN) + timer(t - TIMER)


def main():
    host, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:5599").rsplit(":", 1)
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 520
    random.seed(1)
    with socket.create_connection((host, int(port))) as line:
        began = time.monotonic()
        for first in range(0, int(seconds * RATE), CHUNK):
            values = [round(32767 * max(-1, min(1, sample(n)))) for n in range(first, first + CHUNK)]
            time.sleep(max(0, began + (first + CHUNK) / RATE - time.monotonic()))
            line.sendall(struct.pack(f"<{CHUNK}h", *values))


main()
