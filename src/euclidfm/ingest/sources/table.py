"""Photometric tables: magnitudes or fluxes with labels, read by a recipe, without images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.expressions import evaluate, names_in
from euclidfm.core.units import photometry_in_ujy
from euclidfm.ingest.catalogue.columns import exact_ids
from euclidfm.ingest.catalogue.formats import Table, read_table
from euclidfm.ingest.catalogue.matching import first_of_each, on_sky
from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.catalogue.row_splits import split_rows, split_rule
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.plan import BATCH, Plan, position_id
from euclidfm.ingest.quarantine import Quarantine
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
        table, lines = read_table(file, needed_columns(recipe), recipe.format)
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
    table = {k: v[rows] for k, v in table.items()}
    ra, dec, placed = _positions(file, table, recipe, len(rows))
    flux, fluxerr = _photometry(file, table, recipe)
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
        columns={c.name: _label(file, table, recipe, c.name) for c in recipe.columns},
    )
    measured = np.isfinite(galaxies.flux).any(axis=1) | recipe.has_images
    _leave_out(galaxies, ~placed, "its position is not a number or not on the sky", str(file), quarantine)
    _leave_out(galaxies, placed & ~measured, "no band is measured", str(file), quarantine)
    good = placed & measured
    cut_flow.count("sound (finite position, a measured band)", good.sum())
    return galaxies.take(good), rows[good]


def _selected(file: Path | str, table: Table, recipe: PhotometryRecipe, cut_flow: CutFlow) -> np.ndarray:
    """Rows that pass the recipe's selection."""
    keep = np.ones(len(next(iter(table.values()))), bool)
    numeric = {c for s in recipe.select for c in names_in(s.where)}
    typed = table | {c: _numbers(file, c, table[c]) for c in numeric if _all_numbers(table[c])}
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
    ra, dec = (_numbers(file, c, table[c]) for c in (recipe.ra, recipe.dec))
    return ra, dec, on_sky(ra, dec)


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


def _all_numbers(values: np.ndarray) -> bool:
    return values.dtype.kind in "iufb"


def _numbers(file: Path | str, name: str, values: np.ndarray) -> np.ndarray:
    """A column as float64; text that is no number is an error that names the row."""
    if _all_numbers(values):
        return values.astype(float)
    out = np.full(len(values), np.nan)
    for i, v in enumerate(values):
        try:
            out[i] = float(v) if str(v).strip() else np.nan
        except ValueError:
            msg = (
                f"{file}: column {name!r} holds {v!r} in row {i + 1}, which is no number; correct it, or "
                "list its value as missing"
            )
            raise InputError(msg) from None
    return out


def _nan_where_missing(values: np.ndarray, missing: tuple[float, ...]) -> np.ndarray:
    """The values, NaN where they are one of the marks for a missing value."""
    out = values.copy()
    for mark in missing:
        out[np.abs(out - mark) < 1e-6 * max(abs(mark), 1.0)] = np.nan
    return out


def _photometry(file: Path | str, table: Table, recipe: PhotometryRecipe) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes and errors in µJy, (N, K)."""
    pairs = []
    for b in recipe.bands:
        value = _nan_where_missing(_numbers(file, b.value, table[b.value]), recipe.missing)
        error = np.full(len(value), np.nan)
        if b.error:
            error = _nan_where_missing(_numbers(file, b.error, table[b.error]), recipe.missing)
            error[~(error > 0)] = np.nan
        if b.mask:
            value = np.where(_numbers(file, b.mask, table[b.mask]) != 0, np.nan, value)
        if b.unit == "abmag" and np.isfinite(value).any() and not -5 < np.nanmedian(value) < 40:
            msg = (
                f"{file}: column {b.value!r} has median {np.nanmedian(value):.3g}, which is no AB "
                f"magnitude; correct the unit in recipe {recipe.name!r}"
            )
            raise InputError(msg)
        flux, fluxerr = photometry_in_ujy(value, error, b.unit, b.softening_ujy)
        fluxerr[~np.isfinite(flux)] = np.nan
        pairs.append((flux, fluxerr))
    if not pairs:
        none = np.zeros((len(next(iter(table.values()))), 0))
        return none, none.copy()
    return np.stack([f for f, _ in pairs], axis=1), np.stack([e for _, e in pairs], axis=1)


def _label(file: Path | str, table: Table, recipe: PhotometryRecipe, name: str) -> np.ndarray:
    c = next(c for c in recipe.columns if c.name == name)
    values = table[c.column]
    if c.type == "string":
        return np.array([str(v) for v in values], object)
    number = _numbers(file, c.column, values)
    if c.type in ("int64", "bool"):
        if values.dtype.kind in "iu":
            number = exact_ids(file, c.column, values)
        else:
            number = np.nan_to_num(number, nan=-1 if c.type == "int64" else 0)
        return number.astype(np.dtype(c.type))
    number = _nan_where_missing(number, recipe.missing)
    if c.where:
        number = np.where(evaluate(c.where, table), number, np.nan)
    return number.astype(np.dtype(c.type))
