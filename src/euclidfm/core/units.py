"""Units of flux: the one home of zero points and conversions.

Fluxes are in microjansky (µJy) everywhere inside euclidfm. Catalogues and images may hold AB
magnitudes, asinh magnitudes, nanomaggies, jansky or counts; they are converted where they are read.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "AB_ZEROPOINT_UJY",
    "FLUX_UNITS",
    "MJY_SR_UJY_ARCSEC2",
    "NANOMAGGY_UJY",
    "abmag_from_ujy",
    "luptitude_from_ujy",
    "photometry_in_ujy",
    "ujy_from_abmag",
    "ujy_per_count",
]

AB_ZEROPOINT_UJY = 23.9
"""AB magnitude of 1 µJy: 8.90 - 2.5 log10(1e-6) (Oke & Gunn 1983, ApJ 266, 713)."""


def ujy_per_count(magzero: float) -> float:
    """Flux in µJy of one count of an image with AB zero point `magzero`."""
    return float(10.0 ** (0.4 * (AB_ZEROPOINT_UJY - magzero)))


def ujy_from_abmag(mag: npt.ArrayLike) -> np.ndarray:
    """Flux in µJy of an AB magnitude; NaN stays NaN."""
    return np.asarray(10.0 ** (0.4 * (AB_ZEROPOINT_UJY - np.asarray(mag, float))))


def abmag_from_ujy(flux: npt.ArrayLike) -> np.ndarray:
    """AB magnitude of a flux in µJy; NaN where the flux is not positive."""
    flux = np.asarray(flux, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        mag = AB_ZEROPOINT_UJY - 2.5 * np.log10(flux)
    return np.asarray(np.where(flux > 0, mag, np.nan))


NANOMAGGY_UJY = float(ujy_from_abmag(22.5))
"""µJy of one nanomaggy, the flux of AB 22.5 (SDSS)."""

FLUX_UNITS = {"ujy": 1.0, "njy": 1e-3, "mjy": 1e3, "jy": 1e6, "nanomaggy": NANOMAGGY_UJY}
"""µJy of one unit of flux (``mjy`` is the millijansky)."""


MJY_SR_UJY_ARCSEC2 = 1e12 * float(np.radians(1 / 3600)) ** 2
"""µJy per square arcsec of a surface brightness of 1 MJy/sr: 23.50."""


def luptitude_from_ujy(flux: npt.ArrayLike, softening_ujy: npt.ArrayLike) -> np.ndarray:
    """Asinh magnitude of a flux, defined for negative fluxes too.

    ``m = 23.9 - 2.5/ln 10 [asinh(f / 2b) + ln b]`` (Lupton, Gunn & Szalay 1999, AJ 118, 1406), which is
    the AB magnitude for f >> b and linear in f below.

    Parameters
    ----------
    flux : (..., K) array, µJy
    softening_ujy : (K,) array, µJy
        The softening b.
    """
    x = np.asarray(flux, np.float64) / (2.0 * np.asarray(softening_ujy))
    return np.asarray(AB_ZEROPOINT_UJY - 2.5 / np.log(10.0) * (np.arcsinh(x) + np.log(softening_ujy)))


def photometry_in_ujy(
    value: np.ndarray, error: np.ndarray, unit: str, softening_ujy: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes and first-order errors in µJy.

    The inverse of an asinh magnitude is ``f = 2b sinh(ln 10/2.5 (23.9 - m) - ln b)``, which tends to
    that of the AB magnitude as b goes to 0.

    Parameters
    ----------
    value, error : (N,) float
        In `unit`.
    unit : str
        ``abmag``, ``luptitude`` or one of `FLUX_UNITS`.
    softening_ujy : float
        Softening b of asinh magnitudes; 0 treats them as AB magnitudes.
    """
    if unit in FLUX_UNITS:
        return value * FLUX_UNITS[unit], error * FLUX_UNITS[unit]
    k = np.log(10) / 2.5
    if unit == "abmag" or softening_ujy == 0.0:
        flux = ujy_from_abmag(value)
        return flux, k * flux * error
    b = softening_ujy
    angle = k * (AB_ZEROPOINT_UJY - value) - np.log(b)
    return 2 * b * np.sinh(angle), 2 * b * np.cosh(angle) * k * error
