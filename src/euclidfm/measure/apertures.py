"""Aperture fluxes on filled cutouts.

Shapes: N galaxies, S pixels a side, R radii.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from euclidfm.core.apertures import aperture_weights

__all__ = ["aperture_fluxes", "fill_mirrored"]


def fill_mirrored(images: np.ndarray, bad: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Replace bad pixels by those opposite the centre, as the light of most galaxies is point-symmetric.

    Parameters
    ----------
    images : (N, S, S)
    bad : (N, S, S) bool

    Returns
    -------
    filled : (N, S, S)
        0 where the opposite pixel is bad, too.
    copied : (N, S, S) bool
        Pixels that were filled.
    holes : (N, S, S) bool
        Pixels that could not be filled.
    """
    opposite = bad[:, ::-1, ::-1]
    copied, holes = bad & ~opposite, bad & opposite
    filled = np.where(copied, images[:, ::-1, ::-1], images)
    return np.where(holes, 0.0, filled), copied, holes


def aperture_fluxes(
    filled: np.ndarray, copied: np.ndarray, holes: np.ndarray, noise: np.ndarray, radii: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes in circles around the centre of the cutout, and their errors.

    The error is that of independent sky pixels with RMS `noise`, without the photon noise of the galaxy. The
    partner of a copied pixel counts twice: ``var = noise^2 (sum w^2 + 2 sum over copied of w^2)``.

    Parameters
    ----------
    filled, copied, holes : (N, S, S)
        From `fill_mirrored`.
    noise : (N,)
    radii : sequence of float
        Pixels.

    Returns
    -------
    flux, error : (N, R) each
        NaN if the circle leaves the cutout or a hole lies in it.
    """
    n, side = len(filled), filled.shape[-1]
    w = _weights(side, tuple(radii))
    flux = filled.reshape(n, -1).astype(np.float64) @ w
    variance = (w**2).sum(axis=0) + 2.0 * copied.reshape(n, -1).astype(np.float32) @ w**2
    broken = holes.reshape(n, -1).astype(np.float32) @ (w > 0) > 0
    broken |= np.asarray(radii) > side / 2
    error = noise[:, None] * np.sqrt(variance)
    return np.where(broken, np.nan, flux), np.where(broken, np.nan, error)


@lru_cache(maxsize=16)
def _weights(side: int, radii: tuple[float, ...]) -> np.ndarray:
    """(S * S, R) fraction of each pixel in each circle around the centre."""
    c = (side - 1) / 2
    weights = [aperture_weights((side, side), c, c, r).ravel() for r in radii]
    return np.stack(weights, axis=1)
