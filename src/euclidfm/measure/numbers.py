"""Names and units of the measured numbers, and their form for models.

Shapes: N galaxies, P numbers a galaxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from euclidfm.core.bands import BANDS

__all__ = [
    "RADII_PX",
    "SHAPES",
    "Measurements",
    "aperture_names",
    "measured_names",
    "shape_names",
    "sharpest",
]

RADII_PX = (2.5, 5.0, 10.0, 20.0)
"""Radii of the circular apertures, pixels."""

SHAPES = ("half_light_radius", "ellipticity", "concentration", "asymmetry", "gini", "m20")
"""What is measured on the sharpest band. The radius is in pixels; the others have no unit."""

RADIUS = SHAPES[0]


def sharpest(bands: Sequence[str]) -> str:
    """The band with the narrowest PSF in the table of bands; the first one if the table knows none."""
    known = [b for b in bands if b in BANDS and np.isfinite(BANDS[b].psf_fwhm_arcsec)]
    return min(known, key=lambda b: BANDS[b].psf_fwhm_arcsec) if known else bands[0]


def aperture_names(bands: Sequence[str]) -> tuple[str, ...]:
    """Names of the aperture fluxes, such as ``aper_VIS_2.5``: bands of one radius are neighbours."""
    return tuple(f"aper_{b}_{r:g}" for r in RADII_PX for b in bands)


def shape_names(bands: Sequence[str]) -> tuple[str, ...]:
    """Names of the shapes, such as ``gini_VIS``."""
    return tuple(f"{s}_{sharpest(bands)}" for s in SHAPES) if len(bands) else ()


def measured_names(bands: Sequence[str]) -> tuple[str, ...]:
    """Names of all numbers that `euclidfm.measure.measure` gives for these bands."""
    return aperture_names(bands) + shape_names(bands)


@dataclass(frozen=True)
class Measurements:
    """Numbers measured on the cutouts of N galaxies.

    Attributes
    ----------
    object_id : (N,) int64
    bands : tuple of str
        Bands that were measured.
    values : (N, P) float64
        NaN = not measurable: no image, an aperture that leaves the cutout, a hole that can't be filled.
    errors : (N, P) float64
        Standard deviations from the noise of the sky, in the unit of the values; NaN = unknown.
    uncalibrated : tuple of str
        Bands whose fluxes are in the unit of the images, not in µJy.
    """

    object_id: np.ndarray
    bands: tuple[str, ...]
    values: np.ndarray
    errors: np.ndarray
    uncalibrated: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.object_id)

    @property
    def names(self) -> tuple[str, ...]:
        """(P,) names of the numbers."""
        return measured_names(self.bands)

    @property
    def units(self) -> tuple[str, ...]:
        """(P,) units: ``uJy`` (or ``image unit``), ``pixel``, or nothing."""
        flux = tuple("image unit" if b in self.uncalibrated else "uJy" for b in self.bands) * len(RADII_PX)
        shapes = tuple("pixel" if s == RADIUS else "" for s in SHAPES) if self.bands else ()
        return flux + shapes

    @property
    def _fluxes(self) -> int:
        return len(aperture_names(self.bands))

    @property
    def apertures(self) -> tuple[np.ndarray, np.ndarray]:
        """Fluxes and their errors, (N, radii * bands) each, the bands of one radius side by side."""
        return self.values[:, : self._fluxes], self.errors[:, : self._fluxes]

    @property
    def shapes(self) -> np.ndarray:
        """(N, 6) the numbers of `SHAPES`."""
        return self.values[:, self._fluxes :]

    def for_models(self) -> np.ndarray:
        """(N, P) float32 numbers of order one to ten: asinh fluxes, ln of the radius, the others as they are.

        A flux f with error s becomes ``asinh(f / 2s) + ln s`` (Lupton, Gunn & Szalay 1999, in natural
        logarithms), which is ln f for bright galaxies. A flux without calibration becomes ``asinh(f / 2s)``,
        which has no unit. NaN stays NaN.
        """
        flux, error = self.apertures
        s = np.where(error > 0, error, np.nan)
        known = np.array([b not in self.uncalibrated for b in self.bands] * len(RADII_PX), bool)
        magnitude = np.arcsinh(flux / (2.0 * s)) + np.where(known, np.log(s), 0.0)
        shapes = self.shapes.copy()
        with np.errstate(invalid="ignore", divide="ignore"):
            shapes[:, :1] = np.log(shapes[:, :1])
        out = np.concatenate([magnitude, shapes], axis=1)
        return np.where(np.isfinite(out), out, np.nan).astype(np.float32)

    def take(self, rows: np.ndarray) -> Measurements:
        """Some of the galaxies, in the given order."""
        picked: dict[str, Any] = {k: getattr(self, k)[rows] for k in ("object_id", "values", "errors")}
        return replace(self, **picked)

    @staticmethod
    def concat(parts: Sequence[Measurements]) -> Measurements:
        """Measurements of the same bands, one after the other."""
        joined: dict[str, Any] = {
            k: np.concatenate([getattr(p, k) for p in parts]) for k in ("object_id", "values", "errors")
        }
        return replace(parts[0], **joined)
