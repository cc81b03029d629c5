"""Galactic reddening of catalogue objects: from the catalogue's column, or from an all-sky map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.bands import band
from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.fluxes import extinction
from euclidfm.ingest.files import readable

__all__ = ["dereddening", "reddening_at"]

_NAMES = ("ebv", "e(b-v)", "e_bv", "temperature")
"""Columns, lower case, that hold E(B-V) in the maps of Planck and of SFD at LAMBDA."""

_GALACTIC = ("g", "gal", "galactic")
_EQUATORIAL = ("c", "q", "cel", "celestial", "equatorial", "icrs", "fk5", "j2000")


def reddening_at(path: Path, ra: np.ndarray, dec: np.ndarray, frame: str = "header") -> np.ndarray:
    """E(B-V) of a HEALPix map, interpolated between its four nearest pixels.

    Reads ``HFI_CompMap_ThermalDustModel_2048`` (Planck 2013 results XI), ``lambda_sfd_ebv.fits``
    (Schlegel, Finkbeiner & Davis 1998) and any other map with ``ORDERING`` and one column or a
    column named EBV.

    Parameters
    ----------
    path : path
        FITS file; only the pixels that are needed are read.
    ra, dec : (N,) float
        Degrees.
    frame : {"header", "galactic", "equatorial"}
        Coordinates of the map; the header's ``COORDSYS`` by default.

    Returns
    -------
    (N,) float64
        Magnitudes.

    Raises
    ------
    InputError
        If it is no such map, or has no value at a position.
    """
    from astropy.io import fits

    with readable(path, "FITS"), fits.open(path, memmap=True) as hdus:
        hdu = next((h for h in hdus if isinstance(h, fits.BinTableHDU)), None)
        if hdu is None:
            msg = f"{path} has no table; expected a HEALPix map in HDU 1"
            raise InputError(msg)
        return _interpolated(path, hdu, ra, dec, frame)


def _interpolated(path: Path, hdu: Any, ra: np.ndarray, dec: np.ndarray, frame: str) -> np.ndarray:
    from astropy import units
    from astropy.coordinates import SkyCoord
    from astropy_healpix import HEALPix

    values = hdu.data.field(_column(path, hdu))
    values = values.reshape(len(values), -1)
    nside = int(hdu.header.get("NSIDE", np.sqrt(values.size / 12)))
    order = str(hdu.header.get("ORDERING", "")).strip().lower()
    if 12 * nside**2 != values.size or not order.startswith(("nest", "ring")):
        msg = f"{path} is no full-sky HEALPix map (NSIDE {nside}, ORDERING {order!r}, {values.size} pixels)"
        raise InputError(msg)
    place = SkyCoord(ra * units.deg, dec * units.deg)
    galactic = _frame(path, hdu.header, frame) == "galactic"
    lon, lat = (place.galactic.l, place.galactic.b) if galactic else (place.ra, place.dec)
    grid = HEALPix(nside, "nested" if order.startswith("nest") else "ring")
    pixel, weight = grid.bilinear_interpolation_weights(lon, lat)
    found = values[np.divmod(pixel, values.shape[1])].astype(float)
    ebv = (found * weight).sum(axis=0)
    bad = ~np.isfinite(ebv) | (found < -1e3).any(axis=0)  # -1.6e30 marks pixels that were not observed
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        msg = f"{path} has no E(B-V) at RA {ra[i]:.5f}, Dec {dec[i]:+.5f}; take another map"
        raise InputError(msg)
    return np.asarray(ebv)


def _column(path: Path, hdu: Any) -> str:
    names = [str(c.name) for c in hdu.columns]
    if len(names) == 1:
        return names[0]
    for wanted in _NAMES:
        for name in names:
            if name.lower() == wanted:
                return name
    msg = f"{path} has no column EBV; it has {', '.join(names)}"
    raise InputError(msg)


def _frame(path: Path, header: Any, frame: str) -> str:
    if frame != "header":
        return frame
    name = str(header.get("COORDSYS", "")).strip().lower()
    if name in _GALACTIC:
        return "galactic"
    if name in _EQUATORIAL:
        return "equatorial"
    msg = f"{path}: COORDSYS is {name!r}; give --ebv_frame galactic or equatorial"
    raise InputError(msg)


def dereddening(bands: tuple[str, ...], ebv: np.ndarray) -> np.ndarray:
    """Factors that take Galactic extinction out of fluxes; (N, K) for E(B-V) of (N,) magnitudes.

    Raises
    ------
    InputError
        If a band is outside the extinction law.
    """
    coefficients = np.array([extinction(band(b)) for b in bands])
    if not np.isfinite(coefficients).all():
        bad = bands[int(np.flatnonzero(~np.isfinite(coefficients))[0])]
        msg = (
            f"band {bad} is outside the extinction law (0.3 to 3.3 µm); leave it out of sed_bands or "
            "deredden: false"
        )
        raise InputError(msg)
    return np.asarray(10.0 ** (0.4 * ebv[:, None] * coefficients[None]))
