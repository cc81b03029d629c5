"""What ends a run before its time, as one sentence that says how to go on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from euclidfm.core.errors import InputError
from euclidfm.pretrain.config import PretrainConfig

__all__ = ["check_finite", "memory_guard"]


def check_finite(norm: Tensor, loss: Tensor, step: int, out: Path) -> None:
    """Stop before a gradient that is not finite reaches the weights.

    Raises
    ------
    InputError
        With the step, and what to do.
    """
    if math.isfinite(float(norm)):
        return
    msg = (
        f"the loss or its gradient is not finite at step {step} (loss {float(loss):.3g}); "
        f"{_last(out)}with a lower lr"
    )
    raise InputError(msg)


@contextmanager
def memory_guard(config: PretrainConfig, step: int, out: Path) -> Iterator[None]:
    """Turn an allocation that fails into a sentence.

    Raises
    ------
    InputError
        With the step, and what to do.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as e:
        if not isinstance(e, torch.OutOfMemoryError | MemoryError) and "allocate memory" not in str(e):
            raise
        msg = (
            f"out of memory at step {step} with batch {config.batch} in {config.accumulate} part(s); "
            f"{_last(out)}in another folder with --accumulate {2 * config.accumulate} or a smaller model"
        )
        raise InputError(msg) from None


def _last(out: Path) -> str:
    """What is left to go on with."""
    if any((out / "checkpoints").glob("step-*")):
        return f"the last checkpoint in {out / 'checkpoints'} is good: continue it "
    return "there is no checkpoint yet: start again "
