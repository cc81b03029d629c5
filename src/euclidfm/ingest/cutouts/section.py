"""The section ``cutouts`` of a recipe: where the images are and what their numbers mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from euclidfm.core.bands import BANDS
from euclidfm.core.errors import InputError
from euclidfm.core.units import FLUX_UNITS, MJY_SR_UJY_ARCSEC2, ujy_per_count
from euclidfm.ingest.catalogue.parse import made

__all__ = ["PLACEHOLDER", "UNCALIBRATED", "CutoutBand", "CutoutSection"]

UNCALIBRATED = "uncalibrated"
"""Unit of images without a zero point."""

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
"""A column's name, or ``band``, in the names of files."""

_UNITS = (UNCALIBRATED, *FLUX_UNITS, "mjy_per_sr", "counts", "header")
_CHOICES = {
    "unit": _UNITS,
    "sky": ("keep", "subtract"),
    "transfer": ("linear", "srgb"),
    "exif_rotation": ("refuse", "apply"),
    "mask_means": ("bad", "good"),
    "axes": ("nbyx", "nyxb", "nyx"),
}


@dataclass(frozen=True, kw_only=True)
class CutoutBand:
    """One band of the images."""

    name: str
    """Name in the store; free."""
    wavelength_nm: float | None = None
    """Effective wavelength; default that of the survey table."""
    plane: int | str | None = None
    """Which plane of the file it is, from 0, or ``mean`` of all planes; default its place in the list."""
    file: str | None = None
    """What ``{band}`` stands for in the names of files; default the name."""
    hdu: int | str | None = None
    """HDU of a FITS file that holds it, a number or a name; default the first with an image."""
    magzero: float | None = None
    """AB zero point, if the unit is counts; default that of the section."""


@dataclass(frozen=True, kw_only=True)
class CutoutSection:
    """Where the images are and what their numbers mean.

    Attributes
    ----------
    bands : tuple of CutoutBand
    unit : str
        Of the numbers: ``uncalibrated``, ``ujy``, ``jy`` or ``nanomaggy`` a pixel, ``mjy_per_sr``, ``counts``
        (needs ``magzero``), or ``header``: each FITS file's own ``BUNIT`` or ``MAGZERO``.
    pixel_arcsec : float or str
        Pixel scale of the files, or ``unknown``.
    files : str, optional
        Files of a galaxy, by columns of the table: ``images/{name}.png``, ``{id}-{band}.fits``. Without a
        table a glob pattern.
    array : str, optional
        Array file of all galaxies in the order of the table: ``.npy``, ``.npz``, HDF5 or Zarr; or a glob of
        several.
    dataset : str
        Name of the images in an array file; may be left out if there is only one array of images.
    axes : str
        Order of an array's axes: ``nbyx``, ``nyxb`` or ``nyx``.
    rms, mask : str, optional
        Names of arrays of the same shape, with the RMS of each pixel in the unit of the images, or a mask.
    mask_means : str
        ``bad`` or ``good``: meaning of a mask's value 1.
    magzero : float, optional
    size : int
        Side in pixels to keep, after rebinning; 0 keeps all. The option ``--size`` overrides it.
    rebin : int
        Join this many pixels each way. The option ``--rebin`` overrides it.
    blank : float, optional
        Value of a pixel without data. Pixels that are not finite are always masked.
    empty_bands : str, optional
        Column of bits: bit k is set where band k of the list has no coverage.
    sky : str
        ``subtract`` takes the median of the border off each image; ``keep`` only reports it.
    transfer : str
        ``srgb`` undoes the transfer curve of sRGB pictures; ``linear`` keeps the numbers of the files.
    exif_rotation : str
        ``apply`` turns pictures whose EXIF says so; ``refuse`` does not read them.
    any_size : bool
        Accept files of different sizes: the middle is kept, and what is beyond the file is masked.
    """

    bands: tuple[CutoutBand, ...]
    unit: str
    pixel_arcsec: float | str
    files: str | None = None
    array: str | None = None
    dataset: str = ""
    axes: str = "nbyx"
    rms: str | None = None
    mask: str | None = None
    mask_means: str = "bad"
    magzero: float | None = None
    size: int = 0
    rebin: int = 1
    blank: float | None = None
    empty_bands: str | None = None
    sky: str = "keep"
    transfer: str = "linear"
    exif_rotation: str = "refuse"
    any_size: bool = False

    @classmethod
    def parse(cls, file: Path, item: Any) -> CutoutSection:
        """Read the section of a recipe.

        Raises
        ------
        InputError
            Names the key that is missing or wrong.
        """
        if isinstance(item, Mapping) and isinstance(item.get("bands"), list):
            item = {**item, "bands": tuple(made(file, "bands", CutoutBand, b) for b in item["bands"])}
        section: CutoutSection = made(file, "cutouts", cls, item)
        wrong = section._wrong()
        if wrong:
            msg = f"{file}: cutouts: {wrong}"
            raise InputError(msg)
        return section

    def _wrong(self) -> str | None:
        """What is wrong with the section, if anything."""
        for key, known in _CHOICES.items():
            if getattr(self, key) not in known:
                return f"{key} is {getattr(self, key)!r}; it must be one of {', '.join(known)}"
        if (self.files is None) == (self.array is None):
            return "give either files (one a galaxy) or array (one file of all)"
        if self.rebin < 1 or self.size < 0:
            return f"rebin must be at least 1 and size not negative, got {self.rebin} and {self.size}"
        if self.transfer == "srgb" and self.unit != UNCALIBRATED:
            return "transfer: srgb is for pictures, whose unit is uncalibrated"
        return self._wrong_scale() or self._wrong_bands()

    def _wrong_scale(self) -> str | None:
        known = isinstance(self.pixel_arcsec, int | float) and self.pixel_arcsec > 0
        if not known and self.pixel_arcsec != "unknown":
            return f"pixel_arcsec is {self.pixel_arcsec!r}; give the pixel scale in arcsec, or unknown"
        if self.unit == "mjy_per_sr" and not known:
            return "the unit mjy_per_sr needs the pixel scale: give pixel_arcsec"
        return None

    def _wrong_bands(self) -> str | None:
        if not self.bands or not all(isinstance(b, CutoutBand) for b in self.bands):
            return "bands must be a list of bands, each with a name"
        names = self.names
        for b in self.bands:
            if not re.fullmatch(r"[A-Za-z][\w.+-]*", str(b.name)) or names.count(b.name) > 1:
                return f"{b.name!r} is no name of a band; use letters and digits, each name once"
            if self.unit == "counts" and b.magzero is None and self.magzero is None:
                return f"the unit is counts but band {b.name} has no magzero; give its AB zero point"
            if b.plane not in (None, "mean") and not (isinstance(b.plane, int) and b.plane >= 0):
                return f"plane of band {b.name} is {b.plane!r}; give a number from 0, or mean"
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bands."""
        return tuple(b.name for b in self.bands)

    @property
    def wavelengths_nm(self) -> dict[str, float]:
        """Wavelengths of the bands that give one."""
        return {b.name: float(b.wavelength_nm) for b in self.bands if b.wavelength_nm is not None}

    @property
    def free_wavelengths_nm(self) -> dict[str, float]:
        """Wavelengths that the store has to keep, since the survey table lacks the band."""
        return {name: nm for name, nm in self.wavelengths_nm.items() if name not in BANDS}

    @property
    def scale_arcsec(self) -> float:
        """Pixel scale of the files; NaN if unknown."""
        return float("nan") if isinstance(self.pixel_arcsec, str) else float(self.pixel_arcsec)

    @property
    def uncalibrated(self) -> bool:
        """Whether the pixels have no physical unit."""
        return self.unit == UNCALIBRATED

    @property
    def file_columns(self) -> tuple[str, ...]:
        """Columns of the table that the names of files are made of."""
        return tuple(dict.fromkeys(n for n in PLACEHOLDER.findall(self.files or "") if n != "band"))

    def to_ujy(self, b: CutoutBand) -> float:
        """µJy per pixel of a file's unit; 1 for uncalibrated images."""
        if self.unit in (UNCALIBRATED, "header"):
            return 1.0
        if self.unit == "counts":
            magzero = b.magzero if b.magzero is not None else self.magzero
            return ujy_per_count(float(magzero if magzero is not None else "nan"))
        if self.unit == "mjy_per_sr":
            return MJY_SR_UJY_ARCSEC2 * self.scale_arcsec**2
        return FLUX_UNITS[self.unit]
