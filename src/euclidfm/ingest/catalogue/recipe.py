"""Recipes, which describe in YAML how to read a photometric table or a data set with images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from euclidfm.core.bands import BANDS, PIXEL_ARCSEC, Band, resolve_bands
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_yaml
from euclidfm.core.units import FLUX_UNITS, ujy_from_abmag
from euclidfm.ingest.catalogue.parse import made
from euclidfm.ingest.cutouts.section import CutoutSection
from euclidfm.ingest.selection import Step, shipped, steps_from
from euclidfm.store.schema import Column
from euclidfm.store.splits import SPLITS

__all__ = ["UNITS", "BandColumns", "ImageColumns", "LabelColumn", "PhotometryRecipe", "TableFiles"]

UNITS = ("abmag", "luptitude", *FLUX_UNITS)
"""Units that the photometry of a table may have."""

IMAGE_UNITS = (*FLUX_UNITS, "counts")
"""Units that the images of a data set may have."""


@dataclass(frozen=True, kw_only=True)
class BandColumns:
    """The columns that hold the photometry of one band."""

    band: str
    """Name of the band in the survey table, or in ``wavelengths_nm`` of the recipe."""
    value: str
    """Column of the magnitude or flux."""
    error: str | None = None
    """Column of the error, in the same unit. Without this column the errors are unknown (NaN)."""
    unit: str | None = None
    """One of `UNITS`. By default the unit that the file states, or else AB magnitudes."""
    softening_ujy: float = 0.0
    """Softening b of luptitudes (asinh magnitudes). With 0 they are AB magnitudes."""
    mask: str | None = None
    """Column of a flag. The band counts as not measured where the flag is not 0."""


@dataclass(frozen=True, kw_only=True)
class LabelColumn:
    """A column of the table that the store keeps."""

    name: str
    """Name of the column in the store."""
    column: str
    """Name of the column in the table."""
    role: str = "label"
    """``label``, ``flag`` or ``meta``."""
    type: str = "float32"
    """``float32``, ``float64``, ``int64``, ``bool`` or ``string``."""
    unit: str = ""
    description: str = ""
    where: str | None = None
    """Expression on the columns of the table. The value is unknown where the expression is false."""


@dataclass(frozen=True, kw_only=True)
class TableFiles:
    """Files that belong to a table."""

    pattern: str
    """Glob pattern of the files in the source folder."""
    split: str | None = None
    """Split of the rows. Of the rows of ``train``, a share goes to ``validation``."""


@dataclass(frozen=True, kw_only=True)
class ImageColumns:
    """The columns that hold the images of a data set.

    Either each band has a column (`columns`), or one column lists the bands (`listed`). The Multimodal
    Universe uses such lists: ``image: {band: [...], flux: [...], ivar: [...], mask: [...]}``.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    """Column of the pixels of each band, by the name of the band in the survey table."""
    listed: str | None = None
    """Name of the column that lists the bands."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Name in the survey table of each band in the list."""
    band: str = "band"
    """Part of the list that holds the names of the bands."""
    flux: str = "flux"
    """Part of the list that holds the pixels."""
    ivar: str | None = "ivar"
    """Part with the inverse variance of each pixel. Pixels in which it is not positive are masked."""
    mask: str | None = None
    """Part with the mask of each pixel."""
    mask_means: str = "bad"
    """Meaning of the value 1 in a mask: ``bad`` or ``good``."""
    unit: str = "ujy"
    """Unit of the pixels: ``ujy``, ``jy``, ``nanomaggy`` or ``counts``."""
    magzero: Mapping[str, float] = field(default_factory=dict)
    """AB zero point of each band in counts."""
    pixel_arcsec: float = PIXEL_ARCSEC
    """Side of a pixel in arcsec."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands in the survey table."""
        return tuple(dict.fromkeys((*self.columns, *self.names.values())))

    def to_ujy(self, band: str) -> float:
        """Return the factor from the unit of a band's pixels to µJy."""
        if self.unit == "counts":
            return float(ujy_from_abmag(self.magzero[band]))
        return FLUX_UNITS[self.unit]


def _mark(value: Any) -> float | str:
    """A mark of a missing value: a number, or a word."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


@dataclass(frozen=True, kw_only=True)
class PhotometryRecipe:
    """How to read a photometric table, or a data set with images.

    Attributes
    ----------
    name, version, description : str
    files : tuple of TableFiles
        Files to read if the source is a folder.
    format : str, optional
        ``csv``, ``whitespace``, ``fits``, ``parquet`` or ``votable``. By default the file name decides.
    id, ra, dec : str, optional
        Columns of identity and position. Without an id, ids are made from positions. Without positions,
        splits follow from a hash of the id.
    hdu : str or int, optional
        HDU of FITS files, by name or number. By default the first table with the columns.
    missing : tuple of float or str
        Numbers and words that mean "not measured", in the file's own unit, or names of
        `readers.missing.SURVEY_MARKS`.
    bands : tuple of BandColumns
        Bands of the SED.
    columns : tuple of LabelColumn
        Columns that the store keeps.
    select : tuple of Step
        Selection, as expressions on the columns of the table.
    wavelengths_nm : dict
        Effective wavelengths in nm of bands that the survey table lacks.
    allow_template_sed : bool
        Whether to accept columns of the Q1 galaxy-SED product. Its templates are fitted at a redshift and
        leak it.
    release : str
        Name of the data release.
    id_text : bool
        Whether ids are text that is no number. A hash of the text is then the id.
    images : ImageColumns, optional
        Images of a data set. A recipe with images is read with ``datasets``.
    cutouts : CutoutSection, optional
        Pictures, arrays or FITS files, one image a row of the table.
    config : str, optional
        Name of the data set's configuration.
    splits : dict
        Split of the store for each split of the data set; ``""`` means by position. By default all splits are
        read, by position.
    """

    name: str
    version: str
    description: str = ""
    files: tuple[TableFiles, ...] = ()
    format: str | None = None
    id: str | None = None
    ra: str | None = None
    dec: str | None = None
    hdu: str | int | None = None
    missing: tuple[float | str, ...] = ()
    bands: tuple[BandColumns, ...] = ()
    columns: tuple[LabelColumn, ...] = ()
    select: tuple[Step, ...] = ()
    wavelengths_nm: Mapping[str, float] = field(default_factory=dict)
    allow_template_sed: bool = False
    release: str = ""
    id_text: bool = False
    images: ImageColumns | None = None
    cutouts: CutoutSection | None = None
    config: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)

    @property
    def sed_bands(self) -> tuple[Band, ...]:
        """Bands of the SED with their wavelengths."""
        return tuple(resolve_bands([b.band for b in self.bands], self._all_wavelengths))

    @property
    def _all_wavelengths(self) -> dict[str, float]:
        return {**(self.cutouts.wavelengths_nm if self.cutouts else {}), **self.wavelengths_nm}

    @property
    def has_images(self) -> bool:
        """Whether its galaxies have images, so that they may lack photometry."""
        return self.images is not None or self.cutouts is not None

    @property
    def store_columns(self) -> tuple[Column, ...]:
        """The columns to keep, as the store describes them."""
        return tuple(
            Column(name=c.name, type=c.type, role=c.role, unit=c.unit, description=c.description)
            for c in self.columns
        )

    @property
    def provenance(self) -> dict[str, Any]:
        """Name and version of the recipe, and the expressions of its selection."""
        return {"recipe": f"{self.name} v{self.version}", "recipe_steps": [s.where for s in self.select]}

    @classmethod
    def load(cls, name: str) -> PhotometryRecipe:
        """Load a recipe.

        Parameters
        ----------
        name : str
            Name of a recipe of the package, or path of a YAML file.

        Raises
        ------
        InputError
            If there is no such file, or if it is no recipe. The message names the wrong key.
        """
        file = shipped("recipes", name)
        d = read_yaml(file)
        if not isinstance(d, Mapping):
            msg = f"{file} is not a recipe; it needs name, version and bands"
            raise InputError(msg)
        d = dict(d)
        for key, kind in (("files", TableFiles), ("bands", BandColumns), ("columns", LabelColumn)):
            if isinstance(d.get(key), list):
                d[key] = tuple(made(file, key, kind, item) for item in d[key])
        if d.get("images") is not None:
            d["images"] = made(file, "images", ImageColumns, d["images"])
        if d.get("cutouts") is not None:
            d["cutouts"] = CutoutSection.parse(file, d["cutouts"])
        d["select"] = steps_from(file, d.get("select"))
        d["missing"] = tuple(_mark(v) for v in d.get("missing") or ())
        if "version" in d:
            d["version"] = str(d["version"])
        recipe: PhotometryRecipe = made(file, "the recipe", cls, d)
        recipe._check(file)
        return recipe

    def _check(self, file: Path) -> None:
        if self.images is not None:
            self._check_images(file, self.images)
        elif not self.bands and not self.cutouts:
            msg = f"{file} names no bands; list at least one with band, value, error and unit"
            raise InputError(msg)
        of_files = self.cutouts is not None and not self.files  # the names of the files are the ids
        if self.id is None and (self.ra is None or self.dec is None) and not of_files:
            msg = f"{file} names neither an id nor ra and dec; give one, objects need an identity"
            raise InputError(msg)
        for b in self.bands:
            if b.unit is not None and b.unit not in UNITS:
                msg = f"{file}: band {b.band} has unit {b.unit!r}; known units: {', '.join(UNITS)}"
                raise InputError(msg)
            if b.band not in BANDS and b.band not in self._all_wavelengths:
                msg = (
                    f"{file}: band {b.band!r} is not in the survey table; give its wavelength in "
                    "wavelengths_nm"
                )
                raise InputError(msg)
            if not self.allow_template_sed and any(
                "galaxysed_" in (c or "").lower() for c in (b.value, b.error)
            ):
                msg = (
                    f"{file}: column {b.value!r} is of the galaxy-SED product, a template fitted at a "
                    "redshift, which leaks it into the SED; use broad-band fluxes, or set "
                    "allow_template_sed: true"
                )
                raise InputError(msg)
        for f in self.files:
            if f.split not in (None, *SPLITS):
                msg = f"{file}: split {f.split!r} of {f.pattern} must be train, validation or test"
                raise InputError(msg)

    def _check_images(self, file: Path, images: ImageColumns) -> None:
        if not images.bands:
            msg = f"{file}: images names no band; give columns (band: column), or listed and names"
            raise InputError(msg)
        for b in images.bands:
            if b not in BANDS:
                msg = f"{file}: image band {b!r} is not in the survey table; its names: {', '.join(BANDS)}"
                raise InputError(msg)
            if images.unit == "counts" and b not in images.magzero:
                msg = f"{file}: images are in counts but band {b} has no magzero; give its AB zero point"
                raise InputError(msg)
        if images.unit not in IMAGE_UNITS:
            msg = f"{file}: images have unit {images.unit!r}; known units: {', '.join(IMAGE_UNITS)}"
            raise InputError(msg)
        if images.mask_means not in ("bad", "good"):
            msg = f"{file}: mask_means is {images.mask_means!r}; it must be bad or good"
            raise InputError(msg)
        for name, split in self.splits.items():
            if split not in ("", *SPLITS):
                msg = f"{file}: split {name} goes to {split!r}; give train, validation, test or nothing"
                raise InputError(msg)
