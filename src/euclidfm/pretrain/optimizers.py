"""Optimisers, their schedule, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from euclidfm.model import FoundationModel
from euclidfm.pretrain.config import PretrainConfig

__all__ = ["Average", "learning_rate", "optimizers"]


def optimizers(model: FoundationModel, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    """Optimisers of a model: matrices of the blocks with weight decay, everything else without."""
    matrices = [p for p in model.transformer.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = {"params": [p for p in model.parameters() if id(p) not in chosen], "weight_decay": 0.0}
    decayed = {"params": matrices, "weight_decay": config.weight_decay}
    betas = (0.9, 0.95)
    if config.optimizer == "muon":
        muon = torch.optim.Muon(
            matrices, lr=config.lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        return [muon, torch.optim.AdamW([others], lr=config.lr, betas=betas, fused=True)]
    return [torch.optim.AdamW([decayed, others], lr=config.lr, betas=betas, fused=True)]


def learning_rate(config: PretrainConfig, step: int) -> float:
    """Linear warm-up, then down to ``min_lr * lr``: a cosine, or (wsd) a line at the end."""
    warm = max(1, round(config.warmup * config.steps))
    if step < warm:
        return config.lr * (step + 1) / warm
    if config.schedule == "wsd":
        down = max(1, round(config.decay * config.steps))
        done = max(0.0, (step - (config.steps - down)) / down)
        return config.lr * (1 - (1 - config.min_lr) * done)
    progress = (step - warm) / max(1, config.steps - warm)
    return config.lr * (config.min_lr + (1 - config.min_lr) * 0.5 * (1 + math.cos(math.pi * progress)))


class Average:
    """Exponential moving average of a model's weights (Polyak & Juditsky 1992).

    The average of step t uses the decay min(decay, (1 + t) / (10 + t)), so that early weights are forgotten.
    """

    def __init__(self, model: FoundationModel, decay: float) -> None:
        self.model, self.decay = model, decay
        self.weights = {n: p.detach().clone() for n, p in model.named_parameters()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, p in self.model.named_parameters():
            if name in self.weights:
                self.weights[name].lerp_(p, share)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Continue from the averages of a checkpoint."""
        for name in self.weights:
            self.weights[name].copy_(weights[name])

    @contextmanager
    def used(self) -> Iterator[None]:
        """The model has the average weights while the block runs."""
        kept = {n: p.detach().clone() for n, p in self.model.named_parameters() if n in self.weights}
        self._put(self.weights)
        try:
            yield
        finally:
            self._put(kept)

    def put(self) -> None:
        """Give the model the average weights for good."""
        self._put(self.weights)

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> None:
        for name, p in self.model.named_parameters():
            if name in weights:
                p.copy_(weights[name])
