"""What is rendered: components of an object, and the PSF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Component", "Knots", "Picture", "Psf"]

Picture = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Knots:
    """Round Gaussian blobs: weights (any scale), places and widths (sigma) in arcsec."""

    weight: np.ndarray
    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Component:
    """One component of an object.

    Attributes
    ----------
    flux : array
        µJy in each band that is rendered.
    re : float
        Half-light radius along the major axis, arcsec; 0 for a point. Of a picture or
        knots: a typical radius, from which the stamp's size follows.
    index : float
        Sersic index.
    axis_ratio, angle : float
        Axis ratio and position angle (radians, from the x axis, counter-clockwise).
    x, y : float
        Offset from the object's centre, arcsec.
    picture : callable, optional
        ``picture(x, y)`` in arcsec gives a surface brightness of any scale; replaces the
        Sersic profile.
    knots : Knots, optional
        Replaces the Sersic profile.
    """

    flux: np.ndarray
    re: float = 0.0
    index: float = 1.0
    axis_ratio: float = 1.0
    angle: float = 0.0
    x: float = 0.0
    y: float = 0.0
    picture: Picture | None = None
    knots: Knots | None = None


@dataclass(frozen=True, kw_only=True)
class Psf:
    """A Moffat PSF with a small ellipticity.

    Attributes
    ----------
    fwhm : float
        arcsec.
    beta : float
        Moffat index.
    e1, e2 : float
        Shear-like distortion of the profile, the same for all bands of an object.
    """

    fwhm: float
    beta: float = 3.0
    e1: float = 0.0
    e2: float = 0.0
