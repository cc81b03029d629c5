"""Mosaics: FITS images that are read piece by piece, in microjansky, with their masks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from euclidfm.core.errors import InputError
from euclidfm.core.units import ujy_per_count
from euclidfm.ingest.images.remote_mosaic import RemotePlane
from euclidfm.ingest.sources.tiles import BandFiles
from euclidfm.ingest.sources.urls import Place

__all__ = ["BandMosaic", "Plane", "check_same_grid", "open_band", "open_plane", "read_wcs"]

NO_DATA_RMS = 1e15
"""RMS values from here on mark pixels without data."""

GRID_TOLERANCE_PX = 0.1
"""Bands whose corners differ by more are on different grids."""


class Plane:
    """One two-dimensional image on disk.

    The pixels are mapped, not read, unless the file is compressed.

    Parameters
    ----------
    path : path

    Raises
    ------
    InputError
        If the file is missing, unreadable, truncated or has no image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with fits.open(path, memmap=True, lazy_load_hdus=True) as hdus:
                    hdu = next((h for h in hdus if h.header.get("NAXIS") == 2 and _is_image(h)), None)
                    if hdu is None:
                        msg = f"{path} has no two-dimensional image in any HDU"
                        raise InputError(msg)
                    self._take(hdu)
        except PermissionError:
            msg = f"{path} can't be read: permission denied; give yourself read permission (chmod u+r)"
            raise InputError(msg) from None
        except FileNotFoundError:
            msg = f"{path} does not exist"
            raise InputError(msg) from None
        except (OSError, TypeError, EOFError, ValueError) as e:
            if isinstance(e, InputError):
                raise
            msg = (
                f"{path} is not a readable FITS file ({' '.join(str(e).split())[:120]}); it may be "
                "truncated: download it again"
            )
            raise InputError(msg) from None

    def _take(self, hdu: Any) -> None:
        self.header: fits.Header = hdu.header.copy()
        self.shape: tuple[int, int] = tuple(hdu.shape)
        scaled = hdu.header.get("BSCALE", 1) != 1 or hdu.header.get("BZERO", 0) != 0
        self._map: tuple[int, np.dtype] | None = None
        self._held: np.ndarray | None = None
        if isinstance(hdu, fits.CompImageHDU) or scaled or self.path.suffix == ".gz":
            self._held = np.asarray(hdu.data)
            return
        kind = np.dtype(
            {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[hdu.header["BITPIX"]]
        )
        start = hdu.fileinfo()["datLoc"]
        end, have = start + kind.itemsize * self.shape[0] * self.shape[1], self.path.stat().st_size
        if have < end:
            msg = (
                f"{self.path} is truncated: its header promises {end} bytes, the file has {have}; download "
                "it again"
            )
            raise InputError(msg)
        self._map = (start, kind)

    def pixels(self) -> np.ndarray:
        """The whole plane, mapped; let go of it to free the memory that reading took."""
        if self._map is None:
            assert self._held is not None
            return self._held
        start, kind = self._map
        return np.asarray(np.memmap(self.path, kind, "r", start, self.shape))


def _is_image(hdu: Any) -> bool:
    return isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU)


def open_plane(place: Place) -> Plane | RemotePlane:
    """An image, on disk or behind a URL."""
    return Plane(place) if isinstance(place, Path) else RemotePlane(place)


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
    """Grid that its cutouts are brought to, if it is another."""

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
    x, y = np.array([0, nx - 1, 0, nx - 1], float), np.array([0, 0, ny - 1, ny - 1], float)
    sky = first.wcs.wcs_pix2world(x, y, 0)
    there = other.wcs.wcs_world2pix(*sky, 0)
    off = float(np.hypot(there[0] - x, there[1] - y).max())
    if not off < GRID_TOLERANCE_PX:
        msg = (
            f"{both} have different WCS: their corners are {off:.1f} pixels apart; resample them to one "
            "grid, or pass --reproject true"
        )
        raise InputError(msg)
