"""The columns of a run, which are joined by object_id and read on demand.

N is the number of galaxies of the run, in the order of `RunData`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["ColumnSet", "Source"]

_MOST_CATEGORIES = 40
"""Largest number of categories of a text column. The most frequent ones are kept."""


@dataclass(frozen=True)
class Source:
    """A table that holds some of the galaxies of the run."""

    title: str
    table: pa.Table
    rows: np.ndarray
    """(N,) row of each galaxy in the table; -1 for a galaxy that the table lacks."""
    about: dict[str, str]
    """Unit and description of columns that have them."""


class ColumnSet:
    """All columns of a run. The map is coloured by them, and exports contain them.

    Parameters
    ----------
    sources : list of Source
        If two sources share a name, the first one is used.
    """

    def __init__(self, sources: list[Source]) -> None:
        self._home: dict[str, Source] = {}
        for source in sources:
            for name in source.table.column_names:
                kind = source.table.schema.field(name).type
                if (_is_number(kind) or _is_text(kind)) and name not in self._home:
                    self._home[name] = source
        self._home.pop("object_id", None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, those of the map first."""
        return tuple(self._home)

    def values(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Return a column as numpy. A galaxy without a value has NaN or an empty string.

        Parameters
        ----------
        name : str
        rows : (M,) array of int, optional
            Rows of the run; all of them by default.

        Raises
        ------
        KeyError
            If there is no such column.
        """
        source = self._home[name]
        at = source.rows if rows is None else source.rows[rows]
        kind = source.table.schema.field(name).type
        column = source.table.column(name)
        if _is_text(kind):
            text = column.fill_null("").to_numpy().astype(str)
            return np.asarray(np.where(at >= 0, text[at], ""))
        if pa.types.is_boolean(kind) and column.null_count:
            column = column.cast(pa.int8())  # whose nulls become NaN
        values = column.to_numpy()
        taken = values[at]
        if (at >= 0).all():
            return np.asarray(taken)
        wide = taken.astype(np.float32 if taken.dtype == np.float32 else np.float64)
        wide[at < 0] = np.nan
        return np.asarray(wide)

    def numbers(self, name: str) -> np.ndarray:
        """Return a column as (N,) float32. Text becomes its position in `categories`, or NaN."""
        values = self.values(name)
        if values.dtype.kind != "U":
            return values.astype("<f4")
        known = self.categories(name)
        place = np.searchsorted(np.array(known), values) if known else np.zeros(len(values))
        out = place.astype("<f4")
        out[(values == "") | ~np.isin(values, known)] = np.nan
        return np.asarray(out)

    def categories(self, name: str) -> list[str]:
        """Return the values of a column of text, sorted. Of too many values the commonest are kept."""
        values, counts = np.unique(self.values(name), return_counts=True)
        keep = np.flatnonzero(values != "")
        keep = keep[np.argsort(-counts[keep], kind="stable")[:_MOST_CATEGORIES]]
        return sorted(values[keep].tolist())

    def describe(self, name: str) -> dict[str, Any]:
        """Return the name, kind, source and description of a column."""
        source = self._home[name]
        text = _is_text(source.table.schema.field(name).type)
        return {
            "name": name,
            "kind": "category" if text else "number",
            "from": source.title,
            "about": source.about.get(name, ""),
        }

    def of_row(self, row: int) -> dict[str, Any]:
        """Return the values that a galaxy has, by column."""
        out: dict[str, Any] = {}
        for name in self._home:
            source = self._home[name]
            if source.rows[row] >= 0:
                value = source.table.column(name)[int(source.rows[row])].as_py()
                if value is not None and value == value and value != "":
                    out[name] = value
        return out


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
