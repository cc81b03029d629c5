"""The plan of cutouts that a recipe describes: the table, the files or arrays beside it, and work units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.labels import FLAGS
from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.catalogue.row_splits import split_rows, split_rule
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.cutouts.arrays import open_arrays
from euclidfm.ingest.cutouts.block import Reader
from euclidfm.ingest.cutouts.matching import in_array, in_files
from euclidfm.ingest.cutouts.rows import TableRows, read_rows
from euclidfm.ingest.cutouts.section import CutoutBand, CutoutSection
from euclidfm.ingest.cutouts.unit import CutoutsUnit, sky_column, unit_rows
from euclidfm.ingest.plan import Plan
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import CutFlow
from euclidfm.store.schema import Column, StoreInfo

__all__ = ["plan_cutouts"]


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
    rows = read_rows(root, recipe, section, cut_flow, quarantine) if recipe.files else None
    if section.array:
        rows, reader = in_array(root, rows, open_arrays(root, section), section)
    else:
        rows, reader = in_files(cfg, rows, section, quarantine)
    cut_flow.count("with an image", len(rows.galaxies))
    _check_planes(root, reader, section)
    rows.galaxies.split = split_rows(rows.galaxies, recipe, cfg)
    info = _store_info(cfg, recipe, section, bands, reader)
    units = _units(cfg, rows, reader, section, bands, info)
    report = {"images": _in_words(section, reader, info), "splits_by": split_rule(recipe)}
    return Plan(
        info=info, units=units, cut_flow=cut_flow, quarantine=quarantine, report=report, files=rows.files
    )


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
    rows: TableRows,
    reader: Reader,
    section: CutoutSection,
    bands: tuple[CutoutBand, ...],
    info: StoreInfo,
) -> list[Any]:
    n = len(rows.galaxies)
    empty = None
    if section.empty_bands:
        empty = np.nan_to_num(rows.table[section.empty_bands][rows.row].astype(float)).astype(np.int64)
    step = n if reader.sequential else unit_rows(n)
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
