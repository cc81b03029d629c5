"""The processes of a run, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from euclidfm.core.errors import InputError

__all__ = ["DistributedContext"]


@dataclass(frozen=True)
class DistributedContext:
    """Rank and device of this process, and the number of processes; one unless ``torchrun`` started it."""

    rank: int
    world_size: int
    device: torch.device

    @classmethod
    def initialise(cls) -> DistributedContext:
        """Read torchrun's environment and join the process group (NCCL on GPUs, gloo on CPUs)."""
        world_size = int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
        if world_size == 1:
            return cls(0, 1, device)
        if cuda:
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if cuda else "gloo")
        return cls(dist.get_rank(), dist.get_world_size(), device)

    def close(self) -> None:
        """Leave the process group."""
        if self.world_size > 1:
            dist.destroy_process_group()

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.rank == 0

    def sum_(self, value: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        if self.world_size > 1:
            dist.all_reduce(value)
        return value

    def broadcast(self, decision: bool) -> bool:
        """Return the decision of the main process on all processes."""
        if self.world_size == 1:
            return decision
        flag = torch.tensor(int(decision), device=self.device)
        dist.broadcast(flag, 0)
        return bool(flag)

    def check_same_step(self, step: int) -> None:
        """Check that all processes resume from the same step.

        Raises
        ------
        InputError
            If they do not, because they do not see the same run folder.
        """
        if self.world_size == 1:
            return
        steps = torch.tensor([step, -step], device=self.device)
        dist.all_reduce(steps, dist.ReduceOp.MAX)
        high, low = int(steps[0]), -int(steps[1])
        if high != low:
            msg = (
                f"the processes found checkpoints of different steps ({low} to {high}): "
                f"put the run folder on a file system that all machines see"
            )
            raise InputError(msg)
