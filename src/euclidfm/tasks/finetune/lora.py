"""Low-rank adaptation of linear layers (LoRA, Hu et al. 2021, arXiv:2106.09685).

The weight W of a layer is frozen. Two thin matrices A (rank, in) and B (out, rank) are trained, and the layer
uses W + (alpha / rank) B A. B starts at zero, so that the layer is unchanged at first. After training the
product is added to W, and the model has its original structure again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.core.errors import InputError

__all__ = ["LoRALinear", "add_lora", "merge_lora"]


class LoRALinear(nn.Module):
    """A frozen linear layer with a low-rank update.

    Parameters
    ----------
    linear : nn.Linear
        Its weights are frozen.
    rank : int
        Rank of the update.
    alpha : float
        The update is scaled by alpha / rank.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        if rank < 1:
            msg = f"the rank of a low-rank update must be at least 1, got {rank}"
            raise InputError(msg)
        self.linear = linear.requires_grad_(False)
        like = linear.weight
        self.down = nn.Parameter(like.new_empty(rank, linear.in_features))
        self.up = nn.Parameter(like.new_zeros(linear.out_features, rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5.0))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        out: Tensor = self.linear(x) + F.linear(F.linear(x, self.down), self.up) * self.scale
        return out

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The linear layer with the update added to its weights; it can be trained again."""
        self.linear.weight += self.scale * (self.up @ self.down)
        return self.linear.requires_grad_(True)


def add_lora(module: nn.Module, rank: int, alpha: float) -> nn.Module:
    """Freeze a module and add a low-rank update to each of its linear layers, in place."""
    module.requires_grad_(False)
    _replace(module, lambda child: LoRALinear(child, rank, alpha) if isinstance(child, nn.Linear) else None)
    return module


def merge_lora(module: nn.Module) -> nn.Module:
    """Add all low-rank updates to the weights, in place; the module gets its original structure back."""
    _replace(module, lambda child: child.merged() if isinstance(child, LoRALinear) else None)
    return module.requires_grad_(True)


def _replace(module: nn.Module, change) -> None:  # type: ignore[no-untyped-def]
    for name, child in module.named_children():
        new = change(child)
        if new is None:
            _replace(child, change)
        else:
            setattr(module, name, new)
