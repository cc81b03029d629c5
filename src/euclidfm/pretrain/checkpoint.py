"""Checkpoints of a run: written atomically, the newest few kept.

If the newest one is damaged, the one before is used. Sharded weights are gathered one by one, so a checkpoint
depends neither on the number of processes nor on how they shared the weights.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from euclidfm.core.checksums import check_card, check_files, with_checksums
from euclidfm.core.files import read_json, write_json, written_aside
from euclidfm.model.checkpoint import current_weights
from euclidfm.pretrain.ema import ExponentialMovingAverage
from euclidfm.pretrain.sharding import full_tensors, shard_like

__all__ = ["resume", "save"]

log = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints that are kept: the newest, and one to fall back to if it is damaged."""


def save(
    folder: Path,
    step: int,
    model: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    ema: ExponentialMovingAverage,
    meta: dict[str, Any],
    write: bool = True,
) -> None:
    """Write ``folder/step-N``, and remove all but the newest `KEPT`.

    Parameters
    ----------
    folder : path
    step : int
        Steps taken.
    model, optimizers, ema
        What is written.
    meta : dict
        Written to ``meta.json`` with the step.
    write : bool
        Whether this process writes. If weights are sharded all processes must call the function.
    """
    weights = full_tensors(model.state_dict(), write)
    moments = full_tensors(_moments(optimizers), write)
    averages = full_tensors(ema.weights, write)
    if not write:
        return
    with written_aside(folder / f"step-{step:08d}") as partial:
        partial.mkdir()
        save_file(weights, partial / "model.safetensors")
        if averages:
            save_file(averages, partial / "average.safetensors")
        save_file(moments, partial / "optimizer.safetensors")
        files = {path.name: path for path in sorted(partial.iterdir())}
        write_json(partial / "meta.json", with_checksums(meta | {"step": step}, files))
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)


def resume(
    folder: Path,
    model: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    ema: ExponentialMovingAverage,
) -> int:
    """Load the newest checkpoint that can be read; returns its step, or 0 if there is none."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            card = read_json(path / "meta.json")
            check_card(path / "meta.json", card, "remove the checkpoint")
            check_files(path, card, "remove the checkpoint")
            weights = current_weights(load_file(path / "model.safetensors"))
            moments = load_file(path / "optimizer.safetensors")
            averages = load_file(path / "average.safetensors") if ema.weights else {}
            step = int(card["step"])
        except (SafetensorError, OSError, ValueError, KeyError) as e:
            log.warning("checkpoint %s is damaged (%s); trying the one before", path, e)
            continue
        now = model.state_dict()
        model.load_state_dict({k: shard_like(v, now[k]) if k in now else v for k, v in weights.items()})
        for number, optimizer in enumerate(optimizers):
            _load_moments(optimizer, moments, _prefix(number))
        if averages:
            ema.load({k: shard_like(v, ema.weights[k]) for k, v in current_weights(averages).items()})
        return step
    return 0


def _moments(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """State of the optimisers as tensors named ``[optimiser/]parameter.entry``."""
    tensors: dict[str, Tensor] = {}
    for number, optimizer in enumerate(optimizers):
        for index, entries in optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                tensors[f"{_prefix(number)}{index}.{key}"] = torch.as_tensor(value)
    return tensors


def _load_moments(optimizer: torch.optim.Optimizer, moments: dict[str, Tensor], prefix: str) -> None:
    """Inverse of `_moments` for one optimiser."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = optimizer.state_dict()
    state["state"] = {}
    for name, value in moments.items():
        own, _, rest = name.rpartition("/")
        if own == prefix.rstrip("/"):
            index, key = rest.split(".", 1)
            state["state"].setdefault(int(index), {})[key] = shard_like(value, parameters[int(index)])
    optimizer.load_state_dict(state)


def _prefix(number: int) -> str:
    """Prefix of the tensors of an optimiser; none for the first."""
    return f"{number}/" if number else ""
