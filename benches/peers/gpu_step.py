#!/usr/bin/env python3
"""The hop of CPC in PyTorch on a GPU, to compare `cpc-stream bench --device cuda --scores-only` with.

160 new samples of each stream -> z_t (five causal convolutions) -> scores of z_t against what the last 12 contexts
predict and 128 negatives -> c_t. Weights and states stay on the GPU; samples go up from pinned memory and scores come
down within the time that is measured. Convolutions are one product on blocks (the faster form on a GPU). Three forms:
eager, torch.compile (mode reduce-overhead, which makes CUDA graphs), and a CUDA graph captured by hand; in fp32, tf32
and bf16.

    gpu_step.py [--width 256] [--context 256] [--streams 1,1024,20480] [--seconds 1] [--compile]
"""
import argparse
import time

import torch
import torch.nn.functional as F

KERNELS, STRIDES = (10, 8, 4, 4, 4), (5, 4, 2, 2, 2)
HORIZONS, NEGATIVES, HOP = 12, 128, 160


class Hop(torch.nn.Module):
    def __init__(self, width, context):
        super().__init__()
        self.inputs = [1] + [width] * 4
        self.layers = torch.nn.ModuleList(torch.nn.Linear(c * k, width) for c, k in zip(self.inputs, KERNELS))
        self.gain = torch.nn.ParameterList(torch.nn.Parameter(torch.ones(width)) for _ in KERNELS)
        self.bias = torch.nn.ParameterList(torch.nn.Parameter(torch.zeros(width)) for _ in KERNELS)
        self.gru = torch.nn.GRUCell(width, context)
        self.heads = torch.nn.Parameter(torch.randn(HORIZONS, context, width) / 16)
        self.register_buffer("bank", torch.rand(width, NEGATIVES))
        self.context = context

    def fresh(self, streams, kind):
        zeros = lambda *shape: torch.zeros(*shape, dtype=kind, device="cuda")
        blocks = [zeros(streams, s, c) for s, c in zip(STRIDES, self.inputs)]
        return [*blocks, zeros(HORIZONS, streams, self.context)]

    def forward(self, sound, *state):
        *blocks, past = state
        new, y = [], sound.to(past.dtype).unsqueeze(2)
        for i, (layer, block) in enumerate(zip(self.layers, blocks)):
            k, s = KERNELS[i], STRIDES[i]
            y = torch.cat([block, y], 1)
            new.append(y[:, -s:])
            rows = y.reshape(y.shape[0], -1, s * self.inputs[i])
            y = layer(torch.cat([rows[:, :-1], rows[:, 1:]], 2))
            mean = y.mean(2, keepdim=True)
            variance = ((y - mean) ** 2).sum(2, keepdim=True) / (y.shape[2] - 1)
            y = F.relu((y - mean) * torch.rsqrt(variance + 1e-5) * self.gain[i] + self.bias[i])
        z = y[:, 0]
        predicted = torch.bmm(past, self.heads).transpose(0, 1)
        positive = (predicted * z[:, None]).sum(-1)
        against = torch.logsumexp((predicted @ self.bank).float(), 2)
        h = self.gru(z, past[0])
        return (positive.float() - against, *new, torch.cat([h[None], past[:-1]], 0))


def timed(step, seconds):
    for _ in range(20):
        step()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 50:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    times.sort()
    return [1e6 * times[min(int(len(times) * q), len(times) - 1)] for q in (0.5, 0.99, 0.999)]


@torch.inference_mode()
def measure(name, net, streams, kind, seconds, form):
    up = torch.randn(streams, HOP).mul_(0.1).pin_memory()
    down = torch.empty(streams, HORIZONS).pin_memory()
    sound = up.cuda()
    state = net.fresh(streams, kind)

    def hop():
        out = net(sound, *state)
        for own, new in zip(state, out[1:]):
            own.copy_(new)
        return out[0]

    if form == "graph":
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                hop()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            scores = hop()

        def step():
            sound.copy_(up, non_blocking=True)
            graph.replay()
            down.copy_(scores, non_blocking=True)
            torch.cuda.synchronize()
    else:
        run = torch.compile(net, mode="reduce-overhead") if form == "compile" else net

        def step():
            sound.copy_(up, non_blocking=True)
            out = run(sound, *state)
            for own, new in zip(state, out[1:]):
                own.copy_(new)
            down.copy_(out[0], non_blocking=True)
            torch.cuda.synchronize()

    p50, p99, p999 = timed(step, seconds)
    print(
        f"{name:>6} {form:>8} {streams:>7} streams  p50 {p50:10.1f}  p99 {p99:10.1f}  p99.9 {p999:10.1f} us"
        f"  real-time streams {streams * 1e4 / p50:10.1f}",
        flush=True,
    )


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--width", type=int, default=256)
    args.add_argument("--context", type=int, default=256)
    args.add_argument("--streams", default="1,1024,20480")
    args.add_argument("--seconds", type=float, default=1.0)
    args.add_argument("--compile", action="store_true")
    args = args.parse_args()
    torch.manual_seed(0)
    print(f"# {torch.cuda.get_device_name()}, PyTorch {torch.__version__}, width {args.width}, context {args.context}")
    forms = ["eager", "graph"] + (["compile"] if args.compile else [])
    for name, kind, tf32 in (("fp32", torch.float32, False), ("tf32", torch.float32, True), ("bf16", torch.bfloat16, True)):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        net = Hop(args.width, args.context).eval().cuda().to(kind)
        for streams in map(int, args.streams.split(",")):
            for form in forms:
                torch._dynamo.reset()
                measure(name, net, streams, kind, args.seconds, form)


main()
