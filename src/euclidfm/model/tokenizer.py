"""Galaxies to tokens and back: image patches, SED points, scalars and measured numbers, with a mask.

A pixel of flux f in a band with reference noise s becomes ``asinh(f / 3 s)``: linear in the noise,
logarithmic above. An SED point with softening b (half the band's median error) becomes ``asinh(f / 2b) + ln
b``, the luptitude of Lupton, Gunn & Szalay (1999) in natural logarithms. It equals ln f for bright sources,
so that differences of bands are colours, and it is defined for negative fluxes. Both keep brightness, and
both are inverted exactly by `Tokenizer.pixels_to_ujy` and `Tokenizer.sed_to_ujy`. A scalar x becomes (x - c)
/ s, with the mean c and the standard deviation s of its column; so does a number measured on the images.

Shapes: B galaxies, C bands, n tokens of a modality, P values of a token, F input features, K SED bands.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from euclidfm.core.bands import BANDS
from euclidfm.model.config import MEASURED, SCALARS, SED, ImageModality, ModelConfig
from euclidfm.model.measured import scaled_measured
from euclidfm.model.patches import apply_symmetry, central_patches, cut_patches, patch_positions, ring_order
from euclidfm.model.scaling import UNKNOWN_NOISE_UJY, scaled_scalars
from euclidfm.model.tokens import ModalityTokens, Tokens, vector_tokens
from euclidfm.store import Galaxies

__all__ = ["Tokenizer", "tokenize"]

IMAGE_SOFTENING = 3.0
"""Noise units at which pixels turn from linear to logarithmic."""
SED_ERROR_FLOOR = 0.1
"""Errors below this (in natural-log flux) count as this much in the loss of an SED token."""
MOST_REMEMBERED = 200_000
"""Galaxies whose measured numbers are kept in memory, some 200 bytes each."""
UNKNOWN_SOFTENING_UJY = 0.05
"""Softening of an SED band that the training split lacked."""


class Tokenizer:
    """Galaxies to tokens, by the scaling that a model was fitted with.

    Parameters
    ----------
    config : ModelConfig
    """

    image_softening = IMAGE_SOFTENING
    sed_error_floor = SED_ERROR_FLOOR
    keeps_brightness = True
    """Whether scaled pixels can be turned back to fluxes."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self._remembered: dict[tuple[int, ...], np.ndarray] = {}

    def __call__(
        self,
        galaxies: Galaxies,
        wavelengths_nm: dict[str, float] | None = None,
        symmetry: np.ndarray | None = None,
    ) -> Tokens:
        """Turn galaxies into tokens.

        Parameters
        ----------
        galaxies : Galaxies
            May lack any band, image, SED point or scalar.
        wavelengths_nm : dict, optional
            Wavelength of each SED band; default the table of bands.
        symmetry : (B,) array of int, optional
            Symmetry of the square that is applied to each galaxy's images; see `apply_symmetry`.
        """
        config, tokens = self.config, Tokens()
        for m in config.images:
            tokens[m.name] = self._image_tokens(m, galaxies, symmetry)
        if config.sed:
            tokens[SED] = self._sed_tokens(galaxies, wavelengths_nm or {})
        if config.scalars:
            values = torch.from_numpy(scaled_scalars(config, galaxies)[..., None])
            tokens[SCALARS] = vector_tokens(values, torch.zeros(len(config.scalars), 3))
        if config.measured:
            values = torch.from_numpy(self._measured_values(galaxies)[..., None])
            tokens[MEASURED] = vector_tokens(values, torch.zeros(values.shape[1], 3))
        for v in config.vectors:
            empty = torch.zeros(len(galaxies), 0, v.size)
            tokens[v.name] = vector_tokens(empty, torch.zeros(0, v.coordinates))
        return {name: tokens[name] for name in config.modalities}

    def _measured_values(self, galaxies: Galaxies) -> np.ndarray:
        """(B, P) scaled measured numbers; those of a galaxy that was seen before are remembered."""
        bands = [galaxies.images[b] for b in self.config.measured if b in galaxies.images]
        keys = [
            (int(name), *(crc32(b[i].tobytes()) for b in bands)) for i, name in enumerate(galaxies.object_id)
        ]
        fresh = np.array([i for i, key in enumerate(keys) if key not in self._remembered], int)
        if len(fresh):
            if len(self._remembered) > MOST_REMEMBERED:
                self._remembered.clear()
            found = scaled_measured(self.config, galaxies.take(fresh))
            self._remembered |= {keys[i]: row for i, row in zip(fresh, found, strict=True)}
        return np.stack([self._remembered[key] for key in keys])

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Number of input features F and of predicted values P of each modality's tokens."""
        config, sizes = self.config, {}
        for m in config.images:
            values = m.patch**2 * len(m.bands)
            sizes[m.name] = (self.image_feature_count(values, len(m.bands)), values)
        if config.sed:
            sizes[SED] = (self.sed_feature_count(), 1)
        if config.scalars:
            sizes[SCALARS] = (1, 1)
        if config.measured:
            sizes[MEASURED] = (1, 1)
        for v in config.vectors:
            sizes[v.name] = (v.size, v.size)
        return {name: sizes[name] for name in config.modalities}

    def _image_tokens(
        self, m: ImageModality, galaxies: Galaxies, symmetry: np.ndarray | None
    ) -> ModalityTokens:
        config, n, crop = self.config, len(galaxies), self.config.crop
        pixels = np.zeros((n, len(m.bands), crop, crop), np.float32)
        masked = np.ones(pixels.shape, bool)
        depth = np.zeros((n, len(m.bands)), np.float32)
        for i, b in enumerate(m.bands):
            if b not in galaxies.images:
                continue
            start = (galaxies.images[b].shape[-1] - crop) // 2
            inside = slice(start, start + crop)
            values = galaxies.images[b][:, inside, inside]
            masked[:, i] = galaxies.masks[b][:, inside, inside] | ~np.isfinite(values)
            pixels[:, i] = self.scale_pixels(b, values)
            noise = galaxies.noise[b]
            known = np.isfinite(noise) & (noise > 0)
            depth[known, i] = np.log(noise[known] / config.pixel_noise_ujy.get(b, UNKNOWN_NOISE_UJY)).clip(
                -3, 3
            )
        pixels[masked] = 0.0
        if symmetry is not None:
            pixels, masked = apply_symmetry(pixels, symmetry), apply_symmetry(masked, symmetry)
        order = self.patch_order(crop // m.patch)
        usable = ~cut_patches(torch.from_numpy(masked), m.patch, order)
        scaled = self.scale_patches(cut_patches(torch.from_numpy(pixels), m.patch, order), usable)
        depths = torch.from_numpy(depth)[:, None, :].expand(-1, scaled.shape[1], -1)
        return ModalityTokens(
            features=self.image_features(scaled, usable, depths),
            target=scaled,
            weight=usable.float(),
            valid=usable.any(dim=-1),
            coords=patch_positions(m, crop, config.pixel_arcsec, order, config.image_wavelengths_nm),
        )

    def pixel_unit_ujy(self, band: str) -> float:
        """Flux of a pixel, in µJy, at which the scale turns from linear to logarithmic."""
        return self.image_softening * self.config.pixel_noise_ujy.get(band, UNKNOWN_NOISE_UJY)

    def scale_pixels(self, band: str, ujy: np.ndarray) -> np.ndarray:
        """Scaled pixels of one band, from µJy per pixel."""
        return np.asarray(np.arcsinh(ujy / self.pixel_unit_ujy(band)))

    def pixels_to_ujy(self, band: str, scaled: np.ndarray) -> np.ndarray:
        """Scaled pixels of one band back to µJy per pixel."""
        return np.asarray(
            np.sinh(scaled) * self.image_softening * self.config.pixel_noise_ujy.get(band, UNKNOWN_NOISE_UJY)
        )

    def scale_patches(self, values: Tensor, usable: Tensor) -> Tensor:
        """Further scaling of patches (B, n, P); none here."""
        return values

    def patch_order(self, side: int) -> np.ndarray:
        """Indices of a side x side grid of patches in the order of the sequence."""
        return ring_order(side)

    def is_central(self, m: ImageModality) -> Tensor:
        """(n,) bool: patches of an image modality in the middle half of the cutout each way."""
        return central_patches(self.patch_order(self.config.crop // m.patch))

    def image_feature_count(self, values: int, bands: int) -> int:
        """Input features F of a patch of some values and bands."""
        return 2 * values + bands

    def image_features(self, values: Tensor, usable: Tensor, depths: Tensor) -> Tensor:
        """Input features of patches (B, n, P): their values, masks, and each band's depth (B, n, C)."""
        return torch.cat([values, (~usable).float(), depths], dim=-1)

    def _sed_tokens(self, galaxies: Galaxies, wavelengths_nm: dict[str, float]) -> ModalityTokens:
        config, names = self.config, galaxies.sed_bands
        soft = np.array([self.softening_ujy(b) for b in names], np.float32)
        waves = [wavelengths_nm.get(b) or BANDS[b].wavelength_nm for b in names]
        flux, error = galaxies.flux, galaxies.fluxerr
        here = np.isfinite(flux)
        flux = np.where(here, flux, 0.0)
        value = (np.arcsinh(flux / (2 * soft)) + np.log(soft) - config.sed_center) / config.sed_spread
        known = np.isfinite(error) & (error > 0)
        # d(asinh flux) = error / sqrt(flux^2 + 4 b^2): a relative error for bright sources
        relative = np.where(known, error, 0.0) / np.sqrt(flux**2 + 4 * soft**2)
        excess = np.maximum(relative / self.sed_error_floor, 1.0)
        coords = np.zeros((len(names), 3), np.float32)
        coords[:, 2] = np.log(np.array(waves) / 1000.0)
        return ModalityTokens(
            features=torch.from_numpy(self.sed_features(value * here, relative, known)),
            target=torch.from_numpy((value * here).astype(np.float32)[..., None]),
            weight=torch.from_numpy((here / excess**2).astype(np.float32)[..., None]),
            valid=torch.from_numpy(here),
            coords=torch.from_numpy(coords),
            error=torch.from_numpy((relative * here / config.sed_spread).astype(np.float32)[..., None]),
        )

    def softening_ujy(self, band: str) -> float:
        """Softening b of an SED band in µJy."""
        return self.config.sed_softening_ujy.get(band, UNKNOWN_SOFTENING_UJY)

    def sed_feature_count(self) -> int:
        """Input features F of an SED point."""
        return 3

    def sed_features(self, value: np.ndarray, relative: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Input features of SED points (B, K): value, log error in asinh flux, whether there is an error."""
        parts = [value, np.log(relative + 1e-3) / 3.0 * known, known.astype(float)]
        return np.stack(parts, axis=-1).astype(np.float32)

    def sed_to_ujy(self, band: str, scaled: np.ndarray) -> np.ndarray:
        """Scaled SED values of one band back to µJy."""
        c, soft = self.config, self.softening_ujy(band)
        return np.asarray(2 * soft * np.sinh(scaled * c.sed_spread + c.sed_center - np.log(soft)))

    def scalar_from_scaled(self, name: str, x: np.ndarray) -> np.ndarray:
        """Standardised values of one scalar back to its own units, float64."""
        c = self.config
        return np.asarray(x, np.float64) * c.scalar_spread.get(name, 1.0) + c.scalar_center.get(name, 0.0)


def tokenize(
    config: ModelConfig,
    galaxies: Galaxies,
    wavelengths_nm: dict[str, float] | None = None,
    symmetry: np.ndarray | None = None,
) -> Tokens:
    """Turn galaxies into the tokens of a model of ours; see `Tokenizer`."""
    return Tokenizer(config)(galaxies, wavelengths_nm, symmetry)
