"""One column of any table as plain numbers, text or booleans; gaps are NaN or empty text.

This is the one place where cells of FITS, VOTable, Arrow, astropy, pandas and text tables are understood.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError

__all__ = ["EMPTY_TEXT", "as_ids", "as_numbers", "as_text", "plain", "with_gaps"]

EMPTY_TEXT = frozenset({"", "na", "n/a", "nan", "null", "<na>", "-", "--", "---", "...", "\\n"})
"""Text, in lower case, that means that a cell is empty."""

_TRUTH = {"true": 1.0, "t": 1.0, "yes": 1.0, "y": 1.0, "false": 0.0, "f": 0.0, "no": 0.0, "n": 0.0}
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)


def plain(where: object, name: str, values: Any) -> np.ndarray:
    """A column as an array of numbers, booleans or text (dtype object).

    Parameters
    ----------
    where : object
        The table, for messages.
    name : str
        The column.
    values : array, masked array, astropy or pandas column, or Arrow array
        One cell a row.

    Returns
    -------
    (N,) array
        In native byte order. Gaps of numbers and booleans are NaN (the column is float64 then), gaps of
        text are empty. Bytes are decoded, decimals are floats, dates are ISO text.

    Raises
    ------
    InputError
        If a cell holds several numbers, or integers with gaps would not survive as floats.
    """
    if hasattr(values, "to_pylist"):
        return _arrow(where, name, values)
    gaps = _gaps_of(values)
    data = np.asarray(np.ma.getdata(values) if isinstance(values, np.ma.MaskedArray) else values)
    data, gaps = _one_a_row(where, name, data), _one_a_row(where, name, gaps)
    if data.dtype.kind in "mM":
        return np.where(gaps | np.isnat(data), "", data.astype(str)).astype(object)
    if data.dtype.kind in "SUO":
        return _objects(where, name, data, gaps)
    if data.dtype.kind not in "iufb":
        msg = f"{where}: column {name!r} is of type {data.dtype}; give numbers or text"
        raise InputError(msg)
    return with_gaps(where, name, data.astype(data.dtype.newbyteorder("=")), gaps)


def with_gaps(where: object, name: str, values: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """A numeric column, NaN where it is empty; integers that would not survive as floats are refused."""
    if not empty.any():
        return values
    if values.dtype.kind in "iu":
        known = values[~empty]
        if name.lower().endswith("id") or ((known > 2**53) | (known < -(2**53))).any():
            msg = f"{where}: column {name!r} of ids has {empty.sum()} empty cells; fill or drop these rows"
            raise InputError(msg)
    return np.where(empty, np.nan, values.astype(float))


def as_numbers(where: object, name: str, values: np.ndarray, row: str = "row {0}") -> np.ndarray:
    """A plain column as float64; marks of empty cells are NaN.

    Parameters
    ----------
    where : object
    name : str
    values : (N,) array
        As `plain` makes it.
    row : str
        How a message names a row, with its number from 1 as ``{0}``.

    Raises
    ------
    InputError
        If text is no number; the message names the row.
    """
    if values.dtype.kind in "iufb":
        return values.astype(float)
    out = np.full(len(values), np.nan)
    for i, v in enumerate(values):
        text = _text(v).strip()
        if text.lower() in EMPTY_TEXT:
            continue
        try:
            out[i] = _TRUTH[text.lower()] if text.lower() in _TRUTH else float(text.replace("_", "?"))
        except ValueError:
            msg = (
                f"{where}: column {name!r} holds {text!r} in {row.format(i + 1)}, which is no number; "
                "correct it, or list its value as missing"
            )
            raise InputError(msg) from None
    return out


def as_text(values: np.ndarray) -> np.ndarray:
    """A plain column as text (dtype object); gaps and marks of empty cells are empty, whole numbers plain."""
    if values.dtype.kind == "f":
        whole = (np.abs(values) < 2**53) & (values == np.floor(values))
        pairs = zip(values.tolist(), whole.tolist(), strict=True)
        return np.array(["" if v != v else str(int(v)) if w else str(v) for v, w in pairs], object)
    texts = [_text(v).strip() for v in values]
    return np.array(["" if t.lower() in EMPTY_TEXT else t for t in texts], object)


def as_ids(where: object, name: str, values: np.ndarray) -> np.ndarray:
    """A plain column as signed 64-bit integers; an id that has been a float is another id.

    Raises
    ------
    InputError
        If they are floats, or text that is no integer.
    """
    if values.dtype.kind == "f":
        msg = (
            f"{where}: column {name} is {values.dtype}, which can't hold 64-bit ids exactly; export the ids "
            "as int64 or text"
        )
        raise InputError(msg)
    if values.dtype.kind == "u" and len(values) and values.max() > np.iinfo(np.int64).max:
        msg = f"{where}: column {name} holds ids beyond signed 64-bit; they must be signed integers"
        raise InputError(msg)
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    out = np.zeros(len(values), np.int64)
    for i, v in enumerate(values):
        text = _text(v).strip()
        if not _INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
            msg = (
                f"{where}: column {name} holds an id that is no 64-bit integer ({text!r} in row {i + 1}); "
                "correct it, or say id_text: true in the recipe for ids that are text"
            )
            raise InputError(msg)
        out[i] = int(text)
    return out


def _gaps_of(values: Any) -> np.ndarray:
    """Which cells of an array or column are empty."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.getmaskarray(values)
    if hasattr(values, "isna"):
        return np.asarray(values.isna())
    return np.zeros(np.shape(values), bool)


def _one_a_row(where: object, name: str, values: np.ndarray) -> np.ndarray:
    if values.ndim <= 1:
        return values
    per_row = int(np.prod(values.shape[1:]))
    if per_row == 1:
        return values.reshape(len(values))
    raise _vector(where, name, per_row)


def _vector(where: object, name: str, per_row: int | str) -> InputError:
    return InputError(
        f"{where}: column {name!r} has {per_row} values a row, and one is needed; choose one with "
        f"{name}[0], {name}[1], ..."
    )


def _text(v: Any) -> str:
    """Text of one cell; bytes are decoded."""
    if v is None:
        return ""
    return v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v)


def _objects(where: object, name: str, data: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Cells of mixed kinds: numbers if all that are not empty are numbers, else text."""
    if data.dtype.kind != "O":
        return np.array(["" if g else _text(v).strip() for v, g in zip(data, gaps, strict=True)], object)
    empty = gaps | np.array([v is None or v != v for v in data], bool)
    known = [v for v, e in zip(data, empty, strict=True) if not e]
    several = next((v for v in known if isinstance(v, np.ndarray | list | tuple)), None)
    if several is not None:
        raise _vector(where, name, len(several))
    if known and all(isinstance(v, bool | int | float | np.bool_ | np.number) for v in known):
        filled = np.array(known)
        numbers = np.zeros(len(data), filled.dtype)
        numbers[~empty] = filled
        return with_gaps(where, name, numbers, empty)
    return np.array(["" if e else _text(v).strip() for v, e in zip(data, empty, strict=True)], object)


def _arrow(where: object, name: str, column: Any) -> np.ndarray:
    """An Arrow array."""
    import pyarrow as pa

    t = column.type
    if pa.types.is_dictionary(t):
        column = column.cast(t.value_type)
        t = column.type
    if pa.types.is_null(t):
        return np.full(len(column), np.nan)
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_fixed_size_list(t):
        raise _vector(where, name, max((len(v) for v in column.to_pylist() if v is not None), default=0))
    if pa.types.is_struct(t) or pa.types.is_map(t):
        msg = f"{where}: column {name!r} is a {t}; name one of its fields with a dot"
        raise InputError(msg)
    if pa.types.is_decimal(t):
        return np.array([np.nan if v is None else float(v) for v in column.to_pylist()])
    if pa.types.is_boolean(t) or pa.types.is_integer(t):
        empty = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
        filled = column.fill_null(False if pa.types.is_boolean(t) else 0)
        return with_gaps(where, name, np.asarray(filled.to_numpy(zero_copy_only=False)), empty)
    if pa.types.is_floating(t):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    cells = column.to_pylist()
    if pa.types.is_temporal(t):
        cells = [v if v is None or not hasattr(v, "isoformat") else v.isoformat() for v in cells]
    return np.array([_text(v) for v in cells], object)
