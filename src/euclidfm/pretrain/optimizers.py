"""Optimisers, learning-rate schedule and gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from euclidfm.model import FoundationModel
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.sharding import full_tensor

__all__ = ["apply_gradients", "clip_gradients", "learning_rate", "make_optimizers", "set_learning_rate"]

BETAS = (0.9, 0.95)
"""AdamW's decay rates of the moments, the usual ones of language models. They were not tuned here."""
MAX_GRADIENT_NORM = 1.0
"""The usual limit of language models and of AstroPT. It was not tuned here."""
DECAY_SHARE = 0.2
"""Fraction of the steps over which the ``wsd`` schedule decays (Hägele et al. 2024, arXiv:2405.18392)."""


def make_optimizers(model: FoundationModel, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    """Make the optimisers of a model.

    The matrices of the blocks and the kernels of the image encoder have weight decay, the rest has none.
    """
    matrices = [p for p in model.transformer.parameters() if p.ndim == 2]
    kernels = [] if model.images is None else [p for p in model.images.parameters() if p.ndim > 1]
    chosen = {id(p) for p in (*matrices, *kernels)}
    others = {"params": [p for p in model.parameters() if id(p) not in chosen], "weight_decay": 0.0}
    decayed = {"params": [*matrices, *kernels], "weight_decay": config.weight_decay}
    if config.optimizer == "muon":
        muon = torch.optim.Muon(
            matrices, lr=config.lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        convolutions = [{"params": kernels, "weight_decay": config.weight_decay}] if kernels else []
        return [muon, torch.optim.AdamW([others, *convolutions], lr=config.lr, betas=BETAS, fused=True)]
    return [torch.optim.AdamW([decayed, others], lr=config.lr, betas=BETAS, fused=True)]


def learning_rate(config: PretrainConfig, step: int) -> float:
    """Learning rate of a step: a linear warm-up, then down to ``min_lr * lr`` by the schedule."""
    warm = max(1, round(config.warmup * config.steps))
    if step < warm:
        return config.lr * (step + 1) / warm
    if config.schedule == "wsd":
        down = max(1, round(DECAY_SHARE * config.steps))
        done = max(0.0, (step - (config.steps - down)) / down)
        return config.lr * (1 - (1 - config.min_lr) * done)
    progress = (step - warm) / max(1, config.steps - warm)
    return config.lr * (config.min_lr + (1 - config.min_lr) * 0.5 * (1 + math.cos(math.pi * progress)))


def set_learning_rate(
    optimizers: Sequence[torch.optim.Optimizer], config: PretrainConfig, step: int
) -> float:
    """Set the learning rate of a step in all optimisers, and return it."""
    rate = learning_rate(config, step)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rate


def clip_gradients(model: FoundationModel) -> Tensor:
    """Clip the gradient's norm to `MAX_GRADIENT_NORM`; returns the norm before clipping.

    The image encoder shares no weights with the rest of the model, so each of the two is clipped by itself.
    """
    encoder = [] if model.images is None else list(model.images.parameters())
    theirs = {id(p) for p in encoder}
    groups = [[p for p in model.parameters() if id(p) not in theirs], encoder]
    norms = [full_tensor(torch.nn.utils.clip_grad_norm_(g, MAX_GRADIENT_NORM)) for g in groups if g]
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))


def apply_gradients(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Take an optimiser step and free the gradients."""
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
