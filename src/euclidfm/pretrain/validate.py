"""Validation, and the tokens of galaxies as they are: nothing withheld, nothing turned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from euclidfm.model import FoundationModel, ModelConfig, Tokens, tokenize
from euclidfm.model.precision import autocast
from euclidfm.model.sequence import every
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.store import GalaxyStore

__all__ = ["plain_tokens", "validate"]


def plain_tokens(
    store: GalaxyStore, config: ModelConfig, rows: np.ndarray, device: torch.device
) -> list[Tokens]:
    """Tokens of some galaxies, in batches, nothing withheld or turned."""
    waves = store.info.wavelengths_nm
    bands = tuple(b for b in config.image_bands if b in store.info.image_bands)
    batches = store.batches(rows, 128, bands)
    return [{m: t.to(device) for m, t in tokenize(config, g, waves).items()} for g in batches]


@torch.no_grad()
def validate(
    model: FoundationModel, held_out: list[Tokens], config: PretrainConfig, precision: torch.dtype
) -> dict[str, float]:
    """Validation loss in the default order, with nothing withheld."""
    sums = {m: torch.zeros(2) for m in model.config.modalities}
    for tokens in held_out:
        how: dict[str, Any] = {"hidden": every(tokens, 0, 2)} if model.masked else {}
        with autocast(model.device, precision):
            predictions = model(tokens, **how)
        for m, pair in model.loss_sums(predictions, model.asked(tokens, **how)).items():
            sums[m] += torch.stack(pair).cpu()
    means = {m: float(s[0] / s[1].clamp(min=1e-6)) for m, s in sums.items()}
    total = sum(config.model.loss_weights.get(m, 1.0) * v for m, v in means.items())
    return {"val_loss": total} | {f"val_{m}": v for m, v in means.items()}
