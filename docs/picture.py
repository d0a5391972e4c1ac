#!/usr/bin/env python3
"""The picture of the README, from the real program: both scenes of the demo, their scores, and the events that were found.

    docs/picture.py target/release/cpc-stream docs/scores.svg

Writes the scenes (`demo --save`), scores each as a recording of its own (`score --frames`), and draws log-mel bands, score
and events of the time after calibration. Needs numpy; the picture has no fonts, scripts or links of its own.
"""

import csv
import json
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy

CALIBRATE_S, EVENTS_PER_HOUR = 60, 1
LEFT, WIDTH, BANDS_HIGH, SCORE_HIGH = 64, 860, 112, 72
BANDS, LEVELS, COLUMN_S = 32, 10, 0.25
# a ramp from the background to light, one colour a level
RAMP = ["#10202e", "#15374e", "#1a4c69", "#22647f", "#2f7d90", "#469799", "#6bb09c", "#98c6a0", "#c9dcab", "#f7f3c6"]


def log_mel(samples):
    """Bands of a quarter of a second each, as levels 0 to LEVELS - 1 of what is between the 5th percentile and the highest."""
    size, hop = 512, 160
    starts = range(0, len(samples) - size, hop)
    window = numpy.hanning(size)
    power = numpy.abs(numpy.fft.rfft(numpy.stack([samples[at:at + size] * window for at in starts]), axis=1)) ** 2
    mel = numpy.linspace(2595 * numpy.log10(1 + 50 / 700), 2595 * numpy.log10(1 + 8000 / 700), BANDS + 1)
    edges = numpy.round((700 * (10 ** (mel / 2595) - 1)) / 16000 * size).astype(int)
    bands = numpy.stack([power[:, low:max(high, low + 1)].mean(axis=1) for low, high in zip(edges, edges[1:])], axis=1)
    each = int(COLUMN_S * 16000 / hop)
    bands = bands[: len(bands) // each * each].reshape(-1, each, BANDS).max(axis=1)
    logs = numpy.log10(bands + 1e-3)
    low, high = numpy.percentile(logs, 5), logs.max()
    return numpy.clip((logs - low) / (high - low) * LEVELS, 0, LEVELS - 1).astype(int)


def scored(program, folder, name, samples):
    """Rows of scores and events of a scene."""
    path = folder / f"{name}.wav"
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 16000, len(samples), "NONE", ""))
        out.writeframes(samples.astype("<i2").tobytes())
    events, frames = folder / f"{name}.jsonl", folder / f"{name}.csv"
    subprocess.run([program, "score", path, "--out", events, "--frames", frames, "--calibrate-seconds", str(CALIBRATE_S),
                    "--events-per-hour", str(EVENTS_PER_HOUR)], check=True, stdout=subprocess.DEVNULL)
    rows = [(float(row["t_s"]), float(row["score"])) for row in csv.DictReader(frames.open())]
    return rows, [json.loads(line) for line in events.read_text().splitlines()]


def scene(title, top, samples, rows, events, until):
    """One scene as SVG: title, bands, score with the threshold of the budget, events."""
    x = lambda t: LEFT + (t - CALIBRATE_S) / (until - CALIBRATE_S) * WIDTH
    out = [f'<text x="{LEFT}" y="{top + 14}" class="title">{title}</text>']
    bands_top, score_top = top + 50, top + 50 + BANDS_HIGH + 8
    levels = log_mel(samples / 32768.0)
    first, last = int(CALIBRATE_S / COLUMN_S), min(int(until / COLUMN_S), len(levels))
    wide, high = x(CALIBRATE_S + COLUMN_S) - LEFT, BANDS_HIGH / BANDS
    out.append(f'<rect x="{LEFT}" y="{bands_top}" width="{WIDTH}" height="{BANDS_HIGH}" fill="{RAMP[0]}"/>')
    for level in range(1, LEVELS):
        path = []
        for band in range(BANDS):
            column = first
            while column < last:
                end = column
                while end < last and levels[end, band] == level:
                    end += 1
                if end > column:
                    path.append(f"M{LEFT + (column - first) * wide:.1f} {bands_top + (BANDS - 1 - band) * high:.1f}h{(end - column) * wide:.1f}v{high:.1f}h{-(end - column) * wide:.1f}z")
                column = max(end, column + 1)
        out.append(f'<path fill="{RAMP[level]}" d="{"".join(path)}"/>')
    y = lambda score: score_top + SCORE_HIGH * (1 - min(score, 10) / 10)
    out.append(f'<rect x="{LEFT}" y="{score_top}" width="{WIDTH}" height="{SCORE_HIGH}" fill="{RAMP[0]}"/>')
    threshold = numpy.log10(3600 / EVENTS_PER_HOUR)
    out.append(f'<path d="M{LEFT} {y(threshold):.1f}h{WIDTH}" class="threshold"/>')
    points = " ".join(f"{x(t):.1f},{y(score):.1f}" for t, score in rows if CALIBRATE_S <= t <= until)
    out.append(f'<polyline points="{points}" class="score"/>')
    for event in events:
        at, kind = x(event["onset_s"]), event["kind"].replace("_", " ")
        label = kind
        if kind == "foreign" and event["band_hz"]:
            low, top_hz = (hz / 1000 for hz in event["band_hz"])
            label = f"{low:.1f}–{top_hz:.1f} kHz" if top_hz >= 1 else f"{low * 1000:.0f}–{top_hz * 1000:.0f} Hz"
        width = max(x(event["offset_s"]) - at, 1.5)
        out.append(f'<rect x="{at:.1f}" y="{bands_top - 6}" width="{width:.1f}" height="4" class="event"/>')
        out.append(f'<text x="{min(at, LEFT + WIDTH - 70):.1f}" y="{bands_top - 11}" class="label">{label}</text>')
    out += [f'<text x="{LEFT - 8}" y="{bands_top + 10}" class="axis" text-anchor="end">8 kHz</text>',
            f'<text x="{LEFT - 8}" y="{bands_top + BANDS_HIGH}" class="axis" text-anchor="end">50 Hz</text>',
            f'<text x="{LEFT - 8}" y="{score_top + 10}" class="axis" text-anchor="end">score 10</text>',
            f'<text x="{LEFT - 8}" y="{y(threshold) + 4:.1f}" class="axis" text-anchor="end">1 an hour</text>']
    for second in range(CALIBRATE_S, int(until) + 1, 10):
        out.append(f'<text x="{x(second):.1f}" y="{score_top + SCORE_HIGH + 14}" class="axis" text-anchor="middle">{second} s</text>')
    return out, score_top + SCORE_HIGH + 26


def main():
    program, target = sys.argv[1], Path(sys.argv[2])
    program = str(Path(program).resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        subprocess.run([program, "demo", "--save", folder / "scenes.wav"], check=True, stdout=subprocess.DEVNULL)
        with wave.open(str(folder / "scenes.wav")) as both:
            samples = numpy.frombuffer(both.readframes(both.getnframes()), "<i2").reshape(-1, 2)
        until, top, body = len(samples) / 16000, 8, []
        for side, (name, title) in enumerate([("room", "A room: six sounds that do not belong there"),
                                              ("press", "A press: six faults of its rhythm and its run")]):
            rows, events = scored(program, folder, name, samples[:, side])
            lines, top = scene(title, top, samples[:, side], rows, events, until)
            body += lines
            top += 8
            print(f"{name}: {len(events)} events: {', '.join(event['kind'] for event in events)}")
    style = ("text{font-family:sans-serif;fill:#d5dde5}.title{font-size:15px;font-weight:bold}.axis{font-size:11px;fill:#9fb0c0}"
             ".label{font-size:11px;fill:#ffb454}.event{fill:#ffb454}.score{fill:none;stroke:#ffb454;stroke-width:1.2}"
             ".threshold{stroke:#d5dde5;stroke-width:1;stroke-dasharray:4 4;opacity:.7}")
    wide = LEFT + WIDTH + 20
    target.write_text("\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {top}" width="{wide}" height="{top}" role="img">',
                                 "<title>Log-mel bands, score and events of the two scenes of the demo</title>",
                                 f"<style>{style}</style>", f'<rect width="{wide}" height="{top}" fill="#0b1620"/>', *body, "</svg>", ""]))


main()
