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
from euclidfm.model.readout import READOUT, readout_targets
from euclidfm.model.sequence import every_nth
from euclidfm.model.tokens import Tokens, take_rows
from euclidfm.pretrain.augment import AugmentationDraws, prefix_lengths, random_masks, random_ranks
from euclidfm.pretrain.batches import TrainingBatch
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

    def forward_backward(self, batch: TrainingBatch) -> tuple[Tensor, dict[str, float]]:
        """Accumulate the gradients of a batch.

        Parameters
        ----------
        batch : TrainingBatch

        Returns
        -------
        loss : () Tensor
            Over the global batch.
        by_modality : dict of str to float
            Also that of the image encoder's read-out, if there is one.
        """
        device = self.distributed.device
        tokens, draws = {m: t.to(device) for m, t in batch.tokens.items()}, batch.draws.to(device)
        chain = self._chain_rows(len(draws.symmetry))
        read, draws = take_rows(tokens, chain), draws.take(chain)
        options = self._sequence_options(read, draws)
        targets = self.model.loss_targets(read, **options)
        images = {} if batch.readout is None else {READOUT: batch.readout.to(device)}
        counts = self._global_counts(targets | images)
        total = torch.zeros((), device=device)
        parts = dict.fromkeys(counts, total)
        sizes = (len(draws.symmetry), len(batch.draws.symmetry))
        for rows, of_images, last in _micro_batches(sizes, self.config.accumulate):
            with gradient_sync(self.module, last):
                seen = take_rows(tokens, of_images) if images else None
                with autocast(device, self.precision):
                    predictions = self.module(take_rows(read, rows), **_take(options, rows), read_out=seen)
                wanted = take_rows(targets, rows) | take_rows(images, of_images)
                loss = torch.zeros((), device=device)
                for name, (value, _) in self.model.objective.loss_sums(predictions, wanted).items():
                    mean = value / counts[name].clamp(min=1e-6)
                    parts[name] = parts[name] + mean.detach()
                    loss = loss + self.config.model.loss_weights.get(name, 1.0) * mean
                # DDP and FSDP average gradients over processes, but the counts are global already
                torch.autograd.backward(loss * self.distributed.world_size)
            total = total + loss.detach()
        reported = self.distributed.sum_(torch.stack([total, *parts.values()]))
        return reported[0], dict(zip(parts, reported[1:].tolist(), strict=True))

    def _chain_rows(self, size: int) -> slice:
        """Galaxies of this process that are among the first of the global batch, for the transformer."""
        first = max(1, round(self.config.chain_share * self.config.batch))
        rank, world_size = self.distributed.rank, self.distributed.world_size
        return slice(0, max(1, min(size, -(-(first - rank) // world_size))))

    def _global_counts(self, targets: Tokens) -> dict[str, Tensor]:
        """Number of values of each modality over all processes."""
        counts = self.model.objective.loss_counts(targets)
        return dict(zip(counts, self.distributed.sum_(torch.stack(list(counts.values()))), strict=True))

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


def _micro_batches(sizes: tuple[int, int], count: int) -> Iterator[tuple[slice, slice, bool]]:
    """Slices of two row counts, each of nearly equal size, none empty, and whether they are the last."""
    count = max(1, min(count, *sizes))
    for i in range(count):
        first, second = (slice(size * i // count, size * (i + 1) // count) for size in sizes)
        yield first, second, i == count - 1


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
        ``val_loss``, and ``val_<modality>`` for each modality and for the image encoder's read-out.
    """
    sums: dict[str, Tensor] = {}
    for tokens in batches:
        options: dict[str, Any] = {"masked": every_nth(tokens, 0, 2)} if model.config.masked else {}
        with autocast(model.device, precision):
            predictions = model(tokens, **options, read_out=tokens)
        readout = readout_targets(model.config, tokens)
        targets = model.loss_targets(tokens, **options) | ({} if readout is None else {READOUT: readout})
        for m, pair in model.objective.loss_sums(predictions, targets).items():
            sums[m] = sums.get(m, torch.zeros(2)) + torch.stack(pair).cpu()
    means = {m: float(s[0] / s[1].clamp(min=1e-6)) for m, s in sums.items()}
    total = sum(model.config.loss_weights.get(m, 1.0) * v for m, v in means.items())
    return {"val_loss": total} | {f"val_{m}": v for m, v in means.items()}
