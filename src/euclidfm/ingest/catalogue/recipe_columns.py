"""Columns of a table as a recipe wants them: fluxes in µJy, labels and flags, unknown values as such."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from euclidfm.core.cells import EMPTY_TEXT, as_ids, as_numbers, as_text
from euclidfm.core.errors import InputError
from euclidfm.core.expressions import evaluate, names_in
from euclidfm.core.stated_units import factor_between, flux_unit
from euclidfm.core.units import photometry_in_ujy, ujy_from_abmag
from euclidfm.ingest.catalogue.formats import Table
from euclidfm.ingest.catalogue.recipe import BandColumns, LabelColumn, PhotometryRecipe
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.readers.columns import Columns, units_of
from euclidfm.ingest.readers.missing import is_missing

__all__ = ["fluxes", "label", "numbers", "selectable"]

FAINTEST, BRIGHTEST = 40.0, -5.0
"""AB magnitudes between which those of galaxies and stars lie; others are marks of missing values."""

NO_NUMBER = 1e30
"""Numbers from here on are marks: the largest float32 and the like."""

FLUX_MARKS = (-99.0, -999.0, -9999.0, -99.9, -999.9, 99.0, 999.0, 9999.0, 99.9, -9.0, -1.0)
"""Numbers that surveys write for a flux that is not there."""


def numbers(file: Path | str, table: Table, name: str, missing: Sequence[float | str] = ()) -> np.ndarray:
    """A column as float64; NaN where it is empty or one of the marks `missing`.

    Raises
    ------
    InputError
        If text is no number; the message names the row, and for text files the line.
    """
    values = table[name]
    gone = is_missing(values, missing)
    if values.dtype.kind == "O":
        values = np.where(gone, "", values)
    out = _as_numbers(file, table, name, values)
    out[gone] = np.nan
    return out


def _as_numbers(file: Path | str, table: Table, name: str, values: np.ndarray) -> np.ndarray:
    try:
        return as_numbers(file, name, values)
    except InputError as e:
        if not isinstance(table, Columns):
            raise
        place = re.search(r" in row (\d+),", str(e))
        assert place is not None
        msg = str(e).replace(place[0], f" in {table.row_name(int(place[1]))},")
        raise InputError(msg) from None


def fluxes(
    file: Path | str, table: Table, recipe: PhotometryRecipe, quarantine: Quarantine
) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes and errors in µJy, (N, K); what is no flux of any object is NaN, and said in the quarantine."""
    pairs = [_one_band(file, table, recipe, b, quarantine) for b in recipe.bands]
    if not pairs:
        none = np.zeros((len(next(iter(table.values()))), 0))
        return none, none.copy()
    return np.stack([f for f, _ in pairs], axis=1), np.stack([e for _, e in pairs], axis=1)


def _one_band(
    file: Path | str, table: Table, recipe: PhotometryRecipe, b: BandColumns, quarantine: Quarantine
) -> tuple[np.ndarray, np.ndarray]:
    stated = units_of(table)
    unit, factor = flux_unit(file, b.value, b.unit, stated.get(b.value))
    value = numbers(file, table, b.value, recipe.missing)
    error = np.full(len(value), np.nan)
    if b.error:
        error = numbers(file, table, b.error, recipe.missing)
        # 0 with an error of 0, or without one, is a pixel or object that was not observed
        value[(value == 0) & ~(error > 0) & (unit == "ujy")] = np.nan
        error[~(error > 0) | ~np.isfinite(error)] = np.nan
    if b.mask:
        value = np.where(numbers(file, table, b.mask) != 0, np.nan, value)
    marks = (
        _no_object(file, b, recipe, unit, value, error)
        if unit != "ujy"
        else _no_flux(value * factor, value, error)
    )
    if marks.any():
        held = ", ".join(f"{v:g}" for v in np.unique(value[marks])[:4])
        quarantine.add(
            f"column {b.value!r} holds {held} in {marks.sum()} rows, which no object has: taken as missing; "
            "list it under missing in the recipe",
            file=str(file),
        )
        value = np.where(marks, np.nan, value)
    error_factor = factor
    if b.error and unit == "ujy" and stated.get(b.error):
        error_factor = flux_unit(file, b.error, b.unit, stated.get(b.error))[1]
    if unit != "ujy":
        error = np.where(error > FAINTEST - BRIGHTEST, np.nan, error)
    flux, fluxerr = photometry_in_ujy(value * factor, error * error_factor, unit, b.softening_ujy)
    fluxerr[~np.isfinite(flux) | ~np.isfinite(fluxerr)] = np.nan
    return flux, fluxerr


def _no_object(
    file: Path | str,
    b: BandColumns,
    recipe: PhotometryRecipe,
    unit: str,
    value: np.ndarray,
    error: np.ndarray,
) -> np.ndarray:
    """Magnitudes that no object has."""
    with np.errstate(invalid="ignore"):
        far = ~np.isnan(value) & ~((value > BRIGHTEST) & (value < FAINTEST))
    known = value[np.isfinite(value)]
    usual = known[~np.isin(known, FLUX_MARKS) & (np.abs(known) < NO_NUMBER)]
    if unit == "abmag" and len(usual) and not BRIGHTEST < np.median(usual) < FAINTEST:
        msg = (
            f"{file}: column {b.value!r} has median {np.median(usual):.3g}, which is no AB magnitude; "
            f"correct the unit in recipe {recipe.name!r}"
        )
        raise InputError(msg)
    return np.asarray(far)


def _no_flux(flux: np.ndarray, value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Fluxes that no object has: infinite ones, and marks of surveys that have no error."""
    with np.errstate(invalid="ignore"):
        far = ~np.isnan(flux) & ~(np.abs(flux) < ujy_from_abmag(BRIGHTEST))
        mark = np.isin(value, FLUX_MARKS) & ~(error > 0) & (value < -90)
    return np.asarray(far | mark)


def label(
    file: Path | str, table: Table, recipe: PhotometryRecipe, c: LabelColumn, quarantine: Quarantine
) -> np.ndarray:
    """A column that the store keeps; unknown values are NaN, -1, false or empty text by its type.

    The recipe's ``missing`` and the column's ``where`` hold for every type.
    """
    values = table[c.column]
    unknown = is_missing(values, recipe.missing)
    if c.where:
        unknown |= ~evaluate(c.where, selectable(file, table, [c.where], recipe.missing))
    if c.type == "string":
        return np.where(unknown, "", as_text(values)).astype(object)
    if c.type == "int64" and values.dtype.kind in "iu":
        return np.where(unknown, -1, as_ids(file, c.column, values))
    number = numbers(file, table, c.column, recipe.missing) * _factor(file, table, c)
    unknown |= np.isnan(number)
    if c.type == "bool":
        if unknown.any():
            quarantine.add(
                f"column {c.column!r} is unknown in {unknown.sum()} rows and stored as false; say type: "
                "float32 in the recipe to keep them unknown",
                file=str(file),
            )
        return np.where(unknown, 0, number).astype(bool)
    if c.type == "int64":
        return np.where(unknown | ~np.isfinite(number), -1, number).astype(np.int64)
    return np.where(unknown, np.nan, number).astype(np.dtype(c.type))


def selectable(
    file: Path | str, table: Table, expressions: Sequence[str], missing: Sequence[float | str]
) -> Table:
    """The columns that expressions use, as they can be compared.

    Text of which every cell is a number or empty becomes numbers; marks of missing values are NaN, or
    empty text. A column whose text is partly numbers is an error, since a comparison would lose rows.
    """
    out: Table = {}
    for name in dict.fromkeys(n for e in expressions for n in names_in(e)):
        if name not in table:
            continue
        values = table[name]
        if values.dtype.kind == "O" and _no_numbers(values):
            out[name] = np.where(is_missing(values, missing), "", as_text(values))
        elif is_missing(values, missing).any() or values.dtype.kind == "O":
            out[name] = numbers(file, table, name, missing)
        else:
            out[name] = values
    return out


def _no_numbers(values: np.ndarray) -> bool:
    """Whether a column of text is of words: none of its cells that are not empty is a number."""
    cells = [str(v).strip() for v in values]
    known = [c for c in cells if c.lower() not in EMPTY_TEXT]
    return not any(_is_number(c) for c in known)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _factor(file: Path | str, table: Table, c: LabelColumn) -> float:
    """What brings a label from the unit that the file states to the one that the recipe says."""
    stated = units_of(table).get(c.column)
    if not stated or not c.unit:
        return 1.0
    factor = factor_between(stated, c.unit)
    if factor is None:
        msg = (
            f"{file}: column {c.column!r} has unit {stated!r}, but the recipe says {c.unit!r}; correct the "
            f"unit of {c.name!r}"
        )
        raise InputError(msg)
    return factor
