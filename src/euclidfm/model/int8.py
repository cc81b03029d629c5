"""Embedding with matrix products in 8-bit integers, on CPUs.

A token's inputs are divided by their largest magnitude over 127 and rounded, each row of the weights
likewise; products are summed in 32 bits and scaled back (a scale for each token and each output: Dettmers et
al. 2022, arXiv:2208.07339, without its treatment of outliers). As no scale is shared by tokens, the embedding
of a galaxy does not depend on its batch, and nothing has to be calibrated.

The kernel is oneDNN's, through torch. It multiplies unsigned by signed bytes, so the zero of inputs is 128.

Shapes: N tokens, I inputs, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.core.errors import InputError
from euclidfm.model.compiled import compile_blocks
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.precision import choose_precision, cpu_flags
from euclidfm.model.transformer import Block

__all__ = ["DownOfGelu", "Int8Linear", "in_int8"]

UNITS = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""CPU flags of units that sum products of bytes without overflow."""
ZERO = 128
GELU_LEAST = 0.17
"""How far GELU goes below zero: the minimum is -0.16997, of its tanh form -0.17004, which rounds to it."""


def in_int8(model: FoundationModel) -> FoundationModel:
    """Copy a model (weights are shared) whose blocks multiply in 8-bit integers; for inference alone.

    The blocks are compiled: rounding would otherwise take longer than the faster products save.

    Raises
    ------
    InputError
        If the model is not on a CPU, the CPU has no units for it, or there is no C++ compiler.
    """
    if model.device.type != "cpu" or not UNITS & cpu_flags():
        msg = "precision int8 needs a CPU with units for it (VNNI or AMX), which this device is not: use auto"
        raise InputError(msg)
    copy = FoundationModel(model.config)
    copy.load_state_dict(model.state_dict(), assign=True)
    number = choose_precision("auto", model.device)
    for block in copy.transformer.blocks:
        assert isinstance(block, Block)
        gelu = block.feed_forward if block.feed_forward != "swiglu" else None
        for name in ("qkv", "out", "up", "down"):
            layer = getattr(block, name)
            with_gelu = gelu and name == "down"
            setattr(block, name, DownOfGelu(layer, number, gelu) if with_gelu else Int8Linear(layer, number))
        if gelu:
            vars(block)["activate"] = _unchanged  # what an instance holds goes before its methods
    compile_blocks(copy)
    return copy.eval()


def _unchanged(x: Tensor) -> Tensor:
    return x


class Int8Linear(nn.Module):
    """What a linear layer does, in 8-bit integers.

    Parameters
    ----------
    layer : nn.Linear
        From I inputs to O outputs.
    number : torch.dtype
        Of the outputs, float32 or bfloat16.
    """

    scale: Tensor
    packed: Tensor

    @torch.no_grad()
    def __init__(self, layer: nn.Linear, number: torch.dtype) -> None:
        super().__init__()
        scale = layer.weight.abs().amax(1).float().clamp(min=1e-12) / 127  # (O,)
        whole = (layer.weight / scale[:, None]).round().to(torch.int8)
        self.register_buffer("scale", scale)
        self.register_buffer("packed", torch.ops.onednn.qlinear_prepack(whole, None))
        self.bias, self.number = layer.bias, number

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        return self.product(x, x.abs().amax(-1, keepdim=True))

    def product(self, x: Tensor, largest: Tensor) -> Tensor:
        """(..., I) to (..., O), given the largest magnitude (..., 1) of each token's inputs."""
        size = largest.float().clamp(min=1e-12) / 127
        rounded = ((x / size).round() + ZERO).to(torch.uint8)
        y = torch.ops.euclidfm.int8_linear(rounded.flatten(0, -2), self.packed, self.scale, self.number)
        y = (y.unflatten(0, x.shape[:-1]) * size).to(self.number)
        return y if self.bias is None else y + self.bias.to(self.number)


class DownOfGelu(Int8Linear):
    """GELU and the linear layer after it; the largest GELU is that of the largest number, or GELU_LEAST."""

    def __init__(self, layer: nn.Linear, number: torch.dtype, kind: str | None) -> None:
        super().__init__(layer, number)
        self.approximate = "tanh" if kind == "gelu_tanh" else "none"

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) numbers before GELU to (..., O)."""
        highest = F.gelu(x.amax(-1, keepdim=True), approximate=self.approximate)
        return self.product(F.gelu(x, approximate=self.approximate), highest.clamp(min=GELU_LEAST))


@torch.library.custom_op("euclidfm::int8_linear", mutates_args=())
def _int8_linear(x: Tensor, packed: Tensor, scale: Tensor, number: torch.dtype) -> Tensor:
    """(N, I) bytes times packed weights, times the scale (O,) of each output: (N, O)."""
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    return torch.ops.onednn.qlinear_pointwise(
        x, 1.0, ZERO, packed, scale, zeros, None, 1.0, 0, number, "none", [], ""
    )


@_int8_linear.register_fake
def _(x: Tensor, packed: Tensor, scale: Tensor, number: torch.dtype) -> Tensor:
    return x.new_empty(x.shape[0], scale.shape[0], dtype=number)
