"""Galaxies to tokens: scaled image patches and SED points, with what is missing marked.

Shapes: B galaxies, n tokens of a modality, P values of a token, F input features.

Scaling keeps brightness and colour. A pixel of flux f in a band with reference noise s enters
as ``asinh(f / (a s))`` with a = 3: linear in the noise, logarithmic above. An SED point with
softening b (half the band's median error) enters as ``asinh(f / 2b) + ln b``, the "luptitude" of
Lupton, Gunn & Szalay (1999) in natural logarithms: equal to ln f for bright sources, so that
differences of bands are colours, and well defined for negative fluxes. Both are inverted exactly
by `pixels_to_ujy` and `sed_to_ujy`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from euclidfm.core.bands import BANDS
from euclidfm.model.config import SCALARS, SED, ImageModality, ModelConfig
from euclidfm.model.patches import cut, patch_order, turned
from euclidfm.model.scalars import scaled as scaled_scalars
from euclidfm.store import Galaxies

__all__ = [
    "ModalityTokens",
    "Tokens",
    "pixels_to_ujy",
    "sed_to_ujy",
    "token_sizes",
    "tokenize",
    "vector_tokens",
]

_UNKNOWN_SOFTENING_UJY = 0.05


@dataclass
class ModalityTokens:
    """Tokens of one modality for a batch of galaxies."""

    features: Tensor
    """(B, n, F) what the model reads: scaled values and what says how far to trust them."""
    target: Tensor
    """(B, n, P) what it predicts: scaled values."""
    weight: Tensor
    """(B, n, P) weight of each value in the loss; 0 where masked or not measured."""
    valid: Tensor
    """(B, n) bool: the token exists."""
    coords: Tensor
    """(n, 3) position: x and y in arcsec from the centre, ln(wavelength / 1 micron)."""
    error: Tensor | None = None
    """(B, n, P) known error of the target, 0 if unknown; None: the target has no errors."""

    def to(self, device: torch.device) -> ModalityTokens:
        """Move to a device."""
        moved = {k: None if v is None else v.to(device, non_blocking=True) for k, v in self.__dict__.items()}
        return ModalityTokens(**moved)  # type: ignore[arg-type]

    def take(self, rows: slice) -> ModalityTokens:
        """Some of the galaxies."""
        each = {k: v[rows] for k, v in self.__dict__.items() if v is not None and k != "coords"}
        return replace(self, **each)


Tokens = dict[str, ModalityTokens]
"""Tokens by modality, in the default order of the chain."""


def token_sizes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Number of input features F and of predicted values P of each modality's tokens."""
    sizes = {}
    quality = config.tokens.tell_quality
    for m in config.images:
        values = m.patch**2 * len(m.bands)
        sizes[m.name] = (2 * values + len(m.bands) if quality else values, values)
    if config.sed:
        sizes[SED] = (3 if quality else 1, 1)
    if config.scalars:
        sizes[SCALARS] = (1, 1)
    for v in config.vectors:
        sizes[v.name] = (v.size, v.size)
    return {name: sizes[name] for name in config.modalities}


def tokenize(
    config: ModelConfig,
    galaxies: Galaxies,
    wavelengths_nm: dict[str, float] | None = None,
    turn: np.ndarray | None = None,
) -> Tokens:
    """Turn galaxies into tokens.

    Parameters
    ----------
    config : ModelConfig
    galaxies : Galaxies
        May lack any band, image, SED point or scalar.
    wavelengths_nm : dict, optional
        Wavelength of SED bands; default the survey table's.
    turn : (B,) array of int, optional
        Symmetry of the square to apply to each galaxy's images: 0 to 3 quarter turns, plus 4 if
        mirrored.
    """
    tokens: Tokens = {}
    for m in config.images:
        tokens[m.name] = _image_tokens(config, m, galaxies, turn)
    if config.sed:
        tokens[SED] = _sed_tokens(config, galaxies, wavelengths_nm or {})
    if config.scalars:
        values = scaled_scalars(config.scalars, config.scalar_center, config.scalar_spread, galaxies)
        tokens[SCALARS] = vector_tokens(
            torch.from_numpy(values[..., None]), torch.zeros(len(config.scalars), 3)
        )
    for v in config.vectors:
        tokens[v.name] = vector_tokens(torch.zeros(len(galaxies), 0, v.size), torch.zeros(0, v.coordinates))
    return {name: tokens[name] for name in config.modalities}


def vector_tokens(values: Tensor, coords: Tensor) -> ModalityTokens:
    """Tokens of a `VectorModality` from values (B, n, P), NaN where missing, and coordinates (n, C)."""
    usable = values.isfinite()
    plain = values.masked_fill(~usable, 0.0)
    return ModalityTokens(plain, plain, usable.float(), usable.any(dim=-1), coords)


def _image_tokens(
    config: ModelConfig, m: ImageModality, galaxies: Galaxies, turn: np.ndarray | None
) -> ModalityTokens:
    n, c, crop = len(galaxies), len(m.bands), config.crop
    pixels = np.zeros((n, c, crop, crop), np.float32)
    masked = np.ones((n, c, crop, crop), bool)
    depth = np.zeros((n, c), np.float32)
    for i, b in enumerate(m.bands):
        if b not in galaxies.images:
            continue
        reference = config.pixel_noise_ujy.get(b, 0.01)
        start = (galaxies.images[b].shape[-1] - crop) // 2
        inside = slice(start, start + crop)
        values = galaxies.images[b][:, inside, inside]
        masked[:, i] = galaxies.masks[b][:, inside, inside] | ~np.isfinite(values)
        if config.image_scaling == "zscore":
            pixels[:, i] = values
        else:
            pixels[:, i] = np.arcsinh(values / (config.image_softening * reference))
        noise = galaxies.noise[b]
        known = np.isfinite(noise) & (noise > 0)
        depth[known, i] = np.log(noise[known] / reference).clip(-3, 3)
    pixels[masked] = 0.0
    if turn is not None:
        pixels, masked = turned(pixels, turn), turned(masked, turn)
    order = patch_order(config.tokens.patch_order, crop // m.patch)
    scaled = cut(torch.from_numpy(pixels), m.patch, order)  # (B, n, P)
    usable = ~cut(torch.from_numpy(masked), m.patch, order)
    if config.image_scaling != "asinh":
        scaled = _standardise(scaled, usable, unbiased=config.image_scaling == "zscore")
    depths = torch.from_numpy(depth)[:, None, :].expand(-1, scaled.shape[1], -1)
    return ModalityTokens(
        features=image_features(config, scaled, usable, depths),
        target=scaled,
        weight=usable.float(),
        valid=usable.any(dim=-1),
        coords=_patch_positions(config, m, order),
    )


def image_features(config: ModelConfig, values: Tensor, usable: Tensor, depths: Tensor) -> Tensor:
    """What the model reads of patches (B, n, P): values, masks, and each band's depth (B, n, C)."""
    if not config.tokens.tell_quality:
        return values
    return torch.cat([values, (~usable).float(), depths], dim=-1)


def _patch_positions(config: ModelConfig, m: ImageModality, order: np.ndarray) -> Tensor:
    side = config.crop // m.patch
    offset = (np.arange(side) - (side - 1) / 2) * m.patch * config.pixel_arcsec
    y, x = np.meshgrid(offset, offset, indexing="ij")
    wavelength = np.mean([BANDS[b].wavelength_nm if b in BANDS else 1000.0 for b in m.bands]) / 1000.0
    coords = np.stack([x.ravel(), y.ravel(), np.full(side * side, np.log(wavelength))], axis=-1)
    return torch.from_numpy(coords[order].astype(np.float32))


def _standardise(values: Tensor, usable: Tensor, unbiased: bool) -> Tensor:
    count = usable.sum(-1, keepdim=True).clamp(min=1)
    mean = (values * usable).sum(-1, keepdim=True) / count
    free = (count - 1).clamp(min=1) if unbiased else count
    spread = (((values - mean) * usable).square().sum(-1, keepdim=True) / free).sqrt()
    return (values - mean) / (spread + (1e-8 if unbiased else 1e-6)) * usable


def _sed_tokens(config: ModelConfig, galaxies: Galaxies, wavelengths_nm: dict[str, float]) -> ModalityTokens:
    names = galaxies.sed_bands
    soft = np.array([config.sed_softening_ujy.get(b, _UNKNOWN_SOFTENING_UJY) for b in names], np.float32)
    waves = [wavelengths_nm.get(b) or BANDS[b].wavelength_nm for b in names]
    flux, error = galaxies.flux, galaxies.fluxerr
    here = np.isfinite(flux)
    flux = np.where(here, flux, 0.0)
    value = (np.arcsinh(flux / (2 * soft)) + np.log(soft) - config.sed_center) / config.sed_spread
    known = np.isfinite(error) & (error > 0)
    # d(asinh flux) = error / sqrt(flux^2 + 4 b^2): a relative error for bright sources
    relative = np.where(known, error, 0.0) / np.sqrt(flux**2 + 4 * soft**2)
    features = sed_features(config, value * here, relative, known)
    excess = np.maximum(relative / config.sed_error_floor, 1.0)
    coords = np.zeros((len(names), 3), np.float32)
    coords[:, 2] = np.log(np.array(waves) / 1000.0)
    return ModalityTokens(
        features=torch.from_numpy(features),
        target=torch.from_numpy((value * here).astype(np.float32)[..., None]),
        weight=torch.from_numpy((here / excess**2).astype(np.float32)[..., None]),
        valid=torch.from_numpy(here),
        coords=torch.from_numpy(coords),
        error=torch.from_numpy((relative * here / config.sed_spread).astype(np.float32)[..., None]),
    )


def sed_features(
    config: ModelConfig, value: np.ndarray, relative: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """What the model reads of SED points (B, K): value, error in asinh flux, whether there is one."""
    if not config.tokens.tell_quality:
        return value[..., None].astype(np.float32)
    parts = [value, np.log(relative + 1e-3) / 3.0 * known, known.astype(float)]
    return np.stack(parts, axis=-1).astype(np.float32)


def pixels_to_ujy(config: ModelConfig, band: str, scaled: np.ndarray) -> np.ndarray:
    """Scaled pixels of one band back to µJy per pixel."""
    return np.sinh(scaled) * config.image_softening * config.pixel_noise_ujy.get(band, 0.01)


def sed_to_ujy(config: ModelConfig, band: str, scaled: np.ndarray) -> np.ndarray:
    """Scaled SED values of one band back to µJy."""
    soft = config.sed_softening_ujy.get(band, _UNKNOWN_SOFTENING_UJY)
    return 2 * soft * np.sinh(scaled * config.sed_spread + config.sed_center - np.log(soft))


def take(tokens: Tokens, rows: slice) -> Tokens:
    """Tokens of some of the galaxies."""
    return {m: t.take(rows) for m, t in tokens.items()}


def withhold(tokens: Tokens, keep: tuple[str, ...]) -> Tokens:
    """The same tokens with all modalities but `keep` marked absent."""
    return {
        m: t if m in keep else replace(t, valid=torch.zeros_like(t.valid), weight=torch.zeros_like(t.weight))
        for m, t in tokens.items()
    }
