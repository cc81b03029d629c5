"""Validation loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from euclidfm.model.device import autocast
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.sequence import every_nth
from euclidfm.model.tokens import Tokens

__all__ = ["validate"]


@torch.no_grad()
def validate(model: FoundationModel, batches: Sequence[Tokens], precision: torch.dtype) -> dict[str, float]:
    """Validation loss in the default order, with all modalities.

    A masked model is validated on every second token, predicted from the others.

    Parameters
    ----------
    model : FoundationModel
    batches : sequence of Tokens
    precision : torch.dtype

    Returns
    -------
    dict of str to float
        ``val_loss``, and ``val_<modality>`` for each modality.
    """
    sums = {m: torch.zeros(2) for m in model.config.modalities}
    for tokens in batches:
        options: dict[str, Any] = {"masked": every_nth(tokens, 0, 2)} if model.config.masked else {}
        with autocast(model.device, precision):
            predictions = model(tokens, **options)
        targets = model.loss_targets(tokens, **options)
        for m, pair in model.objective.loss_sums(predictions, targets).items():
            sums[m] += torch.stack(pair).cpu()
    means = {m: float(s[0] / s[1].clamp(min=1e-6)) for m, s in sums.items()}
    total = sum(model.config.loss_weights.get(m, 1.0) * v for m, v in means.items())
    return {"val_loss": total} | {f"val_{m}": v for m, v in means.items()}
