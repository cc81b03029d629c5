"""How a device runs a model: the number format of matrix products, and compiled blocks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch import compile as torch_compile

from euclidfm.core.errors import InputError
from euclidfm.model.foundation import FoundationModel

__all__ = ["autocast", "choose_precision", "compile_blocks"]

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
    """Flags of the CPU as Linux lists them; none where there is no /proc/cpuinfo."""
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()


def autocast(device: torch.device, precision: torch.dtype) -> Any:
    """Context in which matrix products have that format."""
    return torch.autocast(device.type, dtype=precision) if precision != torch.float32 else nullcontext()


def compile_blocks(model: FoundationModel) -> None:
    """Compile, in place, the parts of the blocks that treat each token alone, for any number of tokens.

    Attention is not compiled: it calls a fused kernel where there is one, and its groups change with the
    batch.

    Raises
    ------
    InputError
        If the model is on a CPU and there is no C++ compiler.
    """
    names = (os.environ.get("CXX", "g++"), "c++", "clang++")
    if model.device.type == "cpu" and not any(shutil.which(n) for n in names):
        msg = "compile on a CPU needs a C++ compiler: install g++, or leave the option out"
        raise InputError(msg)
    for block in model.transformer.blocks:
        for part in ("queries_keys_values", "output"):
            setattr(block, part, _token_by_token(torch_compile(getattr(block, part))))
    norm = model.transformer.norm
    norm.forward = _token_by_token(torch_compile(norm.forward))


def _token_by_token(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Call with the tokens in one row, (N, ...), so that only their number changes.

    One graph then serves padded and packed batches.
    """
    from torch._dynamo import maybe_mark_dynamic  # seconds to import

    def run(x: Tensor, *others: Tensor | None) -> Any:
        each = x.shape[:-1]
        flat = [None if a is None else a.flatten(0, len(each) - 1) for a in (x, *others)]
        for a in flat:
            if a is not None:
                maybe_mark_dynamic(a, 0)
        out = compiled(*flat)
        if isinstance(out, Tensor):
            return out.unflatten(0, each)  # type: ignore[no-untyped-call]
        return tuple(a.unflatten(0, each) for a in out)

    return run
