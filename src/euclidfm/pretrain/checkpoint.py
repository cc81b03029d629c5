"""Checkpoints: atomic, the last few kept, a damaged newest one falls back to the one before."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from euclidfm.files import read_json, write_json
from euclidfm.pretrain.optimizers import Average

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
) -> None:
    """Write ``folder/step-N`` aside and rename it; remove all but the newest `keep`."""
    aside = folder / f".partial-{step}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, aside / "model.safetensors"
    )
    tensors: dict[str, Tensor] = {}
    for number, optimizer in enumerate(optimizers):
        for index, entries in optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                name = f"{_prefix(number)}{index}.{key}"
                tensors[name] = torch.as_tensor(value).detach().cpu().contiguous()
    if average:
        save_file({k: v.cpu().contiguous() for k, v in average.items()}, aside / "average.safetensors")
    save_file(tensors, aside / "optimizer.safetensors")
    write_json(aside / "meta.json", meta | {"step": step})
    target = folder / f"step-{step:08d}"
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old)


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
        model.load_state_dict(weights)
        for number, optimizer in enumerate(optimizers):
            state = optimizer.state_dict()
            state["state"] = {}
            for name, value in moments.items():
                mine, _, rest = name.rpartition("/")
                if mine == _prefix(number).rstrip("/"):
                    index, key = rest.split(".", 1)
                    state["state"].setdefault(int(index), {})[key] = value
            optimizer.load_state_dict(state)
        if average and averages:
            average.load(averages)
        return meta
    return None
