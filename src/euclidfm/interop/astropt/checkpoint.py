"""Reading an AstroPT checkpoint without running anything that it brings.

``torch.load(weights_only=True)`` rebuilds tensors and plain containers only. The few classes of AstroPT
that its newer files hold are let in under stand-ins that keep attributes and do nothing; anything else
is refused.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from euclidfm.core.errors import InputError

__all__ = ["Checkpoint", "read_checkpoint"]


class _Kept:
    """Stand-in for a class of AstroPT: holds the attributes of the object that was saved."""


class _Modality(_Kept):
    pass


class _Registry(_Kept):
    pass


class _Config(_Kept):
    pass


_STAND_INS = {"ModalityConfig": _Modality, "ModalityRegistry": _Registry, "GPTConfig": _Config}


@dataclass(frozen=True)
class Checkpoint:
    """What such a file holds that matters here."""

    weights: Mapping[str, Tensor]
    """By the names of the file, without the prefix of compiled models."""
    args: Mapping[str, Any]
    """Sizes of the model."""
    registry: Mapping[str, Mapping[str, Any]]
    """Attributes of each modality by name; empty in version 1."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    InputError
        If the file is missing, damaged, holds other objects, or is not a checkpoint of AstroPT.
    """
    if not path.is_file():
        msg = f"{path} does not exist; give the .pt file of an AstroPT checkpoint"
        raise InputError(msg)
    allowed = [(cls, f"astropt.model.{name}") for name, cls in _STAND_INS.items()]
    try:
        with torch.serialization.safe_globals(allowed):  # type: ignore[arg-type]
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # the unpickler raises its own errors
        raise InputError(_refusal(path, e)) from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("model"), dict):
        msg = f"{path} is not a checkpoint of AstroPT (no weights under 'model')"
        raise InputError(msg)
    weights = {k.removeprefix("_orig_mod."): v for k, v in loaded["model"].items()}
    if "transformer.ln_f.weight" not in weights or not all(isinstance(v, Tensor) for v in weights.values()):
        msg = f"{path} is not a checkpoint of AstroPT (no weight 'transformer.ln_f.weight')"
        raise InputError(msg)
    args = loaded.get("model_args") or {}
    args = args if isinstance(args, dict) else vars(args)
    registry = getattr(loaded.get("modality_registry"), "modalities", None) or args.get("modalities") or {}
    listed = registry.values() if isinstance(registry, dict) else registry
    return Checkpoint(weights, args, {m.name: vars(m) for m in listed})


def _refusal(path: Path, error: Exception) -> str:
    text = " ".join(str(error).split())
    if "GLOBAL " in text:
        what = text.split("GLOBAL ", 1)[1].split(" ", 1)[0]
        return f"{path} holds an object of {what}, which is neither a tensor nor known, so it is refused"
    if not zipfile.is_zipfile(path):
        return f"{path} is not a checkpoint that torch writes, or it is damaged; download or copy it again"
    return f"{path} can't be read as a checkpoint ({text.split('. ')[0][:160]}); download or copy it again"
