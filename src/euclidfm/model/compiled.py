"""Compiling the blocks with `torch.compile`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch import compile as torch_compile

from euclidfm.core.errors import InputError
from euclidfm.model.foundation import FoundationModel

__all__ = ["compile_blocks"]


def compile_blocks(model: FoundationModel) -> None:
    """Compile what the blocks and the last norm do with each token alone, for any number of tokens; in place.

    Attention stays as it is: it calls a fused kernel where there is one; its groups change with the batch.

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
        for part in ("ask", "answer"):
            setattr(block, part, _token_by_token(torch_compile(getattr(block, part))))
    norm = model.transformer.norm
    norm.forward = _token_by_token(torch_compile(norm.forward))


def _token_by_token(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Call with the tokens in one row, (N, ...), so that their number is all that may change.

    One graph then serves padded and packed batches, and its loops have constant bounds but for N.
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
