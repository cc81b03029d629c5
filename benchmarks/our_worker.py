"""One measurement of ours, or of the machine, in its own process; see training.py."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import CASES, answer, flops_of, measure, tokens_of
from padding import mixed

from euclidfm.core.bands import SED_BANDS
from euclidfm.model import FoundationModel, ImageModality, ModelConfig, Tokens, tokenize
from euclidfm.model.device import autocast, compile_blocks
from euclidfm.model.pooling import embed_tokens
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.optimizers import make_optimizers


def config_of(case: dict[str, Any]) -> ModelConfig:
    """Our model of the same width, depth, heads and tokens; everything else as we ship it."""
    config = ModelConfig(
        images=tuple(
            ImageModality(name=n, bands=tuple(b), patch=case["patch"]) for n, b in case["images"].items()
        ),
        sed=bool(case["sed"]),
        crop=case["size"],
        width=case["width"],
        depth=case["depth"],
        heads=case["heads"],
        embed_layer=case["depth"] // 2 + 1,  # the block whose output the peer returns
    )
    return replace(
        config,
        pixel_noise_ujy=dict.fromkeys(config.image_bands, 0.003),
        sed_softening_ujy=dict.fromkeys(SED_BANDS, 0.02) if config.sed else {},
    )


def batch_of(case: dict[str, Any], config: ModelConfig) -> Tokens:
    """A batch of noise in which every galaxy has everything."""
    return tokenize(config, mixed(case["batch"], complete=True, size=case["size"]))


def model_step(asked: dict[str, Any]) -> dict[str, Any]:
    """Training or embedding."""
    case = CASES[asked["case"]]
    config = config_of(case)
    torch.manual_seed(0)
    model, tokens = FoundationModel(config), batch_of(case, config)
    precision = torch.bfloat16 if asked["precision"] == "bf16" else torch.float32
    if asked["what"] == "train":
        every = make_optimizers(model, PretrainConfig(model=config))

        def step() -> None:
            with autocast(model.device, precision):
                predictions = model(tokens)
            sums = model.objective.loss_sums(predictions, tokens)
            torch.stack([a / b.clamp(min=1) for a, b in sums.values()]).sum().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for o in every:
                o.step()
                o.zero_grad(set_to_none=True)
    else:
        model.eval()

        def step() -> None:
            with autocast(model.device, precision):
                embed_tokens(model, tokens)

    flops = flops_of(step)  # of the same products, whatever their number format
    if asked["compile"]:
        compile_blocks(model)
    result = measure(step, case["batch"], asked["cap"], warm=asked["compile"]) | {"flops": flops}
    if asked.get("profile"):
        result["profile"] = profile(step)
    return {**result, "parameters": model.parameter_count(), "tokens": tokens_of(case)}


def profile(step: Any) -> list[tuple[str, float]]:
    """Share of the time of each kind of operation, the largest first."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        for _ in range(3):
            step()
    rows = [(e.key, e.self_cpu_time_total) for e in found.key_averages()]
    total = sum(t for _, t in rows)
    return [(k, round(t / total, 4)) for k, t in sorted(rows, key=lambda r: -r[1])[:15]]


def loader(asked: dict[str, Any]) -> dict[str, Any]:
    """Reading a store, shuffling, tokenising: no model."""
    from euclidfm.core.bands import BANDS
    from euclidfm.store import GalaxyStore, StoreWriter
    from euclidfm.store.loader import Stream
    from euclidfm.store.schema import StoreInfo

    case = CASES[asked["case"]]
    config = config_of(case)
    bands = tuple(b for names in case["images"].values() for b in names)
    count = 1024 if case["size"] > 64 else 4096
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        galaxies = mixed(count, complete=True, size=case["size"])
        keep = {b: galaxies.images[b] for b in bands}
        galaxies = replace(
            galaxies, images=keep, masks={b: galaxies.masks[b] for b in bands},
            noise={b: galaxies.noise[b] for b in bands},
        )  # fmt: skip
        info = StoreInfo(
            image_bands=bands,
            image_size=case["size"],
            sed_bands=tuple(BANDS[b] for b in SED_BANDS),
        )
        with StoreWriter(path, info) as writer:
            writer.add(galaxies)
        stream = Stream(GalaxyStore.open(path), np.arange(count), case["batch"], 0)
        begun, seen = time.perf_counter(), 0
        for epoch in range(100):
            stream._whole = None  # read again: a store of a survey does not fit into memory
            for batch in stream.epoch(epoch):
                tokenize(config, batch, None, np.zeros(len(batch), int))
                seen += len(batch)
            if time.perf_counter() - begun > asked["cap"]:
                break
        took = time.perf_counter() - begun
    return {"galaxies_per_second": seen / took, "seconds": took}


def ceilings(asked: dict[str, Any]) -> dict[str, Any]:
    """Best rates of matrix products (GFLOP/s) and of copying (GB/s)."""
    out: dict[str, Any] = {}
    for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        best = 0.0
        for n in (1024, 2048):
            a, b = torch.randn(n, n, dtype=dtype), torch.randn(n, n, dtype=dtype)
            spent, tries = 0.0, 0
            while tries < 2 or (spent < asked["cap"] / 4 and tries < 20):
                begun = time.perf_counter()
                a @ b
                took = time.perf_counter() - begun
                best, spent, tries = max(best, 2e-9 * n**3 / took), spent + took, tries + 1
                if took > asked["cap"] / 2:
                    break
        out[name] = best
    x, y = torch.randn(64 * 1024**2), torch.empty(64 * 1024**2)
    times = []
    for _ in range(6):
        begun = time.perf_counter()
        y.copy_(x)
        times.append(time.perf_counter() - begun)
    return out | {"copy_gb_per_second": 2 * x.nbytes / min(times) / 1e9}


def main() -> None:
    asked = json.loads(sys.argv[1])
    torch.set_num_threads(asked["threads"])
    answer({"ceilings": ceilings, "loader": loader}.get(asked["what"], model_step)(asked))


if __name__ == "__main__":
    main()
