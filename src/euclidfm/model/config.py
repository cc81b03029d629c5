"""What defines a model: its modalities, its scaling to physical fluxes, its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from euclidfm.errors import InputError
from euclidfm.store import GalaxyStore

__all__ = ["SED", "SIZES", "ImageModality", "ModelConfig", "fit_scaling"]

SED = "SED"
"""Name of the photometry modality: one token a band."""

SIZES: dict[str, dict[str, int]] = {
    "1M": {"width": 128, "depth": 5, "heads": 4},
    "3M": {"width": 192, "depth": 6, "heads": 6},
    "5M": {"width": 256, "depth": 6, "heads": 8},
    "20M": {"width": 448, "depth": 8, "heads": 7},
    "90M": {"width": 768, "depth": 12, "heads": 12},
}
"""Named sizes (parameters of the transformer's blocks, rounded)."""


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
class ModelConfig:
    """Everything needed to build a model and to turn galaxies into its tokens.

    The scaling fields are fitted on the training split by `fit_scaling` and travel with the
    model, so that another store is read with the same eyes.
    """

    images: tuple[ImageModality, ...] = (
        ImageModality(name="VIS", bands=("VIS",), patch=8),
        ImageModality(name="NISP", bands=("Y", "J", "H"), patch=16),
    )
    """Image modalities, in the order of the chain."""
    sed: bool = True
    """Whether the chain ends with SED tokens."""
    crop: int = 64
    """Side in pixels of the central part of the cutouts that the model sees."""
    pixel_arcsec: float = 0.1
    """Pixel scale of the cutouts; part of the position of a patch."""
    width: int = 192
    """Width of the residual stream."""
    depth: int = 6
    """Number of transformer blocks."""
    heads: int = 6
    """Attention heads."""
    mlp_ratio: float = 4.0
    """Hidden width of the feed-forward layers over `width`."""
    embed_layer: int = -1
    """Block whose output is the embedding (1 = after the first); -1 = the last."""
    image_softening: float = 3.0
    """Pixels enter as asinh(flux / (image_softening * noise))."""
    image_scaling: Literal["asinh", "standardise"] = "asinh"
    """``standardise`` also gives each patch zero mean and unit variance, for parity with the
    reference work: it throws brightness away."""
    sed_error_floor: float = 0.1
    """Errors below this (in natural-log flux) do not count in the loss of an SED token."""
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each modality's loss; 1 where not given."""
    pixel_noise_ujy: Mapping[str, float] = field(default_factory=dict)
    """Fitted: reference noise of a pixel by band."""
    sed_softening_ujy: Mapping[str, float] = field(default_factory=dict)
    """Fitted: softening of the asinh flux by band (half the median error)."""
    sed_center: float = 0.0
    """Fitted: mean asinh flux over all bands."""
    sed_spread: float = 1.0
    """Fitted: standard deviation of the asinh flux over all bands."""

    def __post_init__(self) -> None:
        if not self.images and not self.sed:
            msg = "a model needs at least one modality: give image modalities or sed: true"
            raise InputError(msg)
        if self.width % self.heads:
            msg = f"width {self.width} must be a multiple of heads {self.heads}"
            raise InputError(msg)
        for m in self.images:
            if self.crop % m.patch:
                msg = f"crop {self.crop} px must be a multiple of the {m.name} patch of {m.patch} px"
                raise InputError(msg)
        if len(set(self.modalities)) != len(self.modalities):
            msg = f"modality names must differ, got {', '.join(self.modalities)}"
            raise InputError(msg)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities in the default order of the chain."""
        return (*(m.name for m in self.images), *((SED,) if self.sed else ()))

    @property
    def image_bands(self) -> tuple[str, ...]:
        """All bands whose images the model reads."""
        return tuple(dict.fromkeys(b for m in self.images for b in m.bands))

    @property
    def layer(self) -> int:
        """Block whose output is the embedding, counted from 1."""
        if self.embed_layer > self.depth:
            msg = f"embed_layer {self.embed_layer} is beyond the model's {self.depth} blocks"
            raise InputError(msg)
        return self.embed_layer if self.embed_layer > 0 else self.depth

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> ModelConfig:
        """Inverse of ``dataclasses.asdict``."""
        d = dict(d)
        d["images"] = tuple(ImageModality(**{**m, "bands": tuple(m["bands"])}) for m in d["images"])
        return cls(**d)


def fit_scaling(config: ModelConfig, store: GalaxyStore, rows: np.ndarray) -> ModelConfig:
    """Fit the scaling of fluxes on (training) rows of a store, and drop what the store lacks.

    Parameters
    ----------
    config : ModelConfig
    store : GalaxyStore
    rows : array of int
        Rows to fit on; use the training split.

    Returns
    -------
    ModelConfig
        With the modalities that the store has, and the fitted fields filled in.

    Raises
    ------
    InputError
        If the store has none of the model's modalities, or its cutouts are too small.
    """
    info = store.info
    images = tuple(m for m in config.images if any(b in info.image_bands for b in m.bands))
    sed = config.sed and bool(info.sed_bands)
    if not images and not sed:
        have = ", ".join(info.image_bands) or "no images"
        msg = f"store {store.path} has {have} and no SED: none of the modalities {config.modalities}"
        raise InputError(msg)
    if images and info.image_size < config.crop:
        msg = (
            f"cutouts of store {store.path} are {info.image_size} px, the model wants {config.crop}; "
            f"ingest with size {config.crop} or more, or set crop to at most {info.image_size}"
        )
        raise InputError(msg)
    index = store.index.take(rows)
    bands = {b for m in images for b in m.bands if b in info.image_bands}
    noise = {b: _median(index, f"noise_{b}", 0.01) for b in sorted(bands)}
    softening, values = {}, []
    for name in info.sed_names if sed else ():
        flux = np.asarray(index.column(f"flux_{name}"), float)
        fallback = 0.05 * float(np.nanmedian(np.abs(flux))) if np.isfinite(flux).any() else 0.05
        softening[name] = 0.5 * _median(index, f"fluxerr_{name}", fallback)
        values.append(np.arcsinh(flux / (2 * softening[name])) + np.log(softening[name]))
    known = np.concatenate(values) if values else np.zeros(1)
    known = known[np.isfinite(known)]
    center = float(known.mean()) if len(known) else 0.0
    spread = float(known.std()) if len(known) > 1 else 1.0
    return replace(
        config,
        images=images,
        sed=sed,
        pixel_arcsec=info.pixel_arcsec,
        pixel_noise_ujy=noise,
        sed_softening_ujy=softening,
        sed_center=center,
        sed_spread=max(spread, 1e-3),
    )


def _median(index: Any, name: str, fallback: float) -> float:
    values = np.asarray(index.column(name), float)
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if len(values) else fallback
