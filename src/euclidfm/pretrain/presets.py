"""Presets of pre-training: sizes of our model from 1M to 2B, and the reference work's recipe.

A preset is a nested dictionary of settings of `PretrainConfig`. Settings that the user gives win over it.
"""

from __future__ import annotations

from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.interop.astropt.preset import PRESETS as ASTROPT_PRESETS
from euclidfm.interop.astropt.preset import preset as astropt_preset
from euclidfm.model.config import SIZES

__all__ = ["names", "preset"]


def names() -> tuple[str, ...]:
    """All presets."""
    return (*(s.lower() for s in SIZES), *ASTROPT_PRESETS)


def preset(name: str) -> dict[str, Any]:
    """Settings of a preset.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    sizes = {s.lower(): v for s, v in SIZES.items()}
    if name.lower() in sizes:
        return {"model": dict(sizes[name.lower()])}
    if name.lower() in ASTROPT_PRESETS:
        return astropt_preset(name.lower())
    msg = f"there is no preset {name!r}; the presets are {', '.join(names())}"
    raise InputError(msg)
