"""Whether torch.compile and bf16 gain on this machine: seconds a training step of a model.

python benchmarks/compile.py [--width 192 --depth 6 --batch 32]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import torch
from padding import mixed

from euclidfm.core.bands import SED_BANDS
from euclidfm.model import FoundationModel, ModelConfig, Tokens, tokenize
from euclidfm.model.device import autocast, compile_blocks


def step(model: FoundationModel, tokens: Tokens, precision: torch.dtype) -> None:
    model.zero_grad()
    with autocast(model.device, precision):
        predictions = model(tokens)
    sums = model.objective.loss_sums(predictions, tokens)
    torch.stack([a / b.clamp(min=1) for a, b in sums.values()]).sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("width", 192), ("depth", 6), ("heads", 6), ("batch", 32), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    config = ModelConfig(width=args.width, depth=args.depth, heads=args.heads)
    config = replace(
        config,
        pixel_noise_ujy=dict.fromkeys(("VIS", "Y", "J", "H"), 0.003),
        sed_softening_ujy=dict.fromkeys(SED_BANDS, 0.02),
    )
    galaxies = mixed(3 * args.batch, complete=False)
    batches = [tokenize(config, galaxies.take(np.arange(i, 3 * args.batch, 3))) for i in range(3)]
    out: dict[str, object] = {
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    for name, compiled, precision in (
        ("eager fp32", False, torch.float32),
        ("compiled fp32", True, torch.float32),
        ("eager bf16", False, torch.bfloat16),
        ("compiled bf16", True, torch.bfloat16),
    ):
        torch.manual_seed(0)
        torch.compiler.reset()
        model = FoundationModel(config)
        if compiled:
            compile_blocks(model)
        begun = time.perf_counter()
        for tokens in batches:
            step(model, tokens, precision)
        first = time.perf_counter() - begun
        times = []
        for _ in range(args.repeats):
            begun = time.perf_counter()
            for tokens in batches:
                step(model, tokens, precision)
            times.append((time.perf_counter() - begun) / len(batches))
        out[name] = {"seconds": round(min(times), 4), "start": round(first - len(batches) * min(times), 1)}
        print(name, out[name], flush=True)
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
