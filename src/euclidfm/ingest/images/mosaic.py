"""The mosaics of one band of one tile: image, RMS and flag map, on one pixel grid."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from euclidfm.core.errors import InputError
from euclidfm.core.units import ujy_per_count
from euclidfm.ingest.files import Place
from euclidfm.ingest.images.plane import Plane, RemotePlane, open_plane
from euclidfm.ingest.tiles import BandFiles

__all__ = ["BandMosaic", "check_same_grid", "corner_offset_px", "magzero", "open_band", "read_wcs"]

NO_DATA_RMS = 1e15
"""RMS at and above which a pixel has no data."""

GRID_TOLERANCE_PX = 0.1
"""Bands whose corners differ by more are on different grids."""


def read_wcs(path: Place, header: fits.Header) -> WCS:
    """WCS of a header; `InputError` names the file if there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        wcs = WCS(header)
    if not wcs.has_celestial:
        msg = f"{path} has no celestial WCS in the header of its image (CTYPE1, CRVAL1, ...)"
        raise InputError(msg)
    return wcs.celestial


def corner_offset_px(first: WCS, other: WCS, shape: tuple[int, ...]) -> float:
    """Largest distance in pixels between the corners of two grids of one shape (ny, nx)."""
    ny, nx = shape
    x, y = np.array([0, nx - 1, 0, nx - 1], float), np.array([0, 0, ny - 1, ny - 1], float)
    found = other.wcs_world2pix(*first.wcs_pix2world(x, y, 0), 0)
    return float(np.hypot(found[0] - x, found[1] - y).max())


def magzero(path: Place, header: fits.Header) -> float:
    """AB zero point of an image, from its header; never assumed."""
    value = header.get("MAGZERO")
    if not isinstance(value, int | float) or not np.isfinite(value):
        msg = (
            f"{path} has no numeric MAGZERO in the header of its image; the zero point differs by band and "
            "can't be assumed"
        )
        raise InputError(msg)
    unit = str(header.get("BUNIT", "")).strip().lower()
    if unit and unit not in ("adu", "count", "counts", "dn", "electron", "electrons", "adu/s", "electron/s"):
        msg = (
            f"{path} has BUNIT {header['BUNIT']!r}; expected counts on the zero point MAGZERO, without a "
            "flux unit"
        )
        raise InputError(msg)
    return float(value)


@dataclass
class BandMosaic:
    """The planes of one band of one tile."""

    band: str
    image: Plane | RemotePlane
    rms: Plane | RemotePlane | None
    flag: Plane | RemotePlane | None
    ujy: float
    """µJy per count."""
    wcs: WCS
    onto: WCS | None = None
    """Grid that its cutouts are resampled to; None if they are on it."""

    def pixels(self) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Image, RMS and flag map, mapped."""
        rms, flag = (None if p is None else p.pixels() for p in (self.rms, self.flag))
        return self.image.pixels(), rms, flag


def open_band(band: str, files: BandFiles) -> BandMosaic:
    """Open the planes of a band and check that they belong together.

    Raises
    ------
    InputError
        If one can't be read, has another shape, or lacks MAGZERO or a WCS.
    """
    image = open_plane(files.image)
    others = [open_plane(p) if p else None for p in (files.rms, files.flag)]
    for other in others:
        if other is not None and other.shape != image.shape:
            msg = (
                f"{other.path} has {other.shape[::-1]} pixels, {image.path} has {image.shape[::-1]}; they "
                "must match"
            )
            raise InputError(msg)
    if others[1] is not None and others[1].pixels().dtype.kind not in "iu":
        msg = f"{others[1].path} is no flag map: its pixels are {others[1].pixels().dtype}, not integers"
        raise InputError(msg)
    return BandMosaic(
        band=band,
        image=image,
        rms=others[0],
        flag=others[1],
        ujy=ujy_per_count(magzero(image.path, image.header)),
        wcs=read_wcs(image.path, image.header),
    )


def check_same_grid(first: BandMosaic, other: BandMosaic) -> None:
    """Check that two bands are on one pixel grid.

    Raises
    ------
    InputError
        If shapes differ or a corner is off by more than 0.1 pixel; names both files.
    """
    ny, nx = first.image.shape
    both = f"{first.image.path} and {other.image.path}"
    if first.image.shape != other.image.shape:
        msg = (
            f"{both} differ in size ({nx}x{ny}, {other.image.shape[1]}x{other.image.shape[0]}); resample "
            "them to one grid, or pass --reproject true"
        )
        raise InputError(msg)
    off = corner_offset_px(first.wcs, other.wcs, first.image.shape)
    if not off < GRID_TOLERANCE_PX:
        msg = (
            f"{both} have different WCS: their corners are {off:.1f} pixels apart; resample them to one "
            "grid, or pass --reproject true"
        )
        raise InputError(msg)
