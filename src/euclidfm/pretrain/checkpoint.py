"""Checkpoints: whole and atomic, the last few kept, a damaged newest one falls back to the one before.

Where weights are shared out among processes they are gathered one by one, so that a checkpoint does not
depend on how many processes wrote it, nor on how.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from euclidfm.core.files import read_json, write_json, written_aside
from euclidfm.pretrain.optimizers import Average
from euclidfm.pretrain.sharding import like, whole

__all__ = ["load_newest", "save"]

log = logging.getLogger(__name__)


def save(
    folder: Path,
    step: int,
    model: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    meta: dict[str, Any],
    keep: int,
    average: dict[str, Tensor] | None = None,
    write: bool = True,
) -> None:
    """Write ``folder/step-N``; remove all but the newest `keep`.

    With weights that are shared out all processes must call it, and one of them with `write`.
    """
    weights = _gather(model.state_dict(), write)
    moments = _gather(_moments(optimizers), write)
    averages = _gather(average or {}, write)
    if not write:
        return
    with written_aside(folder / f"step-{step:08d}") as aside:
        aside.mkdir()
        save_file(weights, aside / "model.safetensors")
        if averages:
            save_file(averages, aside / "average.safetensors")
        save_file(moments, aside / "optimizer.safetensors")
        write_json(aside / "meta.json", meta | {"step": step})
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old)


def _gather(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Whole tensors on the CPU, for the process that keeps them."""
    out = {}
    for name, value in tensors.items():
        full = whole(value)
        if keep:
            out[name] = full.cpu().contiguous()
    return out


def _moments(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """State of the optimisers by number, parameter and name."""
    tensors: dict[str, Tensor] = {}
    for number, optimizer in enumerate(optimizers):
        for index, entries in optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                tensors[f"{_prefix(number)}{index}.{key}"] = torch.as_tensor(value)
    return tensors


def _prefix(number: int) -> str:
    """Prefix of the tensors of an optimiser; none for the first."""
    return f"{number}/" if number else ""


def load_newest(
    folder: Path,
    model: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    average: Average | None = None,
) -> dict[str, Any] | None:
    """Load the newest checkpoint that can be read; its meta, or None if there is none."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            weights = load_file(path / "model.safetensors")
            moments = load_file(path / "optimizer.safetensors")
            averages = load_file(path / "average.safetensors") if average and average.weights else {}
            meta: dict[str, Any] = read_json(path / "meta.json")
        except (SafetensorError, OSError, ValueError) as e:
            log.warning("checkpoint %s is damaged (%s); trying the one before", path, e)
            continue
        now = model.state_dict()
        model.load_state_dict({k: like(v, now[k]) if k in now else v for k, v in weights.items()})
        for number, optimizer in enumerate(optimizers):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            state = optimizer.state_dict()
            state["state"] = {}
            for name, value in moments.items():
                mine, _, rest = name.rpartition("/")
                if mine == _prefix(number).rstrip("/"):
                    index, key = rest.split(".", 1)
                    share = like(value, parameters[int(index)])
                    state["state"].setdefault(int(index), {})[key] = share
            optimizer.load_state_dict(state)
        if average and averages:
            average.load({k: like(v, average.weights[k]) for k, v in averages.items()})
        return meta
    return None
