"""The processes of a run, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed as dist

__all__ = ["World"]


@dataclass(frozen=True)
class World:
    """The processes that train together; a single one unless ``torchrun`` started us."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def join(cls) -> World:
        """Read torchrun's environment and join the group."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        local = int(os.environ.get("LOCAL_RANK", "0"))
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        if size > 1:
            if cuda:
                torch.cuda.set_device(device)
            dist.init_process_group("nccl" if cuda else "gloo")
            return cls(dist.get_rank(), dist.get_world_size(), device)
        return cls(0, 1, device)

    def leave(self) -> None:
        """Leave the group."""
        if self.size > 1:
            dist.destroy_process_group()
