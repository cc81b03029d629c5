"""Rows of a table and the files or arrays that hold their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.cutouts.arrays import Arrays
from euclidfm.ingest.cutouts.block import Reader
from euclidfm.ingest.cutouts.fits_files import open_fits_files
from euclidfm.ingest.cutouts.listing import Listing, file_names, glob_names, listed
from euclidfm.ingest.cutouts.picture import SUFFIXES
from euclidfm.ingest.cutouts.pictures import open_pictures
from euclidfm.ingest.cutouts.rows import TableRows, leave_out, rows_of_ids
from euclidfm.ingest.cutouts.section import CutoutSection
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.sources.table import text_ids

__all__ = ["in_array", "in_files"]


def in_array(
    root: Path, rows: TableRows | None, reader: Arrays, section: CutoutSection
) -> tuple[TableRows, Reader]:
    """Rows and their place in the array; without a table, ids are the places."""
    have = len(reader.rows)
    rows = rows or rows_of_ids(np.arange(have))
    if rows.total != have:
        msg = (
            f"{root}: array {section.array} has {have} galaxies and the table {rows.total} rows; they must "
            "be in the same order and of the same length"
        )
        raise InputError(msg)
    return rows, reader.part(rows.row)


def in_files(
    cfg: IngestConfig, rows: TableRows | None, section: CutoutSection, quarantine: Quarantine
) -> tuple[TableRows, Reader]:
    """Rows and their files; without a table, ids are the numbers, or a hash, of the first file's name."""
    root = Path(cfg.source)
    if rows is None:
        names = glob_names(root, section)
        stems = [Path(row[0]).stem for row in names]
        plain = all(s.isascii() and s.isdigit() and len(s) < 19 for s in stems)
        ids = np.array([int(s) for s in stems], np.int64) if plain else text_ids(np.array(stems, object))
        rows = rows_of_ids(ids)
    else:
        names = file_names(section, rows.table, rows.total)
    found = listed(root, names, section)
    rows = _matched(cfg, rows, found, quarantine)
    kept = [found.names[r] for r in rows.row]
    pictures = all(name.lower().endswith(SUFFIXES) for row in names for name in row)
    return rows, (open_pictures if pictures else open_fits_files)(root, kept, section)


def _matched(cfg: IngestConfig, rows: TableRows, found: Listing, quarantine: Quarantine) -> TableRows:
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
    leave_out(rows, ~here, "its image does not exist", cfg.source, quarantine)
    return rows.take(here)


def _left_over(source: str, rows: TableRows, here: np.ndarray, unnamed: list[str]) -> str:
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
