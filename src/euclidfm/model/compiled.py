"""Compiling the blocks with `torch.compile`."""

from __future__ import annotations

import os
import shutil

from torch import compile as torch_compile

from euclidfm.errors import InputError
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
            setattr(block, part, torch_compile(getattr(block, part), dynamic=True))
    model.transformer.norm.forward = torch_compile(model.transformer.norm.forward, dynamic=True)
