"""One step: forward and backward passes over a process's share of a batch.

The loss of each modality is normalised by its count over the whole global batch, known before the first
pass; so neither the number of processes nor that of parts changes it but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from euclidfm.model import FoundationModel, ModelConfig, Tokens
from euclidfm.model.config import SCALARS, SED
from euclidfm.model.precision import autocast
from euclidfm.model.tokenizer import take
from euclidfm.pretrain.augment import Chances, hide, prefixes, ranks
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.distributed import World
from euclidfm.pretrain.sharding import quiet

__all__ = ["Stepper", "slots"]


class Stepper:
    """Losses and gradients; under DDP through the wrapper, so that gradients are shared (FSDP needs none)."""

    def __init__(self, model: FoundationModel, world: World) -> None:
        self.model, self.world = model, world
        plain = world.size == 1 or isinstance(model, FSDPModule)
        self.wrapped: torch.nn.Module = model if plain else DistributedDataParallel(model)

    def backward(
        self, config: PretrainConfig, tokens: Tokens, chances: Chances, precision: torch.dtype
    ) -> tuple[Tensor, dict[str, float]]:
        """Add the gradients of a batch; returns its loss and that of each modality."""
        device, world = self.world.device, self.world
        tokens, chances = {m: t.to(device) for m, t in tokens.items()}, chances.to(device)
        how = _reading(config, tokens, chances)
        asked = self.model.asked(tokens, **how)
        counts = torch.stack(list(self.model.counts(asked).values()))
        if world.size > 1:
            dist.all_reduce(counts)
        total = torch.zeros((), device=device)
        parts = dict.fromkeys(tokens, total)
        size = next(iter(tokens.values())).valid.shape[0]
        for rows, last in _slices(size, config.accumulate):
            with quiet(self.wrapped, last):
                with autocast(device, precision):
                    predictions = self.wrapped(take(tokens, rows), **_take(how, rows))
                sums = self.model.loss_sums(predictions, take(asked, rows))
                share = torch.zeros((), device=device)
                for (name, (value, _)), count in zip(sums.items(), counts, strict=True):
                    mean = value / count.clamp(min=1e-6)
                    parts[name] = parts[name] + mean.detach()
                    share = share + config.model.loss_weights.get(name, 1.0) * mean
                # DDP and FSDP average gradients over processes; the counts are already global
                torch.autograd.backward(share * world.size)
            total = total + share.detach()
        reported = torch.stack([total, *parts.values()])
        if world.size > 1:
            dist.all_reduce(reported)
        return reported[0], dict(zip(parts, reported[1:].tolist(), strict=True))


def _reading(config: PretrainConfig, tokens: Tokens, chances: Chances) -> dict[str, Any]:
    """How the galaxies of a step are read: orders, prefix, hidden tokens."""
    how: dict[str, Any] = {}
    if config.random_order:
        how |= {"order": chances.order, "shuffle": ranks(tokens, chances, config.shuffle_patches)}
    if config.model.attention == "prefix":
        how["prefix"] = prefixes(tokens, chances)
    if config.model.predict == "masked":
        how["hidden"] = hide(tokens, chances, config.hide)
    return how


def _take(how: dict[str, Any], rows: slice) -> dict[str, Any]:
    return {k: {m: x[rows] for m, x in v.items()} if isinstance(v, dict) else v[rows] for k, v in how.items()}


def _slices(size: int, parts: int) -> Iterator[tuple[slice, bool]]:
    """Slices of nearly equal size, none empty, and whether each is the last."""
    parts = max(1, min(parts, size))
    edges = [size * i // parts for i in range(parts + 1)]
    for i in range(parts):
        yield slice(edges[i], edges[i + 1]), i == parts - 1


def slots(model: ModelConfig, bands: int) -> int:
    """Tokens of a galaxy that has everything."""
    sizes = {m.name: (model.crop // m.patch) ** 2 for m in model.images} | {SED: bands}
    sizes[SCALARS] = len(model.scalars)
    return sum(sizes.get(name, 0) for name in model.modalities)
