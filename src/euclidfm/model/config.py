"""What defines a model: its modalities, its size, what it learns, and its scaling to physical fluxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from euclidfm.core.errors import InputError

__all__ = ["MEASURED", "SCALARS", "SED", "SIZES", "ImageModality", "ModelConfig", "VectorModality"]

SED = "SED"
"""Name of the photometry modality: one token a band."""

SCALARS = "SCALARS"
"""Name of the modality of scalar columns: one token a column."""

MEASURED = "MEASURED"
"""Name of the modality of numbers measured on the images (`euclidfm.measure`): one token a number."""

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
    """Tokens that the caller makes, for example pieces of a spectrum. No column of a store holds them."""

    name: str
    size: int
    """Values of a token."""
    coordinates: int = 0
    """Numbers that give a token's position. With 0, its rank gives the position."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All that is needed to build a model and to turn galaxies into its tokens.

    The fitted fields are set by `euclidfm.model.scaling.fit_scaling` on the training split. They are saved
    with the model, so that every other store is scaled in the same way.
    """

    images: tuple[ImageModality, ...] = (
        ImageModality(name="VIS", bands=("VIS",), patch=8),
        ImageModality(name="NISP", bands=("Y", "J", "H"), patch=16),
    )
    """Image modalities, in the order of the sequence."""
    sed: bool = True
    """Whether the sequence has SED tokens, one a band, after the images."""
    scalars: tuple[str, ...] = ()
    """Columns of the store (a size, an ellipticity, E(B-V)) that become one token each, after the SED."""
    measured: tuple[str, ...] = ()
    """Bands whose images are measured (`euclidfm.measure`): one token a number, after the scalars."""
    order: tuple[str, ...] = ()
    """Modalities in the default order of the sequence. The default is images, SED, scalars,
    measured numbers, others."""
    crop: int = 64
    """Side in pixels of the central part of the cutouts that the model reads."""
    width: int = 192
    """Width of the residual stream."""
    depth: int = 6
    """Number of transformer blocks."""
    heads: int = 6
    """Attention heads."""
    image_encoder: int = 16
    """Channels of the first stage of the image encoder, a multiple of 8 (`euclidfm.model.image_encoder`); 0:
    none. The encoder learns to predict the SED, or without SED the measured numbers (`measured`)."""
    positions: Literal["fourier", "rotary"] = "fourier"
    """Positional encoding of sky offset and wavelength: Fourier features that are added to the stream, or
    rotations of queries and keys."""
    objective: Literal["huber", "likelihood"] = "huber"
    """Huber loss of the predicted values, or their negative log-likelihood, which gives a surprisal."""
    likelihood: Literal["student_t", "mixture"] = "student_t"
    """Distribution of each value: a Student-t, or a mixture of them, which can have several peaks."""
    components: int = 4
    """Student-t distributions in a mixture."""
    predict: Literal["next", "masked"] = "next"
    """Predict each token from those before it, or predict masked tokens from all others."""
    attention: Literal["causal", "prefix"] = "causal"
    """``prefix``: attention is bidirectional in the first part of the sequence, of random length in
    training."""
    embed_layer: int = -1
    """Block whose output is the embedding (1 = after the first, -1 = the last). No other block measured
    better (``docs/benchmarks.md``); in small models the blocks before the last one lose stars."""
    embed_backwards: bool = True
    """Embed with the last modality of the sequence first (photometry before images)."""
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each modality's loss; 1 where none is given."""
    architecture: str = "euclidfm"
    """Which network is built: ours, or ``astropt``, the reference work's (`euclidfm.interop.astropt`)."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Imported: departures of another architecture from the constants of ours."""
    vectors: tuple[VectorModality, ...] = ()
    """Imported: modalities whose tokens the caller makes."""
    pixel_arcsec: float = 0.1
    """Fitted: pixel scale of the cutouts; it is part of the position of a patch."""
    pixel_noise_ujy: Mapping[str, float] = field(default_factory=dict)
    """Fitted: reference noise of a pixel by band."""
    image_wavelengths_nm: Mapping[str, float] = field(default_factory=dict)
    """Fitted: wavelength of image bands that the survey table lacks."""
    uncalibrated: tuple[str, ...] = ()
    """Fitted: image bands whose pixels and reference noise are in the unit of their files, not in µJy."""
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
    measured_uncalibrated: tuple[str, ...] = ()
    """Fitted: bands of `measured` that are not in µJy."""
    measured_center: Mapping[str, float] = field(default_factory=dict)
    """Fitted: mean of each measured number."""
    measured_spread: Mapping[str, float] = field(default_factory=dict)
    """Fitted: standard deviation of each measured number."""

    readout_center: tuple[float, ...] = ()
    """Fitted: median of each target of the image encoder's read-out (`euclidfm.model.readout`)."""
    readout_spread: tuple[float, ...] = ()
    """Fitted: standard deviation of each target."""

    def __post_init__(self) -> None:
        self._check_modalities()
        self._check_network()

    def _check_modalities(self) -> None:
        if not (self.images or self.sed or self.vectors or self.scalars or self.measured):
            msg = "a model needs at least one modality: give image modalities or sed: true"
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
        if len(set(self.modalities)) != len(self.modalities):
            msg = f"modality names must differ, got {', '.join(self.modalities)}"
            raise InputError(msg)

    def _check_network(self) -> None:
        if self.width % self.heads:
            msg = f"width {self.width} must be a multiple of heads {self.heads}"
            raise InputError(msg)
        head = self.width // self.heads
        if self.positions == "rotary" and (head % 2 or head < 6):
            msg = f"rotary positions need heads of an even width of at least 6, got {head}: take fewer heads"
            raise InputError(msg)
        if self.likelihood == "mixture" and (self.objective != "likelihood" or self.components < 2):
            msg = "a mixture needs objective: likelihood and components of at least 2"
            raise InputError(msg)
        if self.predict == "masked" and self.attention == "prefix":
            msg = "attention of a masked model is always bidirectional: leave attention at causal"
            raise InputError(msg)
        if self.image_encoder < 0 or self.image_encoder % 8:
            msg = f"image_encoder must be a multiple of 8, or 0 for none, got {self.image_encoder}"
            raise InputError(msg)
        if self.embed_layer > self.depth:
            msg = f"embed_layer {self.embed_layer} is beyond the model's {self.depth} blocks"
            raise InputError(msg)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities in the default order of the sequence."""
        return self.order or self._plain_order

    @property
    def _plain_order(self) -> tuple[str, ...]:
        return (
            *(m.name for m in self.images),
            *((SED,) if self.sed else ()),
            *((SCALARS,) if self.scalars else ()),
            *((MEASURED,) if self.measured else ()),
            *(v.name for v in self.vectors),
        )

    @property
    def masked(self) -> bool:
        """Whether the model predicts masked tokens."""
        return self.predict == "masked"

    @property
    def bidirectional(self) -> bool:
        """Whether attention is bidirectional when a galaxy is embedded."""
        return self.masked or self.attention == "prefix"

    @property
    def numbers(self) -> int:
        """Outputs for each predicted value: 1 for the Huber loss, else the parameters of a distribution."""
        if self.objective != "likelihood":
            return 1
        return 3 * self.components if self.likelihood == "mixture" else 2

    @property
    def image_bands(self) -> tuple[str, ...]:
        """All bands whose images the model reads."""
        return tuple(dict.fromkeys([*(b for m in self.images for b in m.bands), *self.measured]))

    @property
    def layer(self) -> int:
        """Block whose output is the embedding, counted from 1."""
        return self.embed_layer if self.embed_layer > 0 else self.depth

    @property
    def has_image_encoder(self) -> bool:
        """Whether there is an image encoder: it needs images, and something to learn to predict."""
        return bool(self.image_encoder and self.images and self.readout_center)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> ModelConfig:
        """Inverse of ``dataclasses.asdict``; fields that are missing get their default.

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
        names = ("order", "scalars", "uncalibrated", "measured", "measured_uncalibrated")
        for name in (*names, "readout_center", "readout_spread"):
            d[name] = tuple(d.get(name, ()))
        return cls(**d)
