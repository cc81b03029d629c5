"""Recipes: how to read a photometric table, in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from euclidfm.core.bands import BANDS, PIXEL_ARCSEC, Band, resolve_bands
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_yaml
from euclidfm.core.units import FLUX_UNITS, ujy_from_abmag
from euclidfm.ingest.selection import Step, shipped, steps_from
from euclidfm.store.schema import Column
from euclidfm.store.splits import SPLITS

__all__ = ["UNITS", "BandColumns", "ImageColumns", "LabelColumn", "PhotometryRecipe", "TableFiles"]

UNITS = ("abmag", "luptitude", *FLUX_UNITS)
"""Units of a table's photometry."""

IMAGE_UNITS = (*FLUX_UNITS, "counts")
"""Units of a data set's images."""


@dataclass(frozen=True, kw_only=True)
class BandColumns:
    """Where the photometry of one band is."""

    band: str
    """Name in the survey table, or in the recipe's ``wavelengths_nm``."""
    value: str
    """Column of the magnitude or flux."""
    error: str | None = None
    """Column of its error, in the same unit; without one, errors are unknown (NaN)."""
    unit: str = "abmag"
    """One of `UNITS`."""
    softening_ujy: float = 0.0
    """Softening b of luptitudes (asinh magnitudes); 0 is the limit in which they are AB magnitudes."""
    mask: str | None = None
    """Column of a flag: the band is not measured where it is not 0."""


@dataclass(frozen=True, kw_only=True)
class LabelColumn:
    """A column to keep."""

    name: str
    """Name in the store."""
    column: str
    """Name in the table."""
    role: str = "label"
    """``label``, ``flag`` or ``meta``."""
    type: str = "float32"
    """``float32``, ``float64``, ``int64``, ``bool`` or ``string``."""
    unit: str = ""
    description: str = ""
    where: str | None = None
    """Expression on the table's columns; where it is false the value is unknown."""


@dataclass(frozen=True, kw_only=True)
class TableFiles:
    """Files of a table."""

    pattern: str
    """Glob in the source folder."""
    split: str | None = None
    """Split that its rows belong to; of "train", a share goes to validation."""


@dataclass(frozen=True, kw_only=True)
class ImageColumns:
    """Where the images of a data set are.

    Either each band has a column (`columns`), or one column lists the bands (`listed`), as in the
    Multimodal Universe: ``image: {band: [...], flux: [...], ivar: [...], mask: [...]}``.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    """Column of each band's pixels, by the band's name in the survey table."""
    listed: str | None = None
    """Column that lists the bands."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Name in the survey table of each band that the list has."""
    band: str = "band"
    flux: str = "flux"
    ivar: str | None = "ivar"
    """Inverse variance of each pixel, in the same unit; a pixel where it is not positive is masked."""
    mask: str | None = None
    """Mask of each pixel."""
    mask_means: str = "bad"
    """``bad`` or ``good``: meaning of the value 1 in a mask."""
    unit: str = "ujy"
    """``ujy``, ``jy``, ``nanomaggy`` or ``counts``."""
    magzero: Mapping[str, float] = field(default_factory=dict)
    """AB zero point of each band whose unit is counts."""
    pixel_arcsec: float = PIXEL_ARCSEC

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands, by their names in the survey table."""
        return tuple(dict.fromkeys((*self.columns, *self.names.values())))

    def to_ujy(self, band: str) -> float:
        """µJy of the unit of a band's pixels."""
        if self.unit == "counts":
            return float(ujy_from_abmag(self.magzero[band]))
        return FLUX_UNITS[self.unit]


@dataclass(frozen=True, kw_only=True)
class PhotometryRecipe:
    """How to read a photometric table, or a data set with images.

    Attributes
    ----------
    name, version, description : str
    files : tuple of TableFiles
        Used when the source is a folder.
    format : str, optional
        ``csv``, ``whitespace``, ``fits``, ``parquet`` or ``votable``; default by name.
    id, ra, dec : str, optional
        Columns. Without an id, positions make one; without positions, splits go by a hash of the id.
    missing : tuple of float
        Values of magnitudes, fluxes, errors and labels that mean "not measured".
    bands : tuple of BandColumns
    columns : tuple of LabelColumn
    select : tuple of Step
        On the table's own columns.
    wavelengths_nm : dict
        Effective wavelengths of bands that the survey table lacks.
    allow_template_sed : bool
        Accept columns of the Q1 galaxy-SED product, which is fitted at a redshift and so leaks it.
    release : str
    id_text : bool
        Ids are text that is no number; a hash of the text is the id.
    images : ImageColumns, optional
        Makes it the recipe of a data set, which is read with ``datasets``.
    config : str, optional
        Name of the data set's configuration.
    splits : dict
        Split of the store that each of the data set's splits belongs to (``""``: by position); default:
        all of them, by position.
    """

    name: str
    version: str
    description: str = ""
    files: tuple[TableFiles, ...] = ()
    format: str | None = None
    id: str | None = None
    ra: str | None = None
    dec: str | None = None
    missing: tuple[float, ...] = ()
    bands: tuple[BandColumns, ...] = ()
    columns: tuple[LabelColumn, ...] = ()
    select: tuple[Step, ...] = ()
    wavelengths_nm: Mapping[str, float] = field(default_factory=dict)
    allow_template_sed: bool = False
    release: str = ""
    id_text: bool = False
    images: ImageColumns | None = None
    config: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)

    @property
    def sed_bands(self) -> tuple[Band, ...]:
        """Bands of the SED with their wavelengths."""
        return tuple(resolve_bands([b.band for b in self.bands], dict(self.wavelengths_nm)))

    @property
    def store_columns(self) -> tuple[Column, ...]:
        """The columns to keep, as the store describes them."""
        return tuple(
            Column(name=c.name, type=c.type, role=c.role, unit=c.unit, description=c.description)
            for c in self.columns
        )

    @property
    def provenance(self) -> dict[str, Any]:
        """Name and version, and the expressions of the selection."""
        return {
            "recipe": f"{self.name} v{self.version}",
            "recipe_steps": [s.where for s in self.select],
        }

    @classmethod
    def load(cls, name: str) -> PhotometryRecipe:
        """Load a shipped recipe by name, or a YAML file.

        Raises
        ------
        InputError
            If there is no such file or it is not a recipe; names the key.
        """
        file = shipped("recipes", name)
        d = read_yaml(file)
        if not isinstance(d, Mapping):
            msg = f"{file} is not a recipe; it needs name, version and bands"
            raise InputError(msg)
        d = dict(d)
        for key, kind in (("files", TableFiles), ("bands", BandColumns), ("columns", LabelColumn)):
            if isinstance(d.get(key), list):
                d[key] = tuple(_made(file, key, kind, item) for item in d[key])
        if d.get("images") is not None:
            d["images"] = _made(file, "images", ImageColumns, d["images"])
        d["select"] = steps_from(file, d.get("select"))
        d["missing"] = tuple(float(v) for v in d.get("missing", ()))
        if "version" in d:
            d["version"] = str(d["version"])
        recipe: PhotometryRecipe = _made(file, "the recipe", cls, d)
        recipe._check(file)
        return recipe

    def _check(self, file: Path) -> None:
        if self.images is not None:
            self._check_images(file, self.images)
        elif not self.bands:
            msg = f"{file} names no bands; list at least one with band, value, error and unit"
            raise InputError(msg)
        if self.id is None and (self.ra is None or self.dec is None):
            msg = f"{file} names neither an id nor ra and dec; give one, objects need an identity"
            raise InputError(msg)
        for b in self.bands:
            if b.unit not in UNITS:
                msg = f"{file}: band {b.band} has unit {b.unit!r}; known units: {', '.join(UNITS)}"
                raise InputError(msg)
            if b.band not in BANDS and b.band not in self.wavelengths_nm:
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


def _made(file: Path, where: str, kind: Any, item: Any) -> Any:
    known = {f.name for f in fields(kind)}
    if not isinstance(item, Mapping):
        msg = f"{file}: {where} must be a list of mappings with {', '.join(sorted(known))}; got {item!r}"
        raise InputError(msg)
    unknown = set(item) - known
    if unknown:
        msg = f"{file}: unknown key {sorted(unknown)[0]!r} in {where}; known: {', '.join(sorted(known))}"
        raise InputError(msg)
    try:
        return kind(**item)
    except TypeError as e:
        msg = f"{file}: {where} is incomplete ({str(e).split('__init__() ')[-1]})"
        raise InputError(msg) from None
