"""Training and validation losses: forward and backward passes over a process's share of a batch.

The loss of each modality is divided by its number of values in the global batch, which is known before the
first pass. The number of processes and of micro-batches therefore changes it by rounding only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from euclidfm.model.device import autocast
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.sequence import every_nth
from euclidfm.model.tokens import Tokens, take_rows
from euclidfm.pretrain.augment import AugmentationDraws, prefix_lengths, random_masks, random_ranks
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.distributed import DistributedContext
from euclidfm.pretrain.sharding import gradient_sync

__all__ = ["TrainingStep", "validate"]


class TrainingStep:
    """Computes losses and gradients.

    Parameters
    ----------
    model : FoundationModel
        Sharded already if it is to be; else it is wrapped for DDP when there are several processes.
    config : PretrainConfig
    precision : torch.dtype
        Number format of the matrix products.
    distributed : DistributedContext
    """

    def __init__(
        self,
        model: FoundationModel,
        config: PretrainConfig,
        precision: torch.dtype,
        distributed: DistributedContext,
    ) -> None:
        self.model, self.config, self.precision, self.distributed = model, config, precision, distributed
        wrap = distributed.world_size > 1 and not isinstance(model, FSDPModule)
        self.module: nn.Module = DistributedDataParallel(model) if wrap else model

    def forward_backward(self, tokens: Tokens, draws: AugmentationDraws) -> tuple[Tensor, dict[str, float]]:
        """Accumulate the gradients of a batch.

        Parameters
        ----------
        tokens : Tokens
        draws : AugmentationDraws

        Returns
        -------
        loss : () Tensor
            Over the global batch.
        by_modality : dict of str to float
        """
        device = self.distributed.device
        tokens, draws = {m: t.to(device) for m, t in tokens.items()}, draws.to(device)
        options = self._sequence_options(tokens, draws)
        targets = self.model.loss_targets(tokens, **options)
        counts = self.distributed.sum_(torch.stack(list(self.model.objective.loss_counts(targets).values())))
        total = torch.zeros((), device=device)
        parts = dict.fromkeys(tokens, total)
        size = next(iter(tokens.values())).valid.shape[0]
        for rows, last in _micro_batches(size, self.config.accumulate):
            with gradient_sync(self.module, last):
                with autocast(device, self.precision):
                    predictions = self.module(take_rows(tokens, rows), **_take(options, rows))
                sums = self.model.objective.loss_sums(predictions, take_rows(targets, rows))
                loss = torch.zeros((), device=device)
                for (name, (value, _)), count in zip(sums.items(), counts, strict=True):
                    mean = value / count.clamp(min=1e-6)
                    parts[name] = parts[name] + mean.detach()
                    loss = loss + self.config.model.loss_weights.get(name, 1.0) * mean
                # DDP and FSDP average gradients over processes, but the counts are global already
                torch.autograd.backward(loss * self.distributed.world_size)
            total = total + loss.detach()
        reported = self.distributed.sum_(torch.stack([total, *parts.values()]))
        return reported[0], dict(zip(parts, reported[1:].tolist(), strict=True))

    def _sequence_options(self, tokens: Tokens, draws: AugmentationDraws) -> dict[str, Any]:
        """Orders, prefix lengths and masked tokens of a batch, as the model's forward pass takes them."""
        config = self.config
        options: dict[str, Any] = {}
        if config.random_order != "none":
            ranks = random_ranks(tokens, draws, patches=config.random_order == "patches")
            options |= {"order": draws.order, "shuffle": ranks}
        if config.model.attention == "prefix":
            options["prefix"] = prefix_lengths(tokens, draws)
        if config.model.masked:
            options["masked"] = random_masks(tokens, draws)
        return options


def _take(options: dict[str, Any], rows: slice) -> dict[str, Any]:
    return {
        k: {m: x[rows] for m, x in v.items()} if isinstance(v, dict) else v[rows] for k, v in options.items()
    }


def _micro_batches(size: int, count: int) -> Iterator[tuple[slice, bool]]:
    """Slices of nearly equal size, none empty, and whether each is the last."""
    count = max(1, min(count, size))
    edges = [size * i // count for i in range(count + 1)]
    for i in range(count):
        yield slice(edges[i], edges[i + 1]), i == count - 1


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
