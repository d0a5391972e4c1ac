#!/usr/bin/env python3
"""z and c of a recording in numpy, from the facts that docs/representation.md tells.

    docs/rebuild.py models/cpc-edge.safetensors RECORDING.wav [FROM_ENCODE.safetensors]

RECORDING is mono, 16 kHz, 16 bit. With the file that `cpc-lab encode RECORDING.wav --out FILE` wrote, prints the largest difference, and
ends with 1 where that is above 1e-4.
"""

import json
import struct
import sys
import wave

import numpy as np


def tensors(path):
    with open(path, "rb") as file:
        head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    more = head.pop("__metadata__", {})
    kinds = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U64": np.uint64, "U32": np.uint32, "I32": np.int32}
    read = {name: np.frombuffer(data[slice(*of["data_offsets"])], kinds[of["dtype"]]).reshape(of["shape"])
            for name, of in head.items() if of["dtype"] in kinds}
    return read, more


def log_mel(x, bands):
    x = np.concatenate([np.zeros(320), x[:len(x) // 160 * 160]])
    frames = np.stack([x[u * 160 + 80:u * 160 + 480] for u in range(len(x) // 160 - 2)])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    mel = lambda hz: 2595 * np.log10(1 + hz / 700)
    edge = 700 * (10 ** (np.linspace(mel(50), mel(8000), bands + 2) / 2595) - 1) / 40
    rise, fall = np.maximum(np.diff(edge)[:-1], 1), np.maximum(np.diff(edge)[1:], 1)
    away = np.arange(201)[:, None] - edge[1:-1]
    triangles = np.maximum(1 - np.where(away < 0, -away / rise, away / fall), 0)
    return np.log(power @ triangles + 1e-6)


def encode(x, model, architecture):
    statistics = architecture["encoder"].get("statistics")
    if statistics is None:
        sys.exit("the model hears raw samples: this script knows models of bands, as models/cpc-edge.safetensors")
    y = (log_mel(x, architecture["encoder"]["bands"]) - statistics["mean"]) / statistics["deviation"]
    for i in range(len(architecture["encoder"]["channels"])):
        weight = model[f"encoder.conv{i}.weight"]
        before = np.concatenate([np.zeros((1, y.shape[1])), y[:-1]])
        y = before @ weight[:, :, 0].T + y @ weight[:, :, 1].T + model[f"encoder.conv{i}.bias"]
        y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, ddof=1, keepdims=True) + 1e-5)
        y = np.maximum(y * model[f"encoder.norm{i}.weight"] + model[f"encoder.norm{i}.bias"], 0)
    return y


def contexts(z, model):
    w_ih, w_hh, b_ih, b_hh = (model[f"context.gru0.{name}"] for name in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    n = w_hh.shape[1]
    h, out = np.zeros(n), []
    for z_t in z:
        i, g = w_ih @ z_t + b_ih, w_hh @ h + b_hh
        reset, update = sigmoid(i[:n] + g[:n]), sigmoid(i[n:2 * n] + g[n:2 * n])
        h = (1 - update) * np.tanh(i[2 * n:] + reset * g[2 * n:]) + update * h
        out.append(h)
    return np.array(out)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    model, more = tensors(sys.argv[1])
    architecture = json.loads(more["cpc-stream.manifest"])["architecture"]
    with wave.open(sys.argv[2]) as file:
        form = file.getnchannels(), file.getframerate(), file.getsampwidth()
        if form != (1, 16000, 2):
            sys.exit(f"{sys.argv[2]}: {form[0]} channels, {form[1]} Hz, {8 * form[2]} bit; expected mono, 16000 Hz, 16 bit "
                     "(ffmpeg -i FILE -ac 1 -ar 16000 -c:a pcm_s16le recording.wav)")
        x = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    z = encode(x, model, architecture)
    c = contexts(z, model)
    print(f"z {z.shape}, c {c.shape}")
    if len(sys.argv) > 3:
        theirs, _ = tensors(sys.argv[3])
        worst = 0.0
        for name, ours in [("z", z), ("c", c)]:
            other = next(tensor for key, tensor in theirs.items() if key.split(".")[-1] == name or key == name)
            difference = float(np.abs(ours - other.reshape(ours.shape)).max())
            print(f"{name}: largest difference {difference:.2e}, largest value {np.abs(ours).max():.2f}")
            worst = max(worst, difference)
        sys.exit(worst > 1e-4)


if __name__ == "__main__":
    main()
