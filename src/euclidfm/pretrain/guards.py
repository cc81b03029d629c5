"""User-facing errors for a loss that is not finite and for running out of memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from euclidfm.core.errors import InputError
from euclidfm.core.run_folder import ModelFolder
from euclidfm.pretrain.config import PretrainConfig

__all__ = ["check_finite", "memory_guard"]


def check_finite(gradient_norm: Tensor, loss: Tensor, step: int, out: Path) -> None:
    """Check the gradient before it reaches the weights.

    Raises
    ------
    InputError
        If it is not finite.
    """
    if math.isfinite(float(gradient_norm)):
        return
    problem = f"the loss or its gradient is not finite at step {step} (loss {float(loss):.3g}); "
    if step == 0:  # no weight has changed yet, so that the learning rate can't be the reason
        remedy = (
            "no weight has changed yet, so the cause is in the store or in the model's settings: look for "
            "extreme values with `euclidfm info STORE --quality quality.html`, and try --precision fp32"
        )
    else:
        remedy = f"{_how_to_continue(out)}with a lower lr"
    raise InputError(problem + remedy)


@contextmanager
def memory_guard(config: PretrainConfig, step: int, out: Path) -> Iterator[None]:
    """Context that turns a failed allocation into an `InputError`.

    Raises
    ------
    InputError
        With the step and the remedy.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as e:
        if not isinstance(e, torch.OutOfMemoryError | MemoryError) and "allocate memory" not in str(e):
            raise
        msg = (
            f"out of memory at step {step} with batch {config.batch} in {config.accumulate} micro-batch(es); "
            f"{_how_to_continue(out)}in another folder with --accumulate {2 * config.accumulate} "
            f"or a smaller model"
        )
        raise InputError(msg) from None


def _how_to_continue(out: Path) -> str:
    """Start of the remedy: whether there is a checkpoint."""
    checkpoints = ModelFolder(out).checkpoints
    if any(checkpoints.glob("step-*")):
        return f"the last checkpoint in {checkpoints} is good: continue it "
    return "there is no checkpoint yet: start again "
