"""Noise, depth, PSF and lost pixels of a tile, whatever sources lie on it."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage, optimize

from euclidfm.core.bands import BANDS, EUCLID_BANDS, PIXEL_ARCSEC
from euclidfm.core.units import ujy_from_abmag
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.images.components import Psf
from euclidfm.simulate.images.stamp import FLAG_BITS

__all__ = ["NO_DATA", "Maps", "add_noise", "draw_noise", "draw_psfs", "lose_pixels", "smoothing_sigma"]

NO_DATA = 1e16
"""RMS of pixels without data."""

Maps = dict[str, np.ndarray]
"""A map for each imaged band."""


@cache
def smoothing_sigma(ratio: float) -> float:
    """Width (pixels) of the Gaussian that lowers white noise to `ratio` of its deviation."""
    if ratio >= 1:
        return 0.0
    axis = np.arange(-20, 21)

    def excess(s: float) -> float:
        w = np.exp(-0.5 * (axis / s) ** 2)
        return float(((w / w.sum()) ** 2).sum()) - ratio

    return float(optimize.brentq(excess, 0.05, 10.0))


def draw_noise(cfg: SkyConfig, size: int, rng: np.random.Generator) -> tuple[Maps, Maps]:
    """Noise of unit RMS, correlated as resampling does, and RMS maps in µJy per pixel.

    The RMS map holds the white-noise equivalent: single pixels scatter less than it says
    (by the survey table's `noise_correlation`), sums over many pixels do not. Depth varies
    with the number of exposures: gaps between detectors cross the tile.
    """
    noise, rms = {}, {}
    axis = np.arange(size)
    for name in EUCLID_BANDS:
        b = BANDS[name]
        exposures = np.full((size, size), 4.0, np.float32)
        for _ in range(2):
            start, width = rng.integers(0, size), int(rng.integers(30, 90))
            exposures[:, (axis >= start) & (axis < start + width)] -= 1
            start = rng.integers(0, size)
            exposures[(axis >= start) & (axis < start + width)] -= 1
        level = np.float32(b.pixel_rms_ujy * cfg.conditions.noise * (1 + 0.03 * rng.standard_normal()))
        rms[name] = level * np.sqrt(np.float32(4.0) / np.maximum(exposures, 1))
        white = rng.standard_normal((size, size), dtype=np.float32)
        noise[name] = ndimage.gaussian_filter(white, smoothing_sigma(b.noise_correlation), mode="wrap")
    return noise, rms


def add_noise(image: Maps, noise: Maps, rms: Maps) -> None:
    """Add the noise to the images: the sky's, and the photon noise of the sources above it."""
    for name in EUCLID_BANDS:
        sky = np.float32(ujy_from_abmag(BANDS[name].sky_mag_arcsec2) * PIXEL_ARCSEC**2)
        photons = np.sqrt(1 + np.maximum(image[name], 0) / sky)
        image[name] += noise[name] * rms[name] * photons


def draw_psfs(cfg: SkyConfig, x: float, y: float, size: int, slope: np.ndarray) -> list[Psf]:
    """PSF of each band at a place: width and shape vary by a few per cent across the tile.

    Parameters
    ----------
    x, y : float
        Position, pixels.
    slope : array of shape ``(4,)``
        The tile's own gradients, -1 to 1.
    """
    u, v = x / size - 0.5, y / size - 0.5
    wider = 1 + 0.04 * (slope[0] * u + slope[1] * v)
    e1, e2 = 0.03 * float(slope[2] * u), 0.03 * float(slope[3] * v)
    return [Psf(fwhm=w * wider, beta=cfg.conditions.psf_beta, e1=e1, e2=e2) for w in cfg.psf_fwhm().values()]


def lose_pixels(image: Maps, rms: Maps, flag: Maps, rng: np.random.Generator) -> None:
    """Pixels without data: a corner that the exposures of a band did not reach, and a rim."""
    size = image["VIS"].shape[0]
    for b in EUCLID_BANDS:
        lost = np.zeros((size, size), bool)
        w, h = (int(v) for v in rng.integers(0, size // 8, 2))
        lost[:h, :w] = True
        lost[-3:] = True
        image[b][lost], rms[b][lost] = 0.0, NO_DATA
        flag[b][lost] |= FLAG_BITS["invalid"]
