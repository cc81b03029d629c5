"""What defines a model: its modalities, its scaling to physical fluxes, its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.model.options import BlockConfig, ImageModality, TokenConfig, VectorModality
from euclidfm.model.scalars import fit_scalars
from euclidfm.store import GalaxyStore

__all__ = ["SCALARS", "SED", "SIZES", "ImageModality", "ModelConfig", "fit_scaling"]

SED = "SED"
"""Name of the photometry modality: one token a band."""

SCALARS = "SCALARS"
"""Name of the modality of scalar columns: one token a column."""

SIZES: dict[str, dict[str, int]] = {
    "1M": {"width": 128, "depth": 5, "heads": 4},
    "3M": {"width": 192, "depth": 6, "heads": 6},
    "5M": {"width": 256, "depth": 6, "heads": 8},
    "20M": {"width": 448, "depth": 8, "heads": 7},
    "90M": {"width": 768, "depth": 12, "heads": 12},
    "200M": {"width": 1024, "depth": 16, "heads": 16},
    "400M": {"width": 1280, "depth": 20, "heads": 20},
    "1B": {"width": 2048, "depth": 20, "heads": 16},
    "2B": {"width": 2560, "depth": 26, "heads": 20},
}
"""Named sizes (parameters of the transformer's blocks, rounded)."""


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
    """Whether the chain has SED tokens, after the images."""
    scalars: tuple[str, ...] = ()
    """Columns of the store (a size, an ellipticity, E(B-V)) that are tokens too, one each, after the SED."""
    vectors: tuple[VectorModality, ...] = ()
    """Modalities whose tokens the caller makes; a store holds none."""
    order: tuple[str, ...] = ()
    """Modalities in the default order of the chain; default images, SED, scalars, others."""
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
    blocks: BlockConfig = field(default_factory=BlockConfig)
    """What the transformer's blocks are made of."""
    tokens: TokenConfig = field(default_factory=TokenConfig)
    """How tokens are ordered, read, placed and predicted."""
    objective: Literal["huber", "likelihood"] = "huber"
    """Huber loss of predicted values, or a likelihood of them (gives a calibrated surprise)."""
    likelihood: Literal["student_t", "mixture"] = "student_t"
    """Distribution of each value: a Student-t, or a mixture of them, which may have several peaks."""
    components: int = 4
    """Student-t distributions in a mixture."""
    dof: float = 0.0
    """Degrees of freedom of the likelihood, at least 2; 0: learned, one number for each band."""
    predict: Literal["next", "masked"] = "next"
    """Each token from those before it in the chain, or hidden tokens from all others."""
    attention: Literal["causal", "prefix"] = "causal"
    """``prefix``: the first part of the chain, of random length in training, is read in both directions."""
    embed_layer: int = -1
    """Block whose output is the embedding (1 = after the first); -1 = the last. The default is measured
    (``docs/benchmarks.md``): no block is better, and in small models those before it lose stars."""
    embed_backwards: bool = True
    """Embed with the last modality of the chain first (photometry before images)."""
    image_softening: float = 3.0
    """Pixels enter as asinh(flux / (image_softening * noise))."""
    image_scaling: Literal["asinh", "standardise", "zscore"] = "asinh"
    """``standardise`` also gives each patch zero mean and unit variance; ``zscore`` does so without the
    asinh, as the reference work: both throw brightness away."""
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
    scalar_center: Mapping[str, float] = field(default_factory=dict)
    """Fitted: mean of each scalar."""
    scalar_spread: Mapping[str, float] = field(default_factory=dict)
    """Fitted: standard deviation of each scalar."""

    def __post_init__(self) -> None:
        if not self.images and not self.sed and not self.vectors and not self.scalars:
            msg = "a model needs at least one modality: give image modalities or sed: true"
            raise InputError(msg)
        if self.width % self.heads:
            msg = f"width {self.width} must be a multiple of heads {self.heads}"
            raise InputError(msg)
        for m in self.images:
            if self.crop % m.patch:
                msg = f"crop {self.crop} px must be a multiple of the {m.name} patch of {m.patch} px"
                raise InputError(msg)
        names = list(self._plain_order)
        if self.order and sorted(self.order) != sorted(names):
            msg = f"order ({', '.join(self.order)}) must name each modality once: {', '.join(names)}"
            raise InputError(msg)
        if len(set(self.scalars)) != len(self.scalars):
            msg = f"each scalar can be named once, got {', '.join(self.scalars)}"
            raise InputError(msg)
        if self.likelihood == "mixture" and (self.objective != "likelihood" or self.components < 2):
            msg = "a mixture needs objective: likelihood and components of at least 2"
            raise InputError(msg)
        if self.dof and self.dof < 2:
            msg = f"dof {self.dof} must be at least 2, or 0 for a learned one"
            raise InputError(msg)
        if self.predict == "masked" and self.attention == "prefix":
            msg = "a masked model reads in both directions always: leave attention at causal"
            raise InputError(msg)
        if self.tokens.places != "learned" and any(v.coordinates != 3 for v in self.vectors):
            msg = "Fourier and rotary places need 3 coordinates of a vector modality; set places: learned"
            raise InputError(msg)
        head = self.width // self.heads
        if self.tokens.places == "rotary" and (head % 2 or head < 6):
            msg = f"rotary places need heads of an even width of at least 6, got {head}: take fewer heads"
            raise InputError(msg)
        if len(set(self.modalities)) != len(self.modalities):
            msg = f"modality names must differ, got {', '.join(self.modalities)}"
            raise InputError(msg)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities in the default order of the chain."""
        return self.order or self._plain_order

    @property
    def _plain_order(self) -> tuple[str, ...]:
        return (
            *(m.name for m in self.images),
            *((SED,) if self.sed else ()),
            *((SCALARS,) if self.scalars else ()),
            *(v.name for v in self.vectors),
        )

    @property
    def numbers(self) -> int:
        """What the model says of each predicted value: 1, location and scale, or a mixture's."""
        if self.objective != "likelihood":
            return 1
        return 3 * self.components if self.likelihood == "mixture" else 2

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
        """Inverse of ``dataclasses.asdict``; what a model of an older version lacks gets its default.

        Raises
        ------
        InputError
            If there is a field that this version does not know.
        """
        d = dict(d)
        unknown = set(d) - {f.name for f in fields(cls)}
        if unknown:
            msg = f"the model's config has {', '.join(sorted(unknown))}, which this version does not know"
            raise InputError(msg)
        d["images"] = tuple(ImageModality(**{**m, "bands": tuple(m["bands"])}) for m in d["images"])
        d["vectors"] = tuple(VectorModality(**v) for v in d.get("vectors", ()))
        d["order"], d["scalars"] = tuple(d.get("order", ())), tuple(d.get("scalars", ()))
        d["blocks"] = BlockConfig(**d.get("blocks", {}))
        d["tokens"] = TokenConfig(**d.get("tokens", {}))
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
        If the store has none of the model's modalities, lacks a scalar, or its cutouts are too small.
    """
    info = store.info
    images = tuple(m for m in config.images if any(b in info.image_bands for b in m.bands))
    sed = config.sed and bool(info.sed_bands)
    if not images and not sed and not config.scalars:
        have = ", ".join(info.image_bands) or "no images"
        msg = f"store {store.path} has {have} and no SED: none of the modalities {config.modalities}"
        raise InputError(msg)
    if images and info.image_size < config.crop:
        msg = (
            f"cutouts of store {store.path} are {info.image_size} px, the model wants {config.crop}; "
            f"ingest with size {config.crop} or more, or set crop to at most {info.image_size}"
        )
        raise InputError(msg)
    keep = {*(m.name for m in images), *((SED,) if sed else ()), *(v.name for v in config.vectors)}
    keep |= {SCALARS} if config.scalars else set()
    scalar_center, scalar_spread = fit_scalars(config.scalars, store, rows)
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
        order=tuple(n for n in config.order if n in keep),
        pixel_arcsec=info.pixel_arcsec,
        pixel_noise_ujy=noise,
        sed_softening_ujy=softening,
        sed_center=center,
        sed_spread=max(spread, 1e-3),
        scalar_center=scalar_center,
        scalar_spread=scalar_spread,
    )


def _median(index: Any, name: str, fallback: float) -> float:
    values = np.asarray(index.column(name), float)
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if len(values) else fallback
