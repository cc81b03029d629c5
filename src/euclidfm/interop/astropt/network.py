"""AstroPT's network, built from the parts of ours where they are the same.

What differs, as observed on astropt 1.0.2 and 2.0.9 (Smith et al. 2024, arXiv:2405.14930): patches of zero
mean and unit variance in a square spiral; token encoders of other shapes; learned positions; no begin tokens,
and no position of the next token; LayerNorm. `AstroPTOptions` lists every departure. Models of euclidfm 0.1
that used one of these parts alone are also read as this architecture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from euclidfm.core.errors import InputError
from euclidfm.model.config import ModelConfig, VectorModality
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.tokenizer import IMAGE_SOFTENING, SED_ERROR_FLOOR, Tokenizer
from euclidfm.model.transformer import MLP_RATIO, BlockStyle

__all__ = ["ASTROPT", "AstroPT", "AstroPTOptions"]

Layers = Literal["mlp", "aim", "relu", "affine"]


@dataclass(frozen=True, kw_only=True)
class AstroPTOptions:
    """Departures from our architecture. The defaults are no departure; `ASTROPT` holds the reference's."""

    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float = 1e-6
    qk_norm: bool = True
    feed_forward: Literal["gelu", "gelu_tanh", "swiglu"] = "gelu"
    bias: bool = False
    """Biases in the blocks."""
    mlp_ratio: float = MLP_RATIO
    token_encoder: Layers = "mlp"
    """``mlp``: two layers. ``aim``: two layers, 4 times as wide (version 2). ``relu``: two layers with a ReLU
    each (version 1). ``affine``: one layer."""
    token_decoder: Layers = "affine"
    token_bias: bool = True
    """Biases in token encoders and decoders."""
    begin_tokens: bool = True
    next_positions: bool = True
    quality_features: bool = True
    """Whether the model reads masks, depths and errors beside the values."""
    positions: Literal["fourier", "learned"] = "fourier"
    max_positions: int = 1024
    """Tokens of a modality that have learned positions."""
    patch_order: Literal["rings", "spiral", "raster"] = "rings"
    image_scaling: Literal["asinh", "standardise", "zscore"] = "asinh"
    """``standardise``: each patch also gets zero mean and unit variance. ``zscore``: the same without asinh,
    as AstroPT does. Both remove the brightness."""
    image_softening: float = IMAGE_SOFTENING
    sed_error_floor: float = SED_ERROR_FLOOR
    dof: float = 0.0
    """Degrees of freedom of the likelihood; 0: learned."""

    @classmethod
    def of(cls, config: ModelConfig) -> AstroPTOptions:
        """Read the options of a model.

        Raises
        ------
        InputError
            If there is an option that this version does not know, or two contradict each other.
        """
        try:
            options = cls(**config.options)
        except TypeError as e:
            msg = f"the model has options that this version does not know ({e})"
            raise InputError(msg) from None
        if options.positions == "learned" and options.next_positions:
            msg = "learned positions can't be given for the next token: set next_positions: false"
            raise InputError(msg)
        if options.positions != "learned" and any(v.coordinates != 3 for v in config.vectors):
            msg = "Fourier and rotary positions need 3 coordinates of a vector modality: use learned ones"
            raise InputError(msg)
        return options


ASTROPT = {
    "norm": "layer",
    "norm_eps": 1e-5,
    "qk_norm": False,
    "feed_forward": "gelu_tanh",
    "bias": False,
    "token_encoder": "aim",
    "token_decoder": "aim",
    "token_bias": False,
    "begin_tokens": False,
    "next_positions": False,
    "quality_features": False,
    "positions": "learned",
    "max_positions": 1024,
    "patch_order": "spiral",
    "image_scaling": "zscore",
}
"""Options of AstroPT, version 2, from its defaults and published configurations."""


class AstroPT(FoundationModel):
    """AstroPT's network; its config's `options` say which version."""

    def __init__(self, config: ModelConfig) -> None:
        o = AstroPTOptions.of(config)
        self.has_begin_tokens, self.has_next_positions = o.begin_tokens, o.next_positions
        self.fixed_dof = o.dof
        self.block_style = BlockStyle(o.norm, o.norm_eps, o.qk_norm, o.feed_forward, o.bias, o.mlp_ratio)
        super().__init__(config)

    def make_tokenizer(self) -> Tokenizer:
        """Make the tokenizer of this model."""
        return AstroPTTokenizer(self.config)

    def make_token_encoder(self, features: int) -> nn.Module:
        """Make the network from a token's features to the residual stream."""
        o, d = AstroPTOptions.of(self.config), self.config.width
        return encoder(o.token_encoder, features, d, o.token_bias)

    def make_token_decoder(self, outputs: int) -> nn.Module:
        """Make the network from the residual stream to a token's predictions."""
        o, d = AstroPTOptions.of(self.config), self.config.width
        if o.token_decoder == "aim":
            return encoder("aim", d, outputs, o.token_bias, 4 * d)
        if o.token_decoder == "relu":
            first, second = (nn.Linear(a, b, bias=o.token_bias) for a, b in ((d, 2 * d), (2 * d, d)))
            last = nn.Linear(d, outputs, bias=o.token_bias)
            return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
        return nn.Linear(d, outputs, bias=o.token_bias)

    def make_positions(self, following: bool = False) -> nn.Module:
        """Make the positional encoding of the tokens, or (`following`) of the next ones."""
        o, c = AstroPTOptions.of(self.config), self.config
        if o.positions == "learned":
            return LearnedPositions(c.modalities, c.vectors, c.width, o)
        return super().make_positions(following)


def encoder(kind: Layers, features: int, width: int, bias: bool, inner: int = 0) -> nn.Module:
    """Layers from a token's features to the residual stream."""
    if kind == "affine":
        return nn.Linear(features, width, bias=bias)
    inner = inner or (4 * width if kind == "aim" else width)
    first, second = nn.Linear(features, inner, bias=bias), nn.Linear(inner, width, bias=bias)
    if kind == "relu":
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
    return nn.Sequential(first, nn.GELU("tanh" if kind == "aim" else "none"), second)


class LearnedPositions(nn.Module):
    """A vector for each rank in a modality; or a projection of a vector modality's coordinates."""

    def __init__(
        self,
        modalities: tuple[str, ...],
        vectors: tuple[VectorModality, ...],
        width: int,
        options: AstroPTOptions,
    ) -> None:
        super().__init__()
        self.longest = options.max_positions
        begin = options.begin_tokens
        self.begin = nn.Parameter(torch.randn(len(modalities), width) * 0.02) if begin else None
        projected = {v.name: v.coordinates for v in vectors if v.coordinates}
        self.tables = nn.ModuleDict()
        for name in modalities:
            if name in projected:
                table = encoder(options.token_encoder, projected[name], width, options.token_bias)
            else:
                table = nn.Embedding(self.longest, width)
                nn.init.normal_(table.weight, std=0.02)
            self.tables[name] = table

    def forward(self, coords: dict[str, Tensor]) -> Tensor:
        """(S, D) from the (n, coordinates) of each modality.

        Raises
        ------
        InputError
            If a modality has more tokens than there are learned positions.
        """
        parts: list[Tensor] = [] if self.begin is None else [self.begin]
        for name, c in coords.items():
            table = self.tables[name]
            if not isinstance(table, nn.Embedding):
                parts.append(table(c))
            elif len(c) > self.longest:
                msg = f"{len(c)} tokens of {name} are more than the model's {self.longest} learned positions"
                raise InputError(msg)
            else:
                parts.append(table.weight[: len(c)])
        return torch.cat(parts)


class AstroPTTokenizer(Tokenizer):
    """Galaxies to tokens as AstroPT reads them: patches of zero mean and unit variance, values alone."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.options = AstroPTOptions.of(config)
        self.image_softening = self.options.image_softening
        self.sed_error_floor = self.options.sed_error_floor
        self.keeps_brightness = self.options.image_scaling == "asinh"

    def scale_pixels(self, band: str, ujy: np.ndarray) -> np.ndarray:
        """Scaled pixels of one band, from µJy per pixel."""
        return ujy if self.options.image_scaling == "zscore" else super().scale_pixels(band, ujy)

    def scale_patches(self, values: Tensor, usable: Tensor) -> Tensor:
        """Patches (B, n, P) of zero mean and unit variance, over their usable values."""
        if self.keeps_brightness:
            return values
        unbiased = self.options.image_scaling == "zscore"
        count = usable.sum(-1, keepdim=True).clamp(min=1)
        mean = (values * usable).sum(-1, keepdim=True) / count
        free = (count - 1).clamp(min=1) if unbiased else count
        spread = (((values - mean) * usable).square().sum(-1, keepdim=True) / free).sqrt()
        return (values - mean) / (spread + (1e-8 if unbiased else 1e-6)) * usable

    def patch_order(self, side: int) -> np.ndarray:
        """Indices of a side x side grid of patches in the order of the sequence."""
        if self.options.patch_order == "raster":
            return np.arange(side * side)
        return square_spiral(side) if self.options.patch_order == "spiral" else super().patch_order(side)

    def image_feature_count(self, values: int, bands: int) -> int:
        """Input features F of a patch of some values and bands."""
        return super().image_feature_count(values, bands) if self.options.quality_features else values

    def image_features(self, values: Tensor, usable: Tensor, depths: Tensor) -> Tensor:
        """Input features of patches (B, n, P)."""
        return super().image_features(values, usable, depths) if self.options.quality_features else values

    def sed_feature_count(self) -> int:
        """Input features F of an SED point."""
        return super().sed_feature_count() if self.options.quality_features else 1

    def sed_features(self, value: np.ndarray, relative: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Input features of SED points (B, K)."""
        if self.options.quality_features:
            return super().sed_features(value, relative, known)
        return value[..., None].astype(np.float32)


def square_spiral(side: int) -> np.ndarray:
    """Indices from the centre outwards, one step at a time: a clockwise walk inwards, taken backwards.

    The walk starts at the first corner; this is the order of the reference work's images.
    """
    walk, left = [], np.zeros((side, side), bool)
    y, x, dy, dx = 0, 0, 0, 1
    for _ in range(side * side):
        walk.append(y * side + x)
        left[y, x] = True
        ahead = (y + dy, x + dx)
        if not (0 <= ahead[0] < side and 0 <= ahead[1] < side) or left[ahead]:
            dy, dx = dx, -dy
        y, x = y + dy, x + dx
    return np.array(walk[::-1])
