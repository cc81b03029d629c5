"""The plan of cutouts that a recipe describes: the table, the files or arrays beside it, and work units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.formats import Table, read_table
from euclidfm.ingest.catalogue.labels import FLAGS
from euclidfm.ingest.catalogue.matching import first_of_each
from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.catalogue.row_splits import split_rows, split_rule
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.cutouts.block import Reader
from euclidfm.ingest.cutouts.listing import Listing, file_names, glob_names, listed
from euclidfm.ingest.cutouts.pictures import open_pictures
from euclidfm.ingest.cutouts.section import CutoutBand, CutoutSection
from euclidfm.ingest.cutouts.unit import CutoutsUnit, sky_column, unit_rows
from euclidfm.ingest.plan import Plan
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import CutFlow
from euclidfm.ingest.sources.table import needed_columns, rows_of, table_files, text_ids
from euclidfm.store.schema import Column, Galaxies, StoreInfo

__all__ = ["plan_cutouts"]


@dataclass
class _Rows:
    """The rows of all tables that are left."""

    galaxies: Galaxies
    row: np.ndarray
    """(N,) place in the tables, joined, before anything was left out."""
    table: Table
    """Columns that the images need, of all rows."""
    total: int
    """All rows."""
    files: list[str]

    def take(self, keep: np.ndarray) -> _Rows:
        return replace(self, galaxies=self.galaxies.take(keep), row=self.row[keep])


def plan_cutouts(cfg: IngestConfig) -> Plan:
    """Read the table and find the images; the units read the pixels.

    Raises
    ------
    InputError
        If the table or all images are missing, if images and rows do not match (unless ``on_error`` is
        ``quarantine``), or if an array has another length than the table.
    """
    recipe = PhotometryRecipe.load(cfg.recipe or "")
    section = recipe.cutouts
    assert section is not None
    root = Path(cfg.source)
    if not root.is_dir():
        msg = f"{root} is no folder; name the folder that holds the files of recipe {recipe.name!r}"
        raise InputError(msg)
    bands = tuple(b for b in section.bands if b.name in cfg.bands) or section.bands
    cut_flow, quarantine = CutFlow(), Quarantine()
    if recipe.files:
        rows = _read_rows(root, recipe, section, cut_flow, quarantine)
        names = file_names(section, rows.table, rows.total)
    else:
        names = glob_names(root, section)
        rows = _rows_of_names(names)
        cut_flow.count("files", len(names))
    found = listed(root, names)
    rows = _matched(cfg, rows, found, quarantine)
    cut_flow.count("with an image", len(rows.galaxies))
    reader = open_pictures(root, [found.names[r] for r in rows.row], section)
    _check_planes(root, reader, section)
    rows.galaxies.split = split_rows(rows.galaxies, recipe, cfg)
    info = _store_info(cfg, recipe, section, bands, reader)
    units = _units(cfg, rows, reader, section, bands, info)
    report = {"images": _in_words(section, reader, info), "splits_by": split_rule(recipe)}
    return Plan(
        info=info, units=units, cut_flow=cut_flow, quarantine=quarantine, report=report, files=rows.files
    )


def _read_rows(
    root: Path, recipe: PhotometryRecipe, section: CutoutSection, cut_flow: CutFlow, quarantine: Quarantine
) -> _Rows:
    """Rows of the tables that pass the selection and have an id of their own."""
    extra = (*section.file_columns, *((section.empty_bands,) if section.empty_bands else ()))
    parts: list[_Rows] = []
    total, files = 0, table_files(root, recipe)
    for file, split in files:
        table, lines = read_table(file, dict.fromkeys((*needed_columns(recipe), *extra)), recipe.format)
        n = len(next(iter(table.values())))
        cut_flow.count("rows of the table", n + len(lines))
        if lines and section.array:
            msg = f"{file}: {lines[0]}, so its rows can't be matched with the array; correct the line"
            raise InputError(msg)
        for line in lines:
            quarantine.add(line, file=str(file))
        galaxies, kept = rows_of(file, split, table, recipe, cut_flow, quarantine)
        parts.append(_Rows(galaxies, kept + total, {c: table[c] for c in extra}, n, []))
        total += n
    rows = _Rows(
        Galaxies.concat([p.galaxies for p in parts]),
        np.concatenate([p.row for p in parts]),
        {c: np.concatenate([p.table[c] for p in parts]) for c in extra},
        total,
        [str(f) for f, _ in files],
    )
    first = first_of_each(rows.galaxies.object_id)
    _leave_out(rows, ~first, "its id occurs earlier in the table", str(root), quarantine)
    cut_flow.count("with an id of its own", first.sum())
    return rows.take(first)


def _rows_of_names(names: list[tuple[str, ...]]) -> _Rows:
    """Galaxies without a table: ids are the numbers, or a hash, of the first file's name."""
    stems = [Path(row[0]).stem for row in names]
    plain = all(s.isascii() and s.isdigit() and len(s) < 19 for s in stems)
    ids = np.array([int(s) for s in stems], np.int64) if plain else text_ids(np.array(stems, object))
    n = len(names)
    nothing = np.zeros((n, 0), np.float32)
    galaxies = Galaxies(
        object_id=ids,
        ra=np.full(n, np.nan),
        dec=np.full(n, np.nan),
        tile=np.full(n, -1, np.int64),
        split=np.full(n, "", object),
        images={},
        masks={},
        noise={},
        flux=nothing,
        fluxerr=nothing.copy(),
        sed_bands=(),
    )
    return _Rows(galaxies, np.arange(n), {}, n, [])


def _leave_out(rows: _Rows, bad: np.ndarray, why: str | list[str], file: str, quarantine: Quarantine) -> None:
    g = rows.galaxies
    quarantine.add_objects(why, g.object_id[bad], g.ra[bad], g.dec[bad], file=file, tile=-1)


def _matched(cfg: IngestConfig, rows: _Rows, found: Listing, quarantine: Quarantine) -> _Rows:
    """Rows that have a file; what is left over on either side is an error, or goes to quarantine."""
    here = np.array([any(found.names[r]) for r in rows.row], bool)
    if not here.any():
        what = f"none of the {len(here)} images that its table names"
        msg = f"{cfg.source} has {what}; correct files in the recipe"
        raise InputError(msg)
    if (not here.all() or found.unnamed) and cfg.on_error == "stop":
        raise InputError(_left_over(cfg.source, rows, here, found.unnamed))
    for name in found.unnamed:
        quarantine.add("no row of the table names this image", file=name)
    _leave_out(rows, ~here, "its image does not exist", cfg.source, quarantine)
    return rows.take(here)


def _left_over(source: str, rows: _Rows, here: np.ndarray, unnamed: list[str]) -> str:
    """What does not match, in one sentence."""
    parts = []
    if not here.all():
        i = int(np.flatnonzero(~here)[0])
        first = f"row {rows.row[i] + 1}, object {rows.galaxies.object_id[i]}"
        parts.append(f"{(~here).sum()} rows of the table have no image (the first is {first})")
    if unnamed:
        parts.append(f"{len(unnamed)} images have no row in the table (the first is {unnamed[0]})")
    advice = "complete them, or pass --on_error quarantine to keep the rest"
    return f"{source}: {' and '.join(parts)}; {advice}"


def _check_planes(root: Path, reader: Reader, section: CutoutSection) -> None:
    """Check that the files hold the bands of the recipe."""
    numbers = [b.plane for b in section.bands if isinstance(b.plane, int)]
    by_place = any(b.plane is None for b in section.bands)
    if (by_place and reader.planes != len(section.bands)) or max(numbers, default=0) >= reader.planes:
        msg = (
            f"images of {root} have {reader.planes} planes and the recipe names {len(section.bands)} bands "
            f"({', '.join(section.names)}); name as many, or give each band its plane"
        )
        raise InputError(msg)


def _store_info(
    cfg: IngestConfig,
    recipe: PhotometryRecipe,
    section: CutoutSection,
    bands: tuple[CutoutBand, ...],
    reader: Reader,
) -> StoreInfo:
    rebin = cfg.rebin or section.rebin
    names = tuple(b.name for b in bands)
    unit = "" if section.uncalibrated else "uJy"
    about = f"border median, {'now' if section.sky == 'subtract' else 'not'} subtracted"
    skies = [
        Column(name=sky_column(b), type="float32", role="meta", unit=unit, description=about) for b in names
    ]
    return StoreInfo(
        image_bands=names,
        image_size=cfg.size or section.size or min(reader.shape) // rebin,
        pixel_arcsec=section.scale_arcsec * rebin,
        uncalibrated=names if section.uncalibrated else (),
        image_wavelengths_nm={b: nm for b, nm in section.free_wavelengths_nm.items() if b in names},
        sed_bands=recipe.sed_bands,
        columns=(*recipe.store_columns, *skies, *FLAGS),
        release=cfg.release or recipe.release or recipe.name,
        provenance={
            "kind": "cutouts with a recipe",
            **recipe.provenance,
            "splits_by": split_rule(recipe),
            "unit": section.unit,
            "sky": section.sky,
            "transfer": section.transfer,
            "rebin": rebin,
            "noise": "map" if section.rms else "clipped standard deviation of single pixels of the border",
        },
    )


def _units(
    cfg: IngestConfig,
    rows: _Rows,
    reader: Reader,
    section: CutoutSection,
    bands: tuple[CutoutBand, ...],
    info: StoreInfo,
) -> list[Any]:
    n = len(rows.galaxies)
    empty = None
    if section.empty_bands:
        empty = np.nan_to_num(rows.table[section.empty_bands][rows.row].astype(float)).astype(np.int64)
    step = unit_rows(n)
    units = []
    for start in range(0, n, step):
        at = np.arange(start, min(start + step, n))
        units.append(
            CutoutsUnit(
                galaxies=rows.galaxies.take(at),
                reader=reader.part(at),
                section=section,
                bands=bands,
                empty=None if empty is None else empty[at],
                size=info.image_size,
                rebin=int(info.provenance["rebin"]),
                stop_on_error=cfg.on_error == "stop",
                name=f"rows {at[0] + 1} to {at[-1] + 1}",
                files=reader.part(at).files,
            )
        )
    return units


def _in_words(section: CutoutSection, reader: Reader, info: StoreInfo) -> str:
    """What the images are, for the summary."""
    ny, nx = reader.shape
    scale = "unknown pixel scale" if np.isnan(info.pixel_arcsec) else f'{info.pixel_arcsec:g}" pixels'
    unit = "uncalibrated, in the unit of the files" if section.uncalibrated else "µJy per pixel"
    return f"{reader.planes} planes of {nx} x {ny} px, stored at {info.image_size} px, {scale}, {unit}"
