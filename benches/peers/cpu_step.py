#!/usr/bin/env python3
"""The hop of CPC in PyTorch and ONNX Runtime on a processor, to compare `cpc-stream bench` with.

160 new samples of each stream -> z_t (five causal convolutions, ChannelNorm, ReLU) -> scores of z_t against the predictions
of the last 12 contexts and 128 negatives -> c_t. The state is the tails of the convolutions, h and the last 12 contexts.
Each engine runs in several forms, of which the best counts: convolutions as Conv1d and as products of blocks; PyTorch
traced and frozen in f32 and bf16, and with dynamic int8; ONNX Runtime in f32 and with dynamic int8.

    cpu_step.py [--width 512] [--context 256] [--streams 1,32] [--threads 1] [--seconds 2]

needs torch, onnx and onnxruntime. A line for each form: percentiles of a hop in µs and streams in real time.
"""
import argparse
import os
import tempfile
import time
import warnings

import torch
import torch.nn.functional as F

warnings.filterwarnings("ignore")
KERNELS, STRIDES = (10, 8, 4, 4, 4), (5, 4, 2, 2, 2)
HORIZONS, NEGATIVES, HOP = 12, 128, 160
INPUTS = ["x", "s0", "s1", "s2", "s3", "s4", "past"]


class Hop(torch.nn.Module):
    def __init__(self, width, context, blocks):
        super().__init__()
        self.width, self.context, self.blocks = width, context, blocks
        self.channels = [1] + [width] * 4
        if blocks:
            layers = (torch.nn.Linear(c * k, width) for c, k in zip(self.channels, KERNELS))
        else:
            layers = (torch.nn.Conv1d(c, width, k, s) for c, k, s in zip(self.channels, KERNELS, STRIDES))
        self.layers = torch.nn.ModuleList(layers)
        self.gain = torch.nn.ParameterList(torch.nn.Parameter(torch.ones(width)) for _ in KERNELS)
        self.bias = torch.nn.ParameterList(torch.nn.Parameter(torch.zeros(width)) for _ in KERNELS)
        self.gru = torch.nn.GRUCell(width, context)
        self.heads = torch.nn.Parameter(torch.randn(HORIZONS, context, width) / 16)
        self.register_buffer("bank", torch.randn(width, NEGATIVES))

    def fresh(self, streams, kind):
        tails = [torch.zeros(streams, k - s, c, dtype=kind) for k, s, c in zip(KERNELS, STRIDES, self.channels)]
        return [*tails, torch.zeros(HORIZONS, streams, self.context, dtype=kind)]

    def forward(self, x, *state):
        *tails, past = state
        new, y = [], x
        for i, tail in enumerate(tails):
            k, s = KERNELS[i], STRIDES[i]
            y = torch.cat([tail, y], 1)
            new.append(y[:, y.shape[1] - (k - s):])
            if self.blocks:
                count = (y.shape[1] - k) // s + 1
                y = torch.stack([y[:, j * s:j * s + k].reshape(y.shape[0], -1) for j in range(count)], 1)
                y = self.layers[i](y)
            else:
                y = self.layers[i](y.transpose(1, 2)).transpose(1, 2)
            mean = y.mean(2, keepdim=True)
            variance = ((y - mean) ** 2).sum(2, keepdim=True) / (self.width - 1)
            y = F.relu((y - mean) * torch.rsqrt(variance + 1e-5) * self.gain[i] + self.bias[i])
        z = y[:, 0]
        predictions = torch.bmm(past, self.heads).transpose(0, 1)
        logits = torch.cat([(predictions * z[:, None]).sum(-1, keepdim=True), predictions @ self.bank], 2)
        scores = -torch.log_softmax(logits.float(), 2)[:, :, 0]
        h = self.gru(z, past[0])
        return (scores, z, *new, torch.cat([h[None], past[:-1]], 0))


def report(name, streams, step, seconds):
    for _ in range(20):
        step()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 50:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    times.sort()
    p50, p99 = (1e6 * times[int(len(times) * q)] for q in (0.5, 0.99))
    print(f"{name:24} {streams:5} streams  p50 {p50:9.1f}  p99 {p99:9.1f} us  real-time streams {streams * 1e4 / p50:9.1f}",
          flush=True)
    return p50, name


def in_torch(net, streams, kind, seconds, name):
    x, state = torch.randn(streams, HOP, 1).to(kind), net.fresh(streams, kind)
    with torch.inference_mode():
        traced = torch.jit.freeze(torch.jit.trace(net, (x, *state)))
        held = [state]

        def step():
            held[0] = traced(x, *held[0])[2:]

        return report(name, streams, step, seconds)


def in_onnx(path, net, streams, threads, seconds, name):
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = torch.randn(streams, HOP, 1).numpy()
    held = [[state.numpy() for state in net.fresh(streams, torch.float32)]]

    def step():
        held[0] = session.run(None, dict(zip(INPUTS, [x, *held[0]])))[2:]

    return report(name, streams, step, seconds)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--width", type=int, default=512)
    args.add_argument("--context", type=int, default=256)
    args.add_argument("--streams", default="1,32")
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--seconds", type=float, default=2.0)
    args = args.parse_args()
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    print(f"# PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, width {args.width}, context {args.context}")
    for streams in map(int, args.streams.split(",")):
        found = {"f32": [], "bf16": [], "int8": []}
        for blocks in (False, True):
            form = "blocks" if blocks else "conv1d"
            for kind, name in ((torch.float32, "f32"), (torch.bfloat16, "bf16")):
                net = Hop(args.width, args.context, blocks).eval().to(kind)
                found[name].append(in_torch(net, streams, kind, args.seconds, f"torch-{name}-{form}"))
            net = Hop(args.width, args.context, blocks).eval()
            with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
                path = os.path.join(folder, "f32.onnx")
                outputs = ["scores", "z", *(f"t{i}" for i in range(5)), "past_"]
                torch.onnx.export(net, (torch.randn(streams, HOP, 1), *net.fresh(streams, torch.float32)), path,
                                  input_names=INPUTS, output_names=outputs, opset_version=17, dynamo=False)
                found["f32"].append(in_onnx(path, net, streams, args.threads, args.seconds, f"onnx-f32-{form}"))
                if blocks:
                    small = os.path.join(folder, "int8.onnx")
                    quantize_dynamic(path, small, weight_type=QuantType.QInt8)
                    found["int8"].append(in_onnx(small, net, streams, args.threads, args.seconds, f"onnx-int8-{form}"))
            if blocks:
                kinds = {torch.nn.Linear, torch.nn.GRUCell}
                net = torch.ao.quantization.quantize_dynamic(net, kinds, dtype=torch.qint8)
                found["int8"].append(in_torch(net, streams, torch.float32, args.seconds, f"torch-int8-{form}"))
        for precision, rows in found.items():
            p50, name = min(rows)
            print(f"best {precision} {streams} streams: {name} {p50:.1f} us", flush=True)


main()
