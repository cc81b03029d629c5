"""The one place where a FITS header becomes a WCS: positions are ICRS in degrees, the pixel scale is checked.

Galactic, FK4 and other equinoxes are converted, SIP and TPV distortion count, either axis may be the
right ascension. FK5 of J2000 agrees with ICRS to 0.02 arcsec and is taken as it.
"""

from __future__ import annotations

import warnings

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area, wcs_to_celestial_frame

from euclidfm.core.bands import PIXEL_ARCSEC
from euclidfm.core.errors import InputError
from euclidfm.ingest.files import Place, short

__all__ = ["check_pixel_scale", "pixel_scale_arcsec", "pixels_of", "read_wcs", "sky_of"]

SCALE_TOLERANCE = 0.02
"""Largest relative difference from the survey's pixel scale."""


def read_wcs(path: Place, header: fits.Header) -> WCS:
    """Celestial WCS of a header.

    Raises
    ------
    InputError
        If there is none, or it is in a frame that can't be converted to ICRS; names the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(header)
            has = wcs.has_celestial
    except Exception as e:  # wcslib has many errors, all of them about the header
        msg = f"{path} has a WCS that can't be read ({short(e)}); correct its header"
        raise InputError(msg) from None
    if not has:
        msg = f"{path} has no celestial WCS in the header of its image (CTYPE1, CRVAL1, ...)"
        raise InputError(msg)
    wcs = wcs.celestial
    if wcs.wcs.ctype[wcs.wcs.lng].split("-")[0].strip() not in ("RA", "GLON"):
        msg = (
            f"{path} has a WCS in coordinates {'/'.join(wcs.wcs.ctype)}, which are not converted; give "
            "images in equatorial (RA, Dec) or galactic coordinates"
        )
        raise InputError(msg)
    return wcs


def _is_icrs(wcs: WCS) -> bool:
    frame = wcs_to_celestial_frame(wcs)
    return frame.name == "icrs" or (frame.name == "fk5" and frame.equinox.jyear == 2000.0)


def sky_of(wcs: WCS, x: np.ndarray | float, y: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination (ICRS, degrees) of pixels, which count from 0."""
    transform = wcs.all_pix2world if wcs.has_distortion else wcs.wcs_pix2world
    world = transform(x, y, 0)
    lon, lat = np.asarray(world[wcs.wcs.lng]), np.asarray(world[wcs.wcs.lat])
    if _is_icrs(wcs):
        return lon, lat
    from astropy.coordinates import SkyCoord

    icrs = SkyCoord(lon, lat, unit="deg", frame=wcs_to_celestial_frame(wcs)).icrs
    return np.asarray(icrs.ra.deg), np.asarray(icrs.dec.deg)


def pixels_of(wcs: WCS, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, which count from 0, of positions (ICRS, degrees)."""
    lon, lat = np.asarray(ra, float), np.asarray(dec, float)
    if not _is_icrs(wcs):
        from astropy.coordinates import SkyCoord

        native = SkyCoord(lon, lat, unit="deg", frame="icrs").transform_to(wcs_to_celestial_frame(wcs))
        lon, lat = np.asarray(native.spherical.lon.deg), np.asarray(native.spherical.lat.deg)
    world = (lon, lat) if wcs.wcs.lng == 0 else (lat, lon)
    if not wcs.has_distortion:
        x, y = wcs.wcs_world2pix(*world, 0)
        return np.asarray(x), np.asarray(y)
    x, y = wcs.all_world2pix(*world, 0, quiet=True)
    return np.asarray(x), np.asarray(y)


def pixel_scale_arcsec(wcs: WCS) -> float:
    """Side of a pixel at the reference point, the root of its area."""
    return float(np.sqrt(proj_plane_pixel_area(wcs)) * 3600.0)


def check_pixel_scale(path: Place, wcs: WCS) -> None:
    """Check that pixels are as large as the survey's.

    Raises
    ------
    InputError
        If the scale differs by more than two per cent.
    """
    scale = pixel_scale_arcsec(wcs)
    if abs(scale / PIXEL_ARCSEC - 1.0) > SCALE_TOLERANCE:
        msg = (
            f"{path} has {scale:.3g} arcsec a pixel and {PIXEL_ARCSEC:g} is expected; resample it (in a sky: "
            f'name a band of {PIXEL_ARCSEC:g}" first in bands and pass --reproject true)'
        )
        raise InputError(msg)
