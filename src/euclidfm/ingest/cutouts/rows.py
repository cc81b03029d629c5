"""Rows of the tables of a recipe with cutouts, without their images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.formats import Table, read_table
from euclidfm.ingest.catalogue.matching import first_of_each
from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.cutouts.section import CutoutSection
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import CutFlow
from euclidfm.ingest.sources.table import needed_columns, rows_of, table_files
from euclidfm.store.schema import Galaxies

__all__ = ["TableRows", "leave_out", "read_rows", "rows_of_ids"]


@dataclass
class TableRows:
    """The rows of all tables that are left."""

    galaxies: Galaxies
    row: np.ndarray
    """(N,) place in the tables, joined, before anything was left out."""
    table: Table
    """Columns that the images need, of all rows."""
    total: int
    """All rows."""
    files: list[str]

    def take(self, keep: np.ndarray) -> TableRows:
        """The rows that a boolean mask keeps."""
        return replace(self, galaxies=self.galaxies.take(keep), row=self.row[keep])


def read_rows(
    root: Path, recipe: PhotometryRecipe, section: CutoutSection, cut_flow: CutFlow, quarantine: Quarantine
) -> TableRows:
    """Rows of the tables that pass the selection and have an id of their own."""
    extra = (*section.file_columns, *((section.empty_bands,) if section.empty_bands else ()))
    parts: list[TableRows] = []
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
        parts.append(TableRows(galaxies, kept + total, {c: table[c] for c in extra}, n, []))
        total += n
    rows = TableRows(
        Galaxies.concat([p.galaxies for p in parts]),
        np.concatenate([p.row for p in parts]),
        {c: np.concatenate([p.table[c] for p in parts]) for c in extra},
        total,
        [str(f) for f, _ in files],
    )
    first = first_of_each(rows.galaxies.object_id)
    leave_out(rows, ~first, "its id occurs earlier in the table", str(root), quarantine)
    cut_flow.count("with an id of its own", first.sum())
    return rows.take(first)


def rows_of_ids(ids: np.ndarray) -> TableRows:
    """Galaxies without a table."""
    n = len(ids)
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
    return TableRows(galaxies, np.arange(n), {}, n, [])


def leave_out(
    rows: TableRows, bad: np.ndarray, why: str | list[str], file: str, quarantine: Quarantine
) -> None:
    """Put rows into quarantine."""
    g = rows.galaxies
    quarantine.add_objects(why, g.object_id[bad], g.ra[bad], g.dec[bad], file=file, tile=-1)
