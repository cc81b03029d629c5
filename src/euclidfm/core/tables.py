"""Columns of any table-like object: pyarrow and astropy tables, pandas frames, mappings of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from euclidfm.core.cells import as_ids, plain
from euclidfm.core.errors import InputError
from euclidfm.core.ids import match_ids

__all__ = ["column_for", "column_names"]


def column_names(table: Any) -> list[str]:
    """Names of the columns of a table-like object."""
    # pyarrow has column_names, astropy colnames, pandas columns, a mapping its keys
    for attribute in ("column_names", "colnames", "columns"):
        names = getattr(table, attribute, None)
        if names is not None:
            return [str(n) for n in names]
    return [str(n) for n in table]


def column_for(object_id: np.ndarray, table: Any, name: str) -> np.ndarray:
    """A column of a table for the given objects, matched by `object_id`.

    Parameters
    ----------
    object_id : (N,) array of int64
    table : pyarrow or astropy table, pandas frame or mapping
        With the columns ``object_id`` and `name`; any order, any subset of the objects.
    name : str

    Returns
    -------
    (N,) array
        float64, NaN for an object that the table lacks, and for a masked or empty cell; or, for a text
        column, objects and "".

    Raises
    ------
    InputError
        If a column is missing, or an id stands twice in the table.
    """
    have = column_names(table)
    for needed in ("object_id", name):
        if needed not in have:
            msg = f"the table has no column {needed!r}; it has {', '.join(have)}"
            raise InputError(msg)
    values = plain("the table", name, table[name])
    ids = as_ids("the table", "object_id", plain("the table", "object_id", table["object_id"]))
    rows = match_ids(object_id, ids, unique_in="the labels")
    found = rows >= 0
    if values.dtype.kind == "O":
        out = np.full(len(rows), "", dtype=object)
    else:
        values = values.astype(np.float64)
        out = np.full(len(rows), np.nan)
    out[found] = values[rows[found]]
    return out
