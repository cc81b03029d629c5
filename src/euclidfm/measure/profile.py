"""Curves of growth of the light, and the radii that follow from them.

Shapes: N galaxies, S pixels a side, R radii.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Profile", "growth_radii", "profiles"]

STEPS = 40
FIRST_PX = 0.4
"""Number of radii of the curve of growth, and the smallest one."""
PETROSIAN_RATIO = 0.2
"""Ratio of the brightness at the Petrosian radius to the mean brightness within it."""
ANNULUS = (0.8, 1.25)
"""Annulus of the brightness at a radius, in units of it."""
TOTAL = 1.5
"""The total flux is that within so many Petrosian radii, or within the cutout if this is less."""


@dataclass(frozen=True)
class Profile:
    """Light of N galaxies in circles around their centroids.

    Attributes
    ----------
    petrosian : (N,)
        Petrosian radius, pixels; NaN where the cutout does not contain it.
    total_radius : (N,)
        Radius of the total flux, pixels.
    flux_within : (N,)
        Flux within the Petrosian radius.
    r20, r50, r80 : (N,)
        Radii that hold 20, 50 and 80% of the total flux, pixels.
    """

    petrosian: np.ndarray
    total_radius: np.ndarray
    flux_within: np.ndarray
    r20: np.ndarray
    r50: np.ndarray
    r80: np.ndarray


def growth_radii(side: int) -> np.ndarray:
    """(R,) radii of the curve of growth in cutouts of a side, pixels."""
    return np.geomspace(FIRST_PX, side / 2, STEPS)


def profiles(images: np.ndarray, x: np.ndarray, y: np.ndarray) -> Profile:
    """Curves of growth by ``sep`` (exact overlaps of circles and pixels), and radii interpolated in them.

    The Petrosian radius is that of the SDSS (Blanton et al. 2001, AJ 121, 2358), with a ratio of 0.2; the
    radii of 20, 50 and 80% of the light are those of Conselice (2003, ApJS 147, 1).

    Parameters
    ----------
    images : (N, S, S)
        Without neighbours.
    x, y : (N,)
        Centroids, pixels from the middle of the first pixel; NaN for galaxies to be left out.
    """
    import sep

    n, side = len(images), images.shape[-1]
    r = growth_radii(side)
    growth = np.full((n, len(r)), np.nan)
    for i in np.flatnonzero(np.isfinite(x) & np.isfinite(y)):
        image = np.ascontiguousarray(images[i], np.float32)
        growth[i], _, _ = sep.sum_circle(image, np.full(len(r), x[i]), np.full(len(r), y[i]), r, subpix=0)
    edge = np.minimum.reduce([x, y, side - 1 - x, side - 1 - y]) + 0.5
    petrosian = _petrosian(growth, r, edge)
    total_radius = np.minimum(TOTAL * petrosian, edge)
    total = _at(growth, r, total_radius)
    r20, r50, r80 = (_radius_of(growth, r, f * total) for f in (0.2, 0.5, 0.8))
    return Profile(petrosian, total_radius, _at(growth, r, petrosian), r20, r50, r80)


def _at(growth: np.ndarray, r: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(N,) flux within a radius, linear in the area between those of the curve; NaN beyond them."""
    inside = np.isfinite(wanted) & (wanted <= r[-1])
    j = np.clip(np.searchsorted(r, np.where(inside, wanted, r[0])), 1, len(r) - 1)
    row = np.arange(len(growth))
    share = (wanted**2 - r[j - 1] ** 2) / (r[j] ** 2 - r[j - 1] ** 2)
    value = growth[row, j - 1] + share * (growth[row, j] - growth[row, j - 1])
    return np.where(inside, value, np.nan)


def _petrosian(growth: np.ndarray, r: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """(N,) first radius at which the ratio of brightnesses falls below `PETROSIAN_RATIO`."""
    low, high = ANNULUS
    ratio = np.full(growth.shape, np.nan)
    for j, radius in enumerate(r):
        at = np.full(len(growth), radius)
        ring = (_at(growth, r, high * at) - _at(growth, r, low * at)) / (high**2 - low**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            here = (radius >= 1.0) & (high * radius <= edge) & (growth[:, j] > 0)
            ratio[:, j] = np.where(here, ring / growth[:, j], np.nan)
    below = ratio < PETROSIAN_RATIO
    j, row = below.argmax(axis=1), np.arange(len(growth))
    before = ratio[row, np.maximum(j - 1, 0)]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (before - PETROSIAN_RATIO) / (before - ratio[row, j])
    share = np.where(np.isfinite(share), np.clip(share, 0.0, 1.0), 1.0)
    radius = r[np.maximum(j - 1, 0)] + share * (r[j] - r[np.maximum(j - 1, 0)])
    return np.where(below.any(axis=1), radius, np.nan)


def _radius_of(growth: np.ndarray, r: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """(N,) first radius whose circle holds a flux, linear in the area between those of the curve."""
    with np.errstate(invalid="ignore"):
        enough = growth >= flux[:, None]
    row, j = np.arange(len(growth)), enough.argmax(axis=1)
    outer, inner = growth[row, j], np.where(j > 0, growth[row, np.maximum(j - 1, 0)], 0.0)
    area = np.where(j > 0, r[np.maximum(j - 1, 0)] ** 2, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = area + (flux - inner) / (outer - inner) * (r[j] ** 2 - area)
        return np.where(enough.any(axis=1) & (flux > 0), np.sqrt(area), np.nan)
