#!/usr/bin/env python3
"""Compares the ONNX graphs that `cpc-lab export` writes with `cpc-lab encode`, on ONNX Runtime.

    docs/onnx_check.py CPC_LAB RECORDING.wav [MODEL.safetensors …]

CPC_LAB is the program; RECORDING is mono, 16 kHz, 16 bit. Without a model the built-in one is exported. Needs numpy, onnx and
onnxruntime. Of each model: the files pass the checker of ONNX; the whole graph gives the z and c of `encode` and the predictions of the heads; the
step graph gives the same hop by hop, and for two streams of one batch in pieces of 1 to 7 hops. Prints the largest differences, and ends with 1 where
one is above 1e-4.
"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import wave

import numpy as np
import onnx
import onnxruntime

MOST = 1e-4
HOP = 160


def tensors(path):
    data = path.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:end])
    more = head.pop("__metadata__", {})
    read = {name: np.frombuffer(data, np.float32, np.prod(of["shape"], dtype=int), end + of["data_offsets"][0]).reshape(of["shape"])
            for name, of in head.items() if of["dtype"] == "F32"}
    return read, more


def recording(path):
    with wave.open(str(path)) as file:
        if (file.getnchannels(), file.getframerate(), file.getsampwidth()) != (1, 16_000, 2):
            sys.exit(f"{path}: expected mono, 16000 Hz, 16 bit")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32_768


def run(lab, *arguments):
    done = subprocess.run([lab, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{lab} {' '.join(map(str, arguments))}: {done.stderr}")


def session(path):
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def heads(model, config, c):
    """What the heads say of contexts [T, h]: [T, K, d]."""
    if config.get("hidden") is None:
        raw = np.einsum("kdh,th->tkd", model["heads.weight"], c)
    else:
        inner = np.einsum("kmh,th->tkm", model["heads.lin1.weight"], c) + model["heads.lin1.bias"]
        raw = np.einsum("kdm,tkm->tkd", model["heads.lin2.weight"], np.maximum(inner, 0)) + model["heads.lin2.bias"]
    return raw * config["scale"]


def in_pieces(step, names, samples, hops):
    """Outputs of the step graph over [batch, samples], in pieces of `hops` hops; the state is carried."""
    state = np.zeros((len(samples), int(step.get_modelmeta().custom_metadata_map["state_width"])), np.float32)
    outs, at = [], 0
    for count in hops:
        piece = samples[:, at:at + count * HOP]
        if piece.shape[1] == 0:
            break
        *out, state = step.run([*names, "next_state"], {"samples": piece, "state": state})
        outs.append(out)
        at += count * HOP
    return [np.concatenate(parts, axis=1) for parts in zip(*outs)]


def differences(found, expected):
    return {name: float(np.abs(a - b).max()) for name, (a, b) in zip(["z", "c", "predictions"], zip(found, expected))}


def check(lab, wav, model, folder):
    of = ["--model", model] if model else []
    run(lab, "export", "--onnx", folder / "model.onnx", *of)
    run(lab, "encode", wav, "--out", folder / "features.safetensors", *of)
    features, _ = tensors(folder / "features.safetensors")
    whole, step = session(folder / "model.onnx"), session(folder / "model.step.onnx")
    metadata = whole.get_modelmeta().custom_metadata_map
    names = [output.name for output in whole.get_outputs()]
    expected = [features["z"][None], features["c"][None]]
    if model:
        weights, more = tensors(pathlib.Path(model))
        config = json.loads(more["cpc-stream.manifest"])["architecture"].get("heads")
        if config:
            expected.append(heads(weights, config, features["c"])[None])
    samples = recording(wav)[None]
    filled = samples[:, :samples.shape[1] // HOP * HOP]
    two = np.concatenate([filled, 0.5 * filled[:, ::-1]])
    alone = [np.concatenate(parts) for parts in zip(*(whole.run(names, {"samples": one[None]}) for one in two))]
    rows = [
        ("whole", whole.run(names, {"samples": samples}), expected),
        ("hop by hop", in_pieces(step, names, filled, [1] * (filled.shape[1] // HOP)), expected),
        ("batch of 2, 1 to 7 hops", in_pieces(step, names, two, [1 + i % 7 for i in range(filled.shape[1])]), alone),
    ]
    shapes = ", ".join(f"{name} {value.shape[1:]}" for name, value in zip(names, rows[0][1]))
    print(f"{metadata['name']} ({metadata['sha256'][:12]}): {shapes}, state {step.get_modelmeta().custom_metadata_map['state_width']}")
    worst = 0.0
    for row, found, against in rows:
        of = differences(found, against)
        worst = max(worst, *of.values())
        print(f"  {row:24} " + ", ".join(f"{name} {value:.1e}" for name, value in of.items()))
    return worst


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}; largest differences:")
    worst = 0.0
    for model in sys.argv[3:] or [None]:
        with tempfile.TemporaryDirectory() as folder:
            worst = max(worst, check(sys.argv[1], sys.argv[2], model, pathlib.Path(folder)))
    sys.exit(not worst <= MOST)


if __name__ == "__main__":
    main()
