"""Weights over several processes: all of them on each (DDP), or a shard on each (FSDP).

With FSDP (`torch.distributed.fsdp.fully_shard`) each process holds 1 / W of every weight, of its gradient and
of the optimiser's moments. The weights of a block are gathered just before it runs. Files always hold full
tensors, so a run can be resumed with another number of processes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from euclidfm.model import FoundationModel
from euclidfm.pretrain.distributed import DistributedContext

__all__ = ["full_model", "full_tensors", "gradient_sync", "shard_like", "shard_model", "unsharded"]


def shard_model(model: FoundationModel, distributed: DistributedContext) -> None:
    """Shard the weights of a model block by block, in place. The model may still be on the CPU."""
    # FSDP warns because predictions are views of a linear layer's output; nothing writes into them
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(distributed.device.type, (distributed.world_size,))
    for block in model.transformer.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for buffer in model.buffers():
        buffer.data = buffer.data.to(distributed.device)


def full_tensor(value: Tensor) -> Tensor:
    """Gather a tensor that may be sharded. All processes must call it."""
    value = value.detach()
    return value.full_tensor() if isinstance(value, DTensor) else value


def full_tensors(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Gather tensors one by one, on the CPU. All processes must call it.

    Parameters
    ----------
    tensors : mapping of str to Tensor
    keep : bool
        Whether this process keeps the result; else the dictionary is empty.
    """
    out = {}
    for name, value in tensors.items():
        full = full_tensor(value)
        if keep:
            out[name] = full.cpu().contiguous()
    return out


def shard_like(value: Tensor, other: Tensor) -> Tensor:
    """Cut this process's shard out of a full tensor if `other` is sharded, else return the tensor.

    No messages are sent: every process has read the full tensor.
    """
    if not isinstance(other, DTensor) or isinstance(value, DTensor) or value.shape != other.shape:
        return value
    return distribute_tensor(value.to(other.device), other.device_mesh, other.placements, src_data_rank=None)


def full_model(model: FoundationModel, keep: bool = True) -> FoundationModel | None:
    """The model itself, or a copy with full weights on the CPU if it is sharded. All processes must call it.

    Parameters
    ----------
    model : FoundationModel
    keep : bool
        Whether this process keeps the result; else None.
    """
    if not isinstance(model, FSDPModule):
        return model if keep else None
    weights = full_tensors(model.state_dict(), keep)
    if not keep:
        return None
    copy = FoundationModel(model.config)
    copy.load_state_dict(weights)
    return copy.train(model.training)


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """Gather the weights outside of the blocks while the context lasts, so that any method can be called."""
    if not isinstance(model, FSDPModule):
        yield
        return
    model.reshard()
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


def gradient_sync(model: nn.Module, enabled: bool) -> AbstractContextManager[None]:
    """Context whose backward passes exchange gradients between processes only if `enabled`."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(enabled)
    elif isinstance(model, DistributedDataParallel) and not enabled:
        return model.no_sync()
    return nullcontext()
