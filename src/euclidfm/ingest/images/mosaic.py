"""The mosaics of one band of one tile: image, RMS and flag map, on one pixel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from euclidfm.core.errors import InputError
from euclidfm.core.stated_units import stated_unit
from euclidfm.core.units import ujy_per_count
from euclidfm.ingest.files import Place
from euclidfm.ingest.images.plane import Plane, RemotePlane, open_plane
from euclidfm.ingest.images.sky_wcs import pixel_scale_arcsec, pixels_of, read_wcs, sky_of
from euclidfm.ingest.tiles import BandFiles

__all__ = ["BandMosaic", "check_same_grid", "corner_offset_px", "magzero", "open_band", "to_ujy"]

NO_DATA_RMS = 1e15
"""RMS at and above which a pixel has no data."""

UNIT_TOLERANCE = 0.01
"""Largest relative difference between the units that BUNIT and MAGZERO state."""

GRID_TOLERANCE_PX = 0.1
"""Bands whose corners differ by more are on different grids."""


def corner_offset_px(first: WCS, other: WCS, shape: tuple[int, ...]) -> float:
    """Largest distance in pixels between the corners of two grids of one shape (ny, nx)."""
    ny, nx = shape
    x, y = np.array([0, nx - 1, 0, nx - 1], float), np.array([0, 0, ny - 1, ny - 1], float)
    found = pixels_of(other, *sky_of(first, x, y))
    return float(np.hypot(found[0] - x, found[1] - y).max())


def magzero(path: Place, header: fits.Header) -> float:
    """AB zero point of an image, from its header; never assumed."""
    value = header.get("MAGZERO")
    if not isinstance(value, int | float) or not np.isfinite(value):
        name = header.get("EXTNAME")
        where = f" (HDU {name})" if name else ""
        msg = (
            f"{path} has no numeric MAGZERO in the header of its image{where}; the zero point differs by "
            "band and can't be assumed"
        )
        raise InputError(msg)
    return float(value)


def to_ujy(path: Place, header: fits.Header, wcs: WCS | None = None) -> float:
    """µJy of one unit of the pixels: by BUNIT if that is a flux or a brightness, else by the zero point.

    Parameters
    ----------
    path : Place
    header : fits.Header
    wcs : WCS, optional
        For the area of a pixel, where BUNIT is a brightness.

    Raises
    ------
    InputError
        If there is neither, BUNIT is no unit of an image, or the two differ by more than one per cent.
    """
    if header.get("FLUXAPPX") not in (None, False, 0, "", "F"):
        msg = f"{path} was resized without conserving flux (FLUXAPPX); give the images before the resizing"
        raise InputError(msg)
    unit = stated_unit(header.get("BUNIT"))
    per_pixel = stated_unit(str(header.get("BUNIT", "")).lower().replace(" ", "").split("/pix")[0])
    if unit.kind in ("none", "counts") or per_pixel.kind == "counts":
        return ujy_per_count(magzero(path, header))
    factor = per_pixel.factor if per_pixel.kind == "flux" else None
    if unit.kind == "flux":
        factor = unit.factor
    elif unit.kind == "brightness" and wcs is not None:
        factor = unit.factor * pixel_scale_arcsec(wcs) ** 2
    if factor is None:
        msg = (
            f"{path} has BUNIT {header['BUNIT']!r}; expected counts on the zero point MAGZERO, or a flux "
            "such as uJy or nJy"
        )
        raise InputError(msg)
    if "MAGZERO" in header and abs(ujy_per_count(magzero(path, header)) / factor - 1.0) > UNIT_TOLERANCE:
        msg = (
            f"{path} has BUNIT {header['BUNIT']!r} and MAGZERO {header['MAGZERO']}, which contradict each "
            "other; correct one of them"
        )
        raise InputError(msg)
    return factor


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
    wcs = read_wcs(image.path, image.header)
    return BandMosaic(
        band=band,
        image=image,
        rms=others[0],
        flag=others[1],
        ujy=to_ujy(image.path, image.header, wcs),
        wcs=wcs,
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
