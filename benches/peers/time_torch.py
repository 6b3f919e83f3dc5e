#!/usr/bin/env python3
"""PyTorch as a peer, on a GPU: what its bf16 matrix products reach on Llama-3.1's shapes.

Prints, for each shape, tokens/s of all linear layers of the model: of one row (a decoded token's
bound by memory) and of 512 rows (a prompt's bound by multipliers), and what that is of one copy and of
one large product. Attention, norms and sampling are left out, so that a whole model is slower.
Needs the PyPI package torch.
"""
import time

import torch

# Per layer: rows and columns of q, k, v, o, gate, up, down.
SHAPES = {
    "llama3.1-8b": (32, 4096, 1024, 14336),
    "llama3.1-70b": (80, 8192, 1024, 28672),
}


def fastest(work, rounds=10):
    work()
    torch.cuda.synchronize()
    least = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        torch.cuda.synchronize()
        least = min(least, time.perf_counter() - begun)
    return least


def main():
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name(0)}")
    bytes_copied = 256 << 20
    source = torch.zeros(bytes_copied, dtype=torch.uint8, device="cuda")
    bandwidth = 2 * bytes_copied / fastest(lambda: source.clone())
    side = 8192
    a = torch.ones(side, side, dtype=torch.bfloat16, device="cuda")
    peak = side**3 / fastest(lambda: a @ a)
    del a
    print(f"{bandwidth / 1e9:.0f} GB/s of copies, {2 * peak / 1e12:.0f} TFLOP/s of one bf16 product")
    for name, (layers, hidden, kv, ffn) in SHAPES.items():
        sizes = [(hidden, hidden), (kv, hidden), (kv, hidden), (hidden, hidden),
                 (ffn, hidden), (ffn, hidden), (hidden, ffn)]
        # A few layers: beyond the caches, and the same for every one.
        measured = 4
        weights = [torch.randn(r, c, device="cuda").bfloat16() for _ in range(measured) for r, c in sizes]
        numbers = sum(r * c for r, c in sizes) * layers
        for rows in (1, 512):
            inputs = {c: torch.randn(rows, c, device="cuda").bfloat16() for c in {hidden, ffn}}
            seconds = fastest(lambda: [inputs[w.shape[1]] @ w.T for w in weights]) * layers / measured
            line = f"{name}, bf16, linear layers, {rows} rows: {rows / seconds:.1f} tokens/s"
            if rows == 1:
                line += f", {2 * numbers / seconds / bandwidth:.2f} of the bandwidth"
            else:
                line += f", {rows * numbers / seconds / peak:.2f} of the peak"
            print(line)
        del weights


main()
