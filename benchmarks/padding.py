"""What padding costs where galaxies have different modalities: tokens and time, with and without packing.

python benchmarks/padding.py [--width 192 --depth 6 --batch 64]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import torch

from euclidfm.core.bands import SED_BANDS
from euclidfm.model import FoundationModel, ModelConfig, Tokens, tokenize
from euclidfm.model.packing import pack
from euclidfm.model.pooling import embed_tokens
from euclidfm.pretrain.augment import draw_augmentations, drop_modalities
from euclidfm.store import Galaxies

HAVE = {
    "all": ("VIS", "NISP", "SED"),
    "no NISP": ("VIS", "SED"),
    "SED alone": ("SED",),
    "one": ("VIS",),
}
SHARES = {"all": 0.4, "no NISP": 0.1, "SED alone": 0.4, "one": 0.1}


def mixed(n: int, complete: bool, size: int = 64) -> Galaxies:
    """Noise with the modalities of a survey in which a half has images."""
    rng = np.random.default_rng(0)
    kinds = np.array(["all"] * n) if complete else rng.choice(list(SHARES), n, p=list(SHARES.values()))
    images, masks = {}, {}
    for b in ("VIS", "Y", "J", "H"):
        name = "VIS" if b == "VIS" else "NISP"
        images[b] = rng.normal(0, 0.003, (n, size, size)).astype(np.float32)
        masks[b] = np.zeros(images[b].shape, bool)
        masks[b][[name not in HAVE[k] for k in kinds]] = True
    flux = rng.lognormal(0, 1, (n, len(SED_BANDS))).astype(np.float32)
    flux[["SED" not in HAVE[k] for k in kinds]] = np.nan
    return Galaxies(
        object_id=np.arange(n), ra=np.zeros(n), dec=np.zeros(n), tile=np.zeros(n, np.int64),
        split=np.array(["train"] * n), images=images, masks=masks,
        noise={b: np.full(n, 0.003, np.float32) for b in images}, flux=flux, fluxerr=0.02 * flux,
        sed_bands=SED_BANDS,
    )  # fmt: skip


def waste(model: FoundationModel, batches: list[Tokens]) -> dict[str, float]:
    """Share of positions that no token fills: padded; and packed, in linear layers and in attention."""
    padded = exist = side = 0
    for tokens in batches:
        layout = model.arrange(tokens)
        lengths, t = layout.lengths, layout.slots.shape[1]
        packing = pack(lengths, t)
        padded += len(lengths) * t
        exist += int(lengths.sum())
        parts = packing.parts if packing else []
        side += sum(g.galaxies * g.longest for g in parts) if packing else len(lengths) * t
    linear = 0.0 if side < padded else 1 - exist / padded
    return {"before": 1 - exist / padded, "after_linear": linear, "after_attention": 1 - exist / side}


def seconds(model: FoundationModel, batches: list[Tokens], train: bool) -> float:
    """Best of three passes over the batches."""
    best = np.inf
    for _ in range(3):
        begun = time.perf_counter()
        for tokens in batches:
            if train:
                model.zero_grad()
                sums = model.objective.loss_sums(model(tokens), tokens)
                torch.stack([a / b.clamp(min=1) for a, b in sums.values()]).sum().backward()
            else:
                embed_tokens(model, tokens)
        best = min(best, time.perf_counter() - begun)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("width", 192), ("depth", 6), ("heads", 6), ("batch", 64), ("batches", 6)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    config = ModelConfig(width=args.width, depth=args.depth, heads=args.heads)
    config = replace(config, pixel_noise_ujy=dict.fromkeys(("VIS", "Y", "J", "H"), 0.003))
    torch.manual_seed(0)
    model = FoundationModel(config)
    out = {"threads": torch.get_num_threads()}
    for name in ("mixed", "complete"):
        galaxies = mixed(args.batch * args.batches, complete=name == "complete")
        plain, dropped = [], []
        for i in range(args.batches):
            tokens = tokenize(config, galaxies.take(np.arange(i * args.batch, (i + 1) * args.batch)))
            plain.append(tokens)
            draws = draw_augmentations(0, i, args.batch, 3, len(SED_BANDS))
            dropped.append(drop_modalities(tokens, draws, 0.15, 0.1))
        for what, batches in (("train", dropped), ("embed", plain)):
            figures = waste(model, batches)
            for packed in (False, True):
                model.skip_padding = packed
                figures["seconds_packed" if packed else "seconds_padded"] = seconds(
                    model, batches, what == "train"
                ) / len(batches)
            figures["faster"] = figures["seconds_padded"] / figures["seconds_packed"]
            out[f"{name}, {what}"] = {k: round(v, 4) for k, v in figures.items()}
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
