"""In which number format a device multiplies matrices."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

__all__ = ["autocast", "choose_precision"]

BF16_UNITS = {"amx_bf16", "avx512_bf16"}
"""CPU flags of units that multiply in bf16; without them torch emulates it, some hundred times slower."""


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Number format of the matrix products: ``fp32``, ``bf16`` or ``auto``, bf16 where there are units."""
    if name != "auto":
        return torch.bfloat16 if name == "bf16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if BF16_UNITS & cpu_flags() else torch.float32


def cpu_flags() -> set[str]:
    """What the CPU can do, in the words of Linux; nothing where there is no /proc/cpuinfo."""
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()


def autocast(device: torch.device, precision: torch.dtype) -> Any:
    """Context in which matrix products have that format."""
    return torch.autocast(device.type, dtype=precision) if precision != torch.float32 else nullcontext()
