"""The stamp of one source of a tile, and its true fluxes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from euclidfm.core.bands import BANDS, EUCLID_BANDS, SED_BANDS
from euclidfm.core.units import abmag_from_ujy, ujy_from_abmag
from euclidfm.simulate.images.artefacts import draw_artefact, spikes
from euclidfm.simulate.images.components import Component, Psf
from euclidfm.simulate.images.render import render, stamp_size
from euclidfm.simulate.images.shapes import components
from euclidfm.simulate.images.stamp import FLAG_BITS, Stamp

__all__ = ["IMAGED", "draw_source"]

IMAGED = [SED_BANDS.index(b) for b in EUCLID_BANDS]
"""Indices of the imaged bands among those of the SED (the same in all presets)."""

FAINT = np.array([0.15 * BANDS[b].pixel_rms_ujy for b in EUCLID_BANDS])
"""Surface brightness, µJy per pixel, at which stamps end: well below the noise."""

SATURATION_MAG = 18.0
"""VIS magnitude of a star whose central pixel is full (Euclid Collaboration: Cropper et al. 2025)."""

SATURATED_SIZE = 256
"""Smallest stamp of a saturated star, pixels."""


def draw_source(
    kind: str,
    subtype: str,
    properties: dict[str, Any],
    psfs: list[Psf],
    position: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[Stamp, np.ndarray, str]:
    """Draw one source.

    Parameters
    ----------
    kind, subtype : str
    properties : dict
        Of `draw_galaxies`, `draw_stars` or `draw_quasars`; empty for an artefact.
    psfs : list of Psf
        One per imaged band.
    position : (float, float)
        In the mosaic, pixels.
    rng : Generator

    Returns
    -------
    stamp : Stamp
    flux : array
        True fluxes in the bands of the SED, µJy.
    subtype : str
        ``saturated_star`` if the star saturates the detector, else as given.
    """
    dx, dy = (float(v - np.floor(v + 0.5)) for v in position)
    if kind == "artefact":
        return *_artefact(subtype, rng), subtype
    parts, smallest = _components(kind, subtype, properties, rng)
    flux = np.sum([c.flux for c in parts], axis=0)
    imaged = [replace(c, flux=c.flux[IMAGED]) for c in parts]
    size = stamp_size(imaged, FAINT, smallest)
    image = render(imaged, psfs, size, dx, dy)
    stamp = Stamp(image, np.zeros(image.shape, np.int32))
    if kind == "star" and smallest == SATURATED_SIZE:
        subtype = "saturated_star"
        _saturate(stamp, flux[IMAGED], rng)
    return stamp, flux, subtype


def _artefact(subtype: str, rng: np.random.Generator) -> tuple[Stamp, np.ndarray]:
    """Stamp of an artefact, and its flux in the central 30 x 30 pixels."""
    stamp = draw_artefact(subtype, rng)
    c = stamp.image.shape[-1] // 2
    flux = np.zeros(len(SED_BANDS))
    flux[IMAGED] = stamp.image[:, c - 15 : c + 15, c - 15 : c + 15].sum((1, 2))
    return stamp, flux


def _components(
    kind: str, subtype: str, p: dict[str, Any], rng: np.random.Generator
) -> tuple[list[Component], int]:
    """Components of a galaxy, star or quasar, and the smallest side of its stamp."""
    if kind == "galaxy":
        return components(subtype, p, p["bulge_flux"], p["disc_flux"], rng), 48
    parts = [Component(flux=np.asarray(p["flux"]))]
    mag = float(abmag_from_ujy(p["flux"][IMAGED[0]]))
    if kind == "quasar" and p["host_flux"].sum() > 0:
        host = Component(
            flux=p["host_flux"],
            re=float(p["re_arcsec"]),
            index=2.5,
            axis_ratio=float(p["axis_ratio"]),
            angle=float(np.radians(p["position_angle"])),
        )
        parts.append(host)
    return parts, 64 if mag > 20 else 128 if mag > SATURATION_MAG else SATURATED_SIZE


def _saturate(stamp: Stamp, flux: np.ndarray, rng: np.random.Generator) -> None:
    """Add diffraction spikes, and clip and flag the pixels of VIS that are full."""
    stamp.image[:] += spikes(rng, flux, stamp.image.shape[-1])
    full = np.float32(ujy_from_abmag(SATURATION_MAG) * 0.16)
    over = stamp.image[0] > full
    stamp.image[0][over] = full
    stamp.flag[0][over] |= FLAG_BITS["saturated"]
