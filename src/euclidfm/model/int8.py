"""Matrix products of the blocks in 8-bit integers, for embedding on CPUs.

A token's inputs are divided by their largest magnitude over 127 and rounded, each weight's row likewise; the
products are summed in 32 bits and scaled back (per-token and per-channel scales, as of Dettmers et al. 2022,
arXiv:2208.07339). No scale is shared by tokens, so a galaxy's embedding does not depend on its batch, and
nothing has to be calibrated. Weights stay as they are in `state_dict`: the model keeps its identity.

The kernel is oneDNN's, through torch (`torch.ops.onednn`); it multiplies unsigned inputs, so zero is 128.

Shapes: N tokens, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from euclidfm.errors import InputError
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.precision import cpu_flags

__all__ = ["quantise_blocks"]

INT8_UNITS = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""CPU flags of units that sum products of 8-bit integers without overflow."""
ZERO = 128


def quantise_blocks(model: FoundationModel) -> None:
    """Let the linear layers of a model's blocks multiply in 8-bit integers, for inference; in place.

    Do it before `euclidfm.model.compiled.compile_blocks`: without compiling, rounding takes longer than
    the faster products save.

    Raises
    ------
    InputError
        If the model is not on a CPU, or the CPU has no units for it.
    """
    if model.device.type != "cpu" or not INT8_UNITS & cpu_flags():
        msg = "precision int8 needs a CPU with VNNI or AMX units, which this device is not: use bf16 or auto"
        raise InputError(msg)
    for block in model.transformer.blocks:
        for name in ("qkv", "out", "up", "down"):
            layer = getattr(block, name)
            layer.forward = _product(layer)


@torch.no_grad()
def _product(layer: nn.Linear) -> Callable[[Tensor], Tensor]:
    """What the layer does, in 8-bit integers."""
    scale = layer.weight.abs().amax(1).clamp(min=1e-12) / 127  # (O,)
    whole = (layer.weight / scale[:, None]).round().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(whole, None)
    bias = layer.bias

    def forward(x: Tensor) -> Tensor:
        size = x.abs().amax(-1, keepdim=True).float().clamp(min=1e-12) / 127  # one for each token
        rounded = ((x / size).round() + ZERO).to(torch.uint8)
        y = torch.ops.euclidfm.linear_uint8(rounded.flatten(0, -2), packed, scale)
        y = (y.unflatten(0, x.shape[:-1]) * size).to(torch.bfloat16)
        return y if bias is None else y + bias

    return forward


@torch.library.custom_op("euclidfm::linear_uint8", mutates_args=())
def _linear_uint8(x: Tensor, packed: Tensor, scale: Tensor) -> Tensor:
    """(N, I) bytes with zero at 128 times packed weights (I, O), scaled by output: (N, O) bf16."""
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    return torch.ops.onednn.qlinear_pointwise(
        x, 1.0, ZERO, packed, scale, zeros, None, 1.0, 0, torch.bfloat16, "none", [], ""
    )


@_linear_uint8.register_fake
def _(x: Tensor, packed: Tensor, scale: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], scale.shape[0], dtype=torch.bfloat16)
