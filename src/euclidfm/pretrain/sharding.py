"""Training on several processes: whole weights on each (DDP), or a share of them (FSDP).

With FSDP (`torch.distributed.fsdp.fully_shard`) each process holds 1 / W of every weight, of its gradient and
of the optimiser's moments; the weights of a block are gathered just before it runs. What is written to disk
is always whole, so that a run can go on with another number of processes, or none at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from euclidfm.core.errors import InputError
from euclidfm.model import FoundationModel
from euclidfm.pretrain.distributed import World

__all__ = ["agree", "like", "quiet", "shard", "unsharded", "whole", "whole_model"]


def shard(model: FoundationModel, world: World) -> None:
    """Share the weights of a model out, block by block; in place. The model may still be on the CPU."""
    # predictions are views of what a linear layer gives; nobody writes into them
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(world.device.type, (world.size,))
    for block in model.transformer.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for buffer in model.buffers():
        buffer.data = buffer.data.to(world.device)


def whole(value: Tensor) -> Tensor:
    """The whole of a tensor of which this process may hold a share; all processes must ask."""
    value = value.detach()
    return value.full_tensor() if isinstance(value, DTensor) else value


def like(value: Tensor, other: Tensor) -> Tensor:
    """Share of this process of a whole tensor, if `other` is shared out so; else the tensor itself."""
    if not isinstance(other, DTensor) or isinstance(value, DTensor) or value.shape != other.shape:
        return value
    return distribute_tensor(
        value.to(other.device), other.device_mesh, other.placements, src_data_rank=None
    )  # without messages: every process has read the whole


def whole_model(model: FoundationModel, keep: bool = True) -> FoundationModel | None:
    """The model itself, or a copy on the CPU with whole weights; all processes must ask.

    Parameters
    ----------
    model : FoundationModel
    keep : bool
        Whether this process wants the copy; else None.
    """
    if not isinstance(model, FSDPModule):
        return model if keep else None
    weights = {}
    for name, value in model.state_dict().items():
        full = whole(value)
        if keep:
            weights[name] = full.cpu()
    if not keep:
        return None
    copy = FoundationModel(model.config)
    copy.load_state_dict(weights)
    return copy.train(model.training)


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """What is outside of the blocks is whole while the context lasts, so that any method can be called."""
    if not isinstance(model, FSDPModule):
        yield
        return
    model.reshard()
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


def quiet(model: nn.Module, last: bool) -> Any:
    """Context in which gradients are shared with the other processes only if this is the `last` part."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
    elif isinstance(model, DistributedDataParallel) and not last:
        return model.no_sync()
    return nullcontext()


def agree(world: World, step: int) -> None:
    """Check that all processes go on from the same step.

    Raises
    ------
    InputError
        If they do not: they do not see the same run folder.
    """
    if world.size == 1:
        return
    steps = torch.tensor([step, -step], device=world.device)
    dist.all_reduce(steps, dist.ReduceOp.MAX)
    high, low = int(steps[0]), -int(steps[1])
    if high != low:
        msg = (
            f"the processes found checkpoints of different steps ({low} to {high}): "
            f"put the run folder on a file system that all machines see"
        )
        raise InputError(msg)
