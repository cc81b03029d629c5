"""Exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from euclidfm.model import FoundationModel

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """Exponential moving average of a model's weights (Polyak & Juditsky 1992).

    Step t uses the decay min(decay, (1 + t) / (10 + t)), so that the initial weights are soon forgotten.
    `torch.optim.swa_utils.AveragedModel` does not serve here: it copies the module, which FSDP refuses, and
    its first update replaces the average by the weights.

    Parameters
    ----------
    model : FoundationModel
        It may be sharded; the average is then sharded in the same way.
    decay : float
        Decay per step; with 0 there is no average and every method does nothing.
    """

    def __init__(self, model: FoundationModel, decay: float) -> None:
        self.model, self.decay = model, decay
        self.weights = {n: p.detach().clone() for n, p in model.named_parameters()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after an optimiser step to the average."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, p in self.model.named_parameters():
            if name in self.weights:
                self.weights[name].lerp_(p, share)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Continue from the average of a checkpoint."""
        for name in self.weights:
            self.weights[name].copy_(weights[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the average weights while the context lasts."""
        kept = {n: p.detach().clone() for n, p in self.model.named_parameters() if n in self.weights}
        self.apply()
        try:
            yield
        finally:
            self._set(kept)

    def apply(self) -> None:
        """Give the model the average weights for good."""
        self._set(self.weights)

    @torch.no_grad()
    def _set(self, weights: dict[str, Tensor]) -> None:
        for name, p in self.model.named_parameters():
            if name in weights:
                p.copy_(weights[name])
