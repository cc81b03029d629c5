"""Choices of architecture: how tokens are read and placed, and what a block of the transformer is made of.

The defaults are ours; each field also has the choice of the reference work (AstroPT; Smith et al. 2024,
arXiv:2405.14930), so that its models are configurations of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from euclidfm.core.errors import InputError

__all__ = ["BlockConfig", "ImageModality", "TokenConfig", "VectorModality"]


@dataclass(frozen=True, kw_only=True)
class ImageModality:
    """Image patches of one instrument."""

    name: str
    """Name of the modality, for example ``VIS`` or ``NISP``."""
    bands: tuple[str, ...]
    """Bands that are stacked in a patch."""
    patch: int = 8
    """Side of a patch in pixels."""


@dataclass(frozen=True, kw_only=True)
class VectorModality:
    """Tokens that the caller makes, for example pieces of a spectrum; no column of a store holds them."""

    name: str
    size: int
    """Values of a token."""
    coordinates: int = 0
    """Numbers that say where a token is; 0: it has a learned place by its rank."""


@dataclass(frozen=True, kw_only=True)
class TokenConfig:
    """How tokens are ordered, read, placed and predicted."""

    reader: Literal["mlp", "aim", "affine", "relu"] = "mlp"
    """From features to the stream: ``mlp`` two layers; ``aim`` two layers, 4 times as wide, of the
    reference's second version; ``relu`` two layers with a ReLU each, of its first; ``affine`` one layer."""
    predictor: Literal["affine", "aim", "relu"] = "affine"
    """From the stream to values."""
    bias: bool = True
    """Whether the layers of reader and predictor have biases."""
    begin: bool = True
    """Begin-of-modality tokens. Without them the first token of a galaxy is not predicted."""
    tell_next: bool = True
    """Tell each position the place of the token that it has to predict."""
    tell_quality: bool = True
    """Let the model read masks, depths and errors beside the values."""
    places: Literal["fourier", "learned", "rotary"] = "fourier"
    """Sky offset and wavelength as Fourier features added to the stream; a learned vector for each rank; or
    rotations of queries and keys by sky offset and wavelength (that of a token to come is added still)."""
    longest: int = 1024
    """Tokens of a modality that learned places are made for."""
    patch_order: Literal["rings", "spiral", "raster"] = "rings"
    """Order of patches: outwards ring by ring; the reference's square spiral; row by row."""

    def __post_init__(self) -> None:
        if self.places == "learned" and self.tell_next:
            msg = "learned places have no place for a token to come: set tell_next: false, or places: fourier"
            raise InputError(msg)


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """What a block of the transformer is made of."""

    norm: Literal["rms", "layer"] = "rms"
    """RMSNorm (Zhang & Sennrich 2019) or LayerNorm (Ba et al. 2016)."""
    norm_eps: float = 1e-6
    """Added to the variance."""
    qk_norm: bool = True
    """Normalise queries and keys of each head (Henry et al. 2020)."""
    feed_forward: Literal["gelu", "gelu_tanh", "swiglu"] = "gelu"
    """Exact GELU, its tanh form (Hendrycks & Gimpel 2016), or SwiGLU (Shazeer 2020)."""
    bias: bool = False
    """Biases in the linear layers and LayerNorms."""
