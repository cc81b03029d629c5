"""Geometry of circular apertures on pixels."""

from __future__ import annotations

import numpy as np

__all__ = ["aperture_weights"]


def aperture_weights(shape: tuple[int, int], x: float, y: float, radius: float) -> np.ndarray:
    """Fraction of each pixel within a circle, exact; (ny, nx) float64.

    Parameters
    ----------
    shape : (ny, nx)
    x, y, radius : float
        Pixels; centres of pixels are at integers.
    """
    right, top = np.arange(-0.5, shape[1]) - x, np.arange(-0.5, shape[0]) - y
    corner = _area_below(right, top[:, None], radius)
    return np.maximum(np.diff(np.diff(corner, axis=0), axis=1), 0.0)


def _area_below(a: np.ndarray, b: np.ndarray, r: float) -> np.ndarray:
    """Area of the part of a circle around 0 with x < a and y < b.

    The chord at x has the half length h = sqrt(r^2 - x^2), and ``h + min(max(b, -h), h)`` of it lies below b.
    Where x^2 < r^2 - b^2 this is h + b, elsewhere 2 h or 0. The integral of h is elementary.
    """
    a, b = np.clip(a, -r, r), np.clip(b, -r, r)
    c = np.sqrt(r**2 - b**2)
    middle = np.clip(a, -c, c)

    def half_disc(t: np.ndarray) -> np.ndarray:
        return 0.5 * (t * np.sqrt(r**2 - t**2) + r**2 * np.arcsin(t / r)) + np.pi * r**2 / 4

    outer = half_disc(a) - half_disc(middle) + half_disc(-c)
    return np.asarray(half_disc(a) + b * (middle + c) + np.sign(b) * outer)
