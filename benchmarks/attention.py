"""Attention written out as matrix products beside torch's fused kernel: milliseconds forward and backward.

python benchmarks/attention.py [--seconds 0.4]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from euclidfm.model.transformer import written_out_attention

SHAPES = {"a": (64, 8, 65, 32), "b": (64, 8, 140, 32), "c": (8, 12, 197, 64), "long": (8, 12, 600, 64)}
"""Galaxies, heads, positions, width of a head: the cases of training.py, and a longer chain."""


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def within(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return fused(q.float(), k.float(), v.float()).to(q.dtype)


def products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return written_out_attention(q, k, v, None)


def milliseconds(how: Callable[..., Tensor], shape: tuple[int, int, int, int], seconds: float) -> float:
    b, h, t, d = shape
    heads = [torch.randn(b, t, h, d, dtype=torch.bfloat16).transpose(1, 2).requires_grad_() for _ in range(3)]
    gradient, times = torch.randn_like(heads[0]), []
    while len(times) < 5 or sum(times) < seconds:
        begun = time.perf_counter()
        how(*heads).backward(gradient)
        times.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.4, help="of each measurement, at least")
    args = parser.parse_args()
    print("| bf16 | " + " | ".join(f"{n}: {s[2]} positions" for n, s in SHAPES.items()) + " |")
    print("|---" * (1 + len(SHAPES)) + "|")
    rows = {"fused": fused, "fused, in float32": within, "matrix products and softmax (taken)": products}
    for name, how in rows.items():
        cells = [f"{milliseconds(how, s, args.seconds):.0f}" for s in SHAPES.values()]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
