"""The three cases of the training benchmark, as plain numbers that ours and the peer's worker read."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "a": {
        "what": "VIS, 64 tokens of 8x8x1",
        "width": 256,
        "depth": 6,
        "heads": 8,
        "size": 64,
        "patch": 8,
        "images": {"VIS": ["VIS"]},
        "sed": 0,
        "batch": 64,
    },
    "b": {
        "what": "VIS + NISP + SED, 137 tokens",
        "width": 256,
        "depth": 6,
        "heads": 8,
        "size": 64,
        "patch": 8,
        "images": {"VIS": ["VIS"], "NISP": ["Y", "J", "H"]},
        "sed": 9,
        "batch": 64,
    },
    "c": {
        "what": "90M, 196 tokens of 16x16x4",
        "width": 768,
        "depth": 12,
        "heads": 12,
        "size": 224,
        "patch": 16,
        "images": {"ALL": ["VIS", "Y", "J", "H"]},
        "sed": 0,
        "batch": 8,
    },
}


def tokens_of(case: dict[str, Any]) -> int:
    """Tokens of a galaxy."""
    return len(case["images"]) * (case["size"] // case["patch"]) ** 2 + int(case["sed"])


def measure(
    step: Callable[[], object], batch: int, cap: float, warm: bool = False, most: int = 20
) -> dict[str, float]:
    """Median seconds of a step after a first one, within about `cap` seconds.

    If the first step alone takes longer than the cap, it is the measurement, and said to be
    (``steps`` is 0). `warm` does a step before that: the one that compiles.
    """
    if warm:
        step()
    begun = time.perf_counter()
    step()
    first = time.perf_counter() - begun
    times: list[float] = []
    while (not times and first < cap) or (0 < len(times) < most and sum(times) < cap):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    took = sorted(times)[len(times) // 2] if times else first
    return {
        "seconds": took,
        "first": first,
        "steps": len(times),
        "galaxies_per_second": batch / took,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def flops_of(step: Callable[[], object]) -> float:
    """Floating-point operations of a step, matrix products and attention, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def answer(result: dict[str, Any]) -> None:
    """Print the worker's result as the last line."""
    print("RESULT " + json.dumps(result), flush=True)
