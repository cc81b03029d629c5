"""FITS files of galaxies: a cube, an HDU a band, or a file a band."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.units import FLUX_UNITS, MJY_SR_UJY_ARCSEC2, ujy_per_count
from euclidfm.ingest.cutouts.block import Block, Reader, fitted
from euclidfm.ingest.cutouts.listing import inside
from euclidfm.ingest.cutouts.picture import MAX_PIXELS
from euclidfm.ingest.cutouts.section import CutoutBand, CutoutSection
from euclidfm.ingest.files import readable

__all__ = ["FitsFiles", "open_fits_files", "ujy_of_header"]

_UNITS = {"ujy": 1.0, "mjy": 1e3, "njy": 1e-3, "jy": 1e6, "nanomaggy": FLUX_UNITS["nanomaggy"]}


@dataclass(frozen=True)
class FitsFiles:
    """Reads FITS files; see `euclidfm.ingest.cutouts.block.Reader`."""

    root: Path
    names: tuple[tuple[str, ...], ...]
    section: CutoutSection
    planes: int
    shape: tuple[int, int]
    sequential: bool = False
    step: float = 0.0
    full_scale: float = float("nan")

    @property
    def files(self) -> list[str]:
        """Files that are read."""
        return [str(self.root / name) for row in self.names for name in row if name]

    def part(self, rows: np.ndarray) -> FitsFiles:
        """A reader of some of the galaxies."""
        return replace(self, names=tuple(self.names[int(r)] for r in rows))

    def read(self, start: int, stop: int) -> Block:
        """Read the files of galaxies."""
        block = Block(np.full((stop - start, self.planes, *self.shape), np.nan, np.float32))
        for i, row in enumerate(self.names[start:stop]):
            try:
                for k, plane in enumerate(_planes(self.root, row, self.section)):
                    if plane is not None:
                        block.planes[i, k] = self._of_shape(row, plane)
            except InputError as e:
                block.failed[i] = str(e)
        return block

    def _of_shape(self, row: tuple[str, ...], plane: np.ndarray) -> np.ndarray:
        if plane.shape != self.shape and not self.section.any_size:
            have, want = (f"{s[1]} x {s[0]}" for s in (plane.shape, self.shape))
            name = self.root / next(n for n in row if n)
            msg = f"{name} has an image of {have} px where others have {want}; set any_size: true, or crop it"
            raise InputError(msg)
        return fitted(plane, self.shape)


def open_fits_files(root: Path, names: list[tuple[str, ...]], section: CutoutSection) -> Reader:
    """A reader of FITS files; the first that can be read says what they are.

    Raises
    ------
    InputError
        If none can be read.
    """
    first = ""
    for row in names:
        try:
            planes = _planes(root, row, section)
        except InputError as e:
            first = first or str(e)
            continue
        shape = next(p.shape for p in planes if p is not None)
        return FitsFiles(root, tuple(names), section, len(planes), (int(shape[0]), int(shape[1])))
    raise InputError(first)


def _planes(root: Path, row: tuple[str, ...], section: CutoutSection) -> list[np.ndarray | None]:
    """(ny, nx) images of a galaxy, None where there is none: of the bands, or all planes of its cube."""
    if len(row) > 1 or "{band}" in str(section.files):
        pairs = zip(row, section.bands, strict=True)
        return [_one(root, name, section, b) if name else None for name, b in pairs]
    if any(b.hdu is not None for b in section.bands):
        return [_one(root, row[0], section, b) for b in section.bands]
    cube, scale = _image(inside(root, row[0]), section, section.bands[0])
    cube = cube.astype(np.float32) * np.float32(scale)
    return list(cube if cube.ndim == 3 else cube[None])


def _one(root: Path, name: str, section: CutoutSection, b: CutoutBand) -> np.ndarray:
    path = inside(root, name)
    image, scale = _image(path, section, b)
    if image.ndim == 3 and len(image) == 1:
        image = image[0]
    if image.ndim != 2:
        msg = (
            f"{path} has an image of {image.ndim} axes for band {b.name}; name its HDU with hdu in the recipe"
        )
        raise InputError(msg)
    return image.astype(np.float32) * np.float32(scale)


def _image(path: Path, section: CutoutSection, b: CutoutBand) -> tuple[np.ndarray, float]:
    """Pixels of an HDU, and µJy of their unit if the header gives it."""
    from astropy.io import fits

    with warnings.catch_warnings(), readable(path, "FITS"):
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        warnings.filterwarnings("error", message=".*truncated.*")
        with fits.open(path, memmap=False) as hdus:
            hdu = _hdu(path, hdus, b)
            if int(np.prod(hdu.shape)) > 4 * MAX_PIXELS:
                msg = f"{path} promises more pixels than a cutout has; cut the galaxy out of it"
                raise InputError(msg)
            return np.asarray(hdu.data), _scale(path, hdu.header, section)


def _hdu(path: Path, hdus: Any, b: CutoutBand) -> Any:
    if b.hdu is None:
        for hdu in hdus:
            if hdu.is_image and len(hdu.shape) in (2, 3):
                return hdu
        msg = f"{path} has no image in any HDU"
        raise InputError(msg)
    try:
        hdu = hdus[b.hdu]
    except (KeyError, IndexError):
        have = ", ".join(h.name or str(i) for i, h in enumerate(hdus))
        msg = f"{path} has no HDU {b.hdu!r} for band {b.name}; it has {have}; correct hdu in the recipe"
        raise InputError(msg) from None
    if not hdu.is_image or len(hdu.shape) not in (2, 3):
        msg = f"{path}: HDU {b.hdu!r} of band {b.name} is no image; correct hdu in the recipe"
        raise InputError(msg)
    return hdu


def _scale(path: Path, header: Any, section: CutoutSection) -> float:
    """Factor on the pixels: µJy of the header's unit, or 1 if the recipe gives the unit."""
    if section.unit != "header":
        return 1.0
    return ujy_of_header(path, header, section.scale_arcsec)


def ujy_of_header(path: Path, header: Any, pixel_arcsec: float) -> float:
    """µJy per pixel of the unit of a FITS image.

    Parameters
    ----------
    path : Path
    header : mapping
        With ``BUNIT`` (Jy and its parts, nanomaggy, MJy/sr), or ``MAGZERO`` for counts. ``FLUXAPPX`` true, as
        Cutana writes it, says that resizing did not keep the flux.
    pixel_arcsec : float

    Raises
    ------
    InputError
        If neither is there, or the flux was not kept.
    """
    unit = str(header.get("BUNIT") or "").strip()
    if header.get("FLUXAPPX") is True:
        msg = (
            f"{path} was resized without keeping its flux (FLUXAPPX); make it again with flux-conserving "
            "resizing, or set unit: uncalibrated"
        )
        raise InputError(msg)
    name = unit.lower().removesuffix("/pixel").removesuffix("/pix").replace("μ", "u").replace("µ", "u")
    if unit in ("MJy", "MJy/pixel"):
        return 1e12
    if name in _UNITS:
        return _UNITS[name]
    if name.replace(" ", "") in ("mjy/sr", "mjysr-1", "mjy.sr-1") and unit.startswith("MJy"):
        if not np.isfinite(pixel_arcsec):
            msg = f"{path} is in MJy/sr, which needs the pixel scale: give pixel_arcsec in the recipe"
            raise InputError(msg)
        return MJY_SR_UJY_ARCSEC2 * pixel_arcsec**2
    magzero = header.get("MAGZERO")
    if isinstance(magzero, int | float) and not isinstance(magzero, bool):
        return ujy_per_count(float(magzero))
    what = f"BUNIT {unit!r}, which is no flux," if unit else "no BUNIT"
    msg = f"{path} has {what} and no MAGZERO; give the unit in the recipe, or unit: uncalibrated"
    raise InputError(msg)
