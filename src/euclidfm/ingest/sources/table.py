"""Photometric tables: magnitudes or fluxes with labels, read by a recipe, without images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.expressions import evaluate, names_in
from euclidfm.core.stated_units import degrees
from euclidfm.ingest.catalogue.columns import exact_ids
from euclidfm.ingest.catalogue.formats import Table, read_table
from euclidfm.ingest.catalogue.matching import first_of_each, on_sky
from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.catalogue.recipe_columns import fluxes, label, selectable
from euclidfm.ingest.catalogue.row_splits import split_rows, split_rule
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.plan import BATCH, Plan, position_id
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.readers.columns import Columns, units_of
from euclidfm.ingest.readers.missing import is_missing
from euclidfm.ingest.selection import CutFlow
from euclidfm.store.schema import Galaxies, StoreInfo

__all__ = [
    "TableUnit",
    "needed_columns",
    "plan_table",
    "rows_of",
    "table_files",
    "text_ids",
]


def plan_table(cfg: IngestConfig) -> Plan:
    """Read a photometric table.

    Raises
    ------
    InputError
        If a file or column is missing, or no row is left.
    """
    recipe = PhotometryRecipe.load(cfg.recipe or "")
    cut_flow, quarantine = CutFlow(), Quarantine()
    parts, files = [], table_files(Path(cfg.source), recipe)
    for file, split in files:
        table, lines = read_table(file, needed_columns(recipe), recipe.format, recipe.hdu)
        cut_flow.count("rows of the table", len(next(iter(table.values()))) + len(lines))
        for line in lines:
            quarantine.add(line, file=str(file))
        parts.append(rows_of(file, split, table, recipe, cut_flow, quarantine)[0])
    galaxies = Galaxies.concat(parts)
    first = first_of_each(galaxies.object_id)
    _leave_out(galaxies, ~first, "its id occurs earlier in the table", cfg.source, quarantine)
    galaxies = galaxies.take(first)
    cut_flow.count("with an id of its own", len(galaxies))
    if not len(galaxies):
        msg = f"recipe {recipe.name!r} leaves no row of {cfg.source} ({cut_flow}); choose another selection"
        raise InputError(msg)
    galaxies.split = split_rows(galaxies, recipe, cfg)
    info = StoreInfo(
        sed_bands=recipe.sed_bands,
        columns=recipe.store_columns,
        release=cfg.release or recipe.release or recipe.name,
        provenance={"kind": "table", **recipe.provenance, "splits_by": split_rule(recipe)},
    )
    names = [str(f) for f, _ in files]
    units = [TableUnit(galaxies, names)]
    return Plan(info=info, units=units, cut_flow=cut_flow, quarantine=quarantine, files=names)


@dataclass
class TableUnit:
    """The rows of a table, already read."""

    galaxies: Galaxies
    files: list[str]

    @property
    def name(self) -> str:
        """Shown by the progress bar."""
        return "table"

    @property
    def rows(self) -> int:
        """Number of galaxies."""
        return len(self.galaxies)

    def batches(self, quarantine: Quarantine) -> Iterator[Galaxies]:
        """Galaxies in the order of the table."""
        for start in range(0, len(self.galaxies), BATCH):
            yield self.galaxies.take(np.arange(start, min(start + BATCH, len(self.galaxies))))


def table_files(source: Path, recipe: PhotometryRecipe) -> list[tuple[Path, str | None]]:
    """Files of the table and the split each belongs to."""
    if source.is_file():
        split = next((f.split for f in recipe.files if source.match(f.pattern)), None)
        return [(source, split)]
    found = [(p, f.split) for f in recipe.files for p in sorted(source.glob(f.pattern))]
    if not found:
        patterns = ", ".join(f.pattern for f in recipe.files) or "no files"
        msg = f"{source} holds no file of recipe {recipe.name!r} ({patterns}); give the file itself"
        raise InputError(msg)
    return found


def needed_columns(recipe: PhotometryRecipe) -> tuple[str, ...]:
    """Columns that a recipe reads, images apart."""
    columns = [recipe.id, recipe.ra, recipe.dec]
    for b in recipe.bands:
        columns += [b.value, b.error, b.mask]
    for c in recipe.columns:
        columns += [c.column, *(names_in(c.where) if c.where else ())]
    for s in recipe.select:
        columns += names_in(s.where)
    return tuple(dict.fromkeys(c for c in columns if c))


def rows_of(
    file: Path | str,
    split: str | None,
    table: Table,
    recipe: PhotometryRecipe,
    cut_flow: CutFlow,
    quarantine: Quarantine,
) -> tuple[Galaxies, np.ndarray]:
    """Selected rows of a table as galaxies without images, and which rows they are.

    Parameters
    ----------
    file : path or str
        For messages.
    split : str, optional
        Split that all rows belong to; default: none yet.
    table : dict of (N,) arrays
        With the columns of `needed_columns`.
    recipe : PhotometryRecipe
    cut_flow : CutFlow
    quarantine : Quarantine
        Gets rows without a position, and rows without photometry.
    """
    rows = _selected(file, table, recipe, cut_flow)
    table = _taken(table, rows)
    ra, dec, placed = _positions(file, table, recipe, len(rows))
    flux, fluxerr = fluxes(file, table, recipe, quarantine)
    galaxies = Galaxies(
        object_id=_ids(file, table, recipe, ra, dec, placed),
        ra=ra.astype(float),
        dec=dec.astype(float),
        tile=np.full(len(rows), -1, np.int64),
        split=np.full(len(rows), split or "", object),
        images={},
        masks={},
        noise={},
        flux=flux.astype(np.float32),
        fluxerr=fluxerr.astype(np.float32),
        sed_bands=tuple(b.band for b in recipe.bands),
        columns={c.name: label(file, table, recipe, c, quarantine) for c in recipe.columns},
    )
    measured = np.isfinite(galaxies.flux).any(axis=1) | recipe.has_images
    _leave_out(galaxies, ~placed, "its position is not a number or not on the sky", str(file), quarantine)
    _leave_out(galaxies, placed & ~measured, "no band is measured", str(file), quarantine)
    good = placed & measured
    cut_flow.count("sound (finite position, a measured band)", good.sum())
    return galaxies.take(good), rows[good]


def _taken(table: Table, rows: np.ndarray) -> Columns:
    """Some rows of a table, with its units and the lines that they stood on."""
    part = Columns({k: v[rows] for k, v in table.items()})
    part.units = units_of(table)
    if isinstance(table, Columns):
        every = np.arange(len(next(iter(table.values()), ()))) + 1
        part.rows = (every if table.rows is None else table.rows)[rows]
        part.lines = None if table.lines is None else table.lines[rows]
    return part


def _selected(file: Path | str, table: Table, recipe: PhotometryRecipe, cut_flow: CutFlow) -> np.ndarray:
    """Rows that pass the recipe's selection; in columns of numbers, marks of missing values are unknown."""
    keep = np.ones(len(next(iter(table.values()))), bool)
    typed = selectable(file, table, [s.where for s in recipe.select], recipe.missing)
    for step in recipe.select:
        keep &= evaluate(step.where, typed)
        cut_flow.count(step.name, keep.sum())
    return np.flatnonzero(keep)


def _positions(
    file: Path | str, table: Table, recipe: PhotometryRecipe, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions in degrees, and which are on the sky; NaN, and all true, if the recipe names none."""
    if recipe.ra is None or recipe.dec is None:
        return np.full(n, np.nan), np.full(n, np.nan), np.ones(n, bool)
    units = units_of(table)
    ra = degrees(file, recipe.ra, _unmarked(table, recipe, recipe.ra), units.get(recipe.ra), longitude=True)
    dec = degrees(file, recipe.dec, _unmarked(table, recipe, recipe.dec), units.get(recipe.dec))
    return ra, dec, on_sky(ra, dec)


def _unmarked(table: Table, recipe: PhotometryRecipe, name: str) -> np.ndarray:
    """A column of positions without marks of missing values."""
    values, gone = table[name], is_missing(table[name], recipe.missing)
    if values.dtype.kind == "O":
        return np.where(gone, "", values)
    return np.where(gone, np.nan, values) if gone.any() else values


def _ids(
    file: Path | str,
    table: Table,
    recipe: PhotometryRecipe,
    ra: np.ndarray,
    dec: np.ndarray,
    placed: np.ndarray,
) -> np.ndarray:
    """Ids of the table, or made from the positions; -1 without either."""
    if recipe.id:
        return text_ids(table[recipe.id]) if recipe.id_text else exact_ids(file, recipe.id, table[recipe.id])
    ids = np.full(len(ra), -1, np.int64)
    ids[placed] = position_id(ra[placed], dec[placed])
    return ids


def text_ids(names: np.ndarray) -> np.ndarray:
    """Positive 64-bit ids of names, by a hash of their text."""
    digests = [hashlib.blake2b(str(n).encode(), digest_size=8).digest() for n in names]
    return (np.array([int.from_bytes(d, "big") for d in digests], np.uint64) >> np.uint64(1)).astype(np.int64)


def _leave_out(g: Galaxies, bad: np.ndarray, reason: str, file: str, quarantine: Quarantine) -> None:
    quarantine.add_objects(reason, g.object_id[bad], g.ra[bad], g.dec[bad], file=file, tile=-1)
