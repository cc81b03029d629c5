"""Reading a cutout file: one object, each band an image, a PSF and an RMS extension.

Extensions are named ``<BAND>_<BGSUB or FLUX>``, ``<BAND>_PSF`` and ``<BAND>_RMS``, with BAND the
name in the MER mosaics (``VIS``, ``NIR_Y``, ``DES_G``, ``MEGACAM_U``, ``HSC_G``, ...).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from euclidfm.core.bands import BANDS
from euclidfm.core.errors import InputError
from euclidfm.ingest.files import readable
from euclidfm.ingest.images.cutouts import mask_and_noise
from euclidfm.ingest.images.mosaic import GRID_TOLERANCE_PX, corner_offset_px, to_ujy
from euclidfm.ingest.images.sky_wcs import check_pixel_scale, read_wcs, sky_of

__all__ = ["CutoutFile", "read_cutout_file"]

_BAND_OF = {b.extension: b.name for b in BANDS.values() if b.mosaic}
_IMAGE = ("_BGSUB", "_FLUX")

Extensions = dict[str, tuple[fits.Header, np.ndarray]]
"""Header and data of each extension by name."""


@dataclass
class CutoutFile:
    """The contents of one cutout file, fluxes in µJy.

    Attributes
    ----------
    path : Path
    ra, dec : float
        Target, degrees.
    x, y : float
        Target, pixels from zero.
    images, rms, masks : dict of band to (ny, nx)
    psfs : dict of band to (k, k)
    unknown : tuple of str
        Image extensions of bands that the table of bands lacks.
    release : str
        From the header, or empty.
    """

    path: Path
    ra: float
    dec: float
    x: float
    y: float
    images: dict[str, np.ndarray]
    rms: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    psfs: dict[str, np.ndarray]
    unknown: tuple[str, ...]
    release: str


def read_cutout_file(path: Path) -> CutoutFile:
    """Read a cutout file.

    Raises
    ------
    InputError
        If it is damaged, has no known band, no MAGZERO, no RMS, or bands on different grids.
    """
    extensions = _extensions(path)
    stems = {n: n.removesuffix(s) for n in extensions for s in _IMAGE if n.endswith(s)}
    known = {n: _BAND_OF[stem] for n, stem in stems.items() if stem in _BAND_OF}
    if not known:
        msg = (
            f"{path} has no image extension of a known band (VIS_FLUX, NIR_Y_BGSUB, ...); its extensions: "
            f"{', '.join(extensions) or 'none'}"
        )
        raise InputError(msg)
    first = next((n for n, b in known.items() if b == "VIS"), next(iter(known)))
    header, reference = extensions[first]
    wcs = read_wcs(path, header)
    check_pixel_scale(path, wcs)
    x = _number_of(path, header, "TARGETX", (reference.shape[1] - 1) / 2)
    y = _number_of(path, header, "TARGETY", (reference.shape[0] - 1) / 2)
    ra, dec = (float(v) for v in sky_of(wcs, x, y))
    release = str(header.get("DATASETR", "")).strip()
    unknown = tuple(n for n in stems if n not in known)
    file = CutoutFile(path, ra, dec, x, y, {}, {}, {}, {}, unknown, release)
    for name, b in known.items():
        _check_grid(path, extensions, first, name, wcs)
        _add_band(file, extensions, name, stems[name], b)
    return file


def _extensions(path: Path) -> Extensions:
    """Images of a file by their names in capitals; odd cards and padding do no harm."""
    images: Extensions = {}
    with readable(path, "FITS"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*smaller than the expected.*")
        with fits.open(path, memmap=False) as hdus:
            for h in hdus[1:]:
                if not isinstance(h, fits.ImageHDU | fits.CompImageHDU) or h.data is None:
                    continue
                name = h.name.upper()
                if name and name in images:
                    msg = f"{path} has two extensions named {name}; keep one of them"
                    raise InputError(msg)
                data = np.asarray(h.data)
                while data.ndim > 2 and data.shape[0] == 1:
                    data = data[0]
                images[name] = (h.header.copy(), data)
    return images


def _number_of(path: Path, header: fits.Header, key: str, default: float) -> float:
    """A number of a header, or the default where the card has no value."""
    value = header.get(key)
    if value is None or isinstance(value, fits.card.Undefined):
        return default
    try:
        return float(value)
    except ValueError:
        msg = f"{path} has {key} {value!r}, which is no number; correct it or leave it out"
        raise InputError(msg) from None


def _add_band(file: CutoutFile, extensions: Extensions, name: str, stem: str, b: str) -> None:
    """Image, RMS, mask and PSF of one band."""
    head, counts = extensions[name]
    if f"{stem}_RMS" not in extensions:
        msg = f"{file.path} has {name} but no {stem}_RMS extension, which its errors and mask need"
        raise InputError(msg)
    noise = extensions[f"{stem}_RMS"][1]
    if noise.shape != counts.shape:
        msg = f"{file.path}: {stem}_RMS has {noise.shape} pixels, {name} has {counts.shape}; they must match"
        raise InputError(msg)
    scale = to_ujy(file.path, head, read_wcs(file.path, head))
    cut = mask_and_noise(counts[None].astype(np.float32), noise[None].astype(np.float32), None, scale, 0)
    file.images[b], file.masks[b] = cut.image[0], cut.mask[0]
    file.rms[b] = np.where(file.masks[b], np.nan, noise * scale).astype(np.float32)
    if f"{stem}_PSF" in extensions:
        file.psfs[b] = extensions[f"{stem}_PSF"][1].astype(float)


def _check_grid(path: Path, extensions: Extensions, first: str, name: str, wcs: WCS) -> None:
    """Check that an extension is on the grid of the first band, whose WCS is given."""
    reference, (head, counts) = extensions[first][1], extensions[name]
    if counts.shape != reference.shape:
        msg = (
            f"{path}: {name} has {counts.shape} pixels, {first} has {reference.shape}; resample them to one "
            "grid"
        )
        raise InputError(msg)
    off = corner_offset_px(wcs, read_wcs(path, head), reference.shape)
    if not off < GRID_TOLERANCE_PX:
        msg = (
            f"{path}: {name} and {first} have different WCS (corners {off:.1f} pixels apart); resample them "
            "to one grid"
        )
        raise InputError(msg)
