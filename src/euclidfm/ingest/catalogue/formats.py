"""Reading tables (FITS, Parquet, CSV, text, VOTable) into plain columns."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.ingest.files import readable

__all__ = [
    "FORMATS",
    "Table",
    "arrow_column",
    "column_names",
    "format_of",
    "read_table",
    "votable_columns",
]

Table = dict[str, np.ndarray]
"""Columns of equal length by name."""

FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".fits.gz": "fits",
    ".parquet": "parquet",
    ".csv": "csv",
    ".txt": "whitespace",
    ".dat": "whitespace",
    ".cat": "whitespace",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
}
"""Format by ending of the name."""


def format_of(path: Path) -> str | None:
    """Format of a table by its name, or None."""
    for ending in sorted(FORMATS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return FORMATS[ending]
    return None


def column_names(path: Path, fmt: str | None = None) -> tuple[str, ...]:
    """Names of the columns of a table."""
    names: list[str] = []
    _read(Path(path), fmt, lambda have: names.extend(have) or ())  # type: ignore[func-returns-value]
    return tuple(names)


def read_table(
    path: Path, columns: Iterable[str] | None = None, fmt: str | None = None
) -> tuple[Table, list[str]]:
    """Columns of a table, in native byte order.

    Parameters
    ----------
    path : path
    columns : iterable of str, optional
        Which (exact names); default all.
    fmt : str, optional
        ``fits``, ``parquet``, ``csv``, ``whitespace`` or ``votable``; default by the name.

    Returns
    -------
    columns : dict of str to (N,) array
        Missing cells of a numeric column are NaN; an integer column of ids with missing cells
        raises, because NaN would turn ids into floats.
    bad : list of str
        Lines that could not be read, with their numbers.

    Raises
    ------
    InputError
        If the file is missing, damaged or has no such column.
    """
    path = Path(path)

    def pick(names: tuple[str, ...]) -> tuple[str, ...]:
        wanted = names if columns is None else tuple(columns)
        missing = [c for c in wanted if c not in names]
        if missing:
            more = f" and {len(names) - 40} more" if len(names) > 40 else ""
            msg = f"{path} has no column {missing[0]!r}; it has {', '.join(names[:40])}{more}"
            raise InputError(msg)
        return wanted

    return _read(path, fmt, pick)


Pick = Callable[[tuple[str, ...]], tuple[str, ...]]
"""Chooses columns among those of a table."""


def _read(path: Path, fmt: str | None, pick: Pick) -> tuple[Table, list[str]]:
    fmt = fmt or format_of(path)
    readers = {
        "fits": _fits,
        "parquet": _parquet,
        "csv": _csv,
        "whitespace": _whitespace,
        "votable": _votable,
    }
    if fmt not in readers:
        msg = f"{path}: unknown table format; give a file that ends in {', '.join(FORMATS)}"
        raise InputError(msg)
    if not path.is_file():
        msg = f"{path} does not exist"
        raise InputError(msg)
    with readable(path, fmt):
        return readers[fmt](path, pick)


def _fits(path: Path, pick: Pick) -> tuple[Table, list[str]]:
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        warnings.filterwarnings("ignore", message=".*truncated.*")
        with fits.open(path, memmap=True) as hdus:
            hdu = next((h for h in hdus if isinstance(h, fits.BinTableHDU)), None)
            if hdu is None:
                msg = f"{path} has no table; expected a binary table in HDU 1"
                raise InputError(msg)
            _check_length(path, hdu)
            columns = {c.name: c.null for c in hdu.columns}
            return {n: _fits_column(path, n, hdu.data[n], columns[n]) for n in pick(tuple(columns))}, []


def _fits_column(path: Path, name: str, values: np.ndarray, null: Any) -> np.ndarray:
    a = np.array(values)
    if a.dtype.kind in "SU":
        return np.char.strip(a.astype(str)).astype(object)
    if a.dtype.kind == "b":
        return a
    a = a.astype(a.dtype.newbyteorder("="))
    if a.dtype.kind in "iu" and null not in (None, ""):
        return _with_gaps(path, name, a, a == null)
    return a


def _with_gaps(path: Path | str, name: str, values: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """A numeric column, NaN where it is empty; integers that would not survive as floats are refused."""
    if not empty.any():
        return values
    if values.dtype.kind in "iu":
        known = values[~empty]
        if name.lower().endswith("id") or ((known > 2**53) | (known < -(2**53))).any():
            msg = f"{path}: column {name!r} of ids has {empty.sum()} empty cells; fill or drop these rows"
            raise InputError(msg)
    return np.where(empty, np.nan, values.astype(float))


def _check_length(path: Path, hdu: Any) -> None:
    """Check that a file is not shorter than its header says."""
    info, have = hdu.fileinfo(), path.stat().st_size
    if path.suffix != ".gz" and info and info["datLoc"] + hdu.size > have:
        promised = info["datLoc"] + hdu.size
        msg = (
            f"{path} is truncated: its header promises {promised} bytes, the file has {have}; download it "
            "again"
        )
        raise InputError(msg)


def arrow_column(path: Path | str, name: str, column: pa.ChunkedArray) -> np.ndarray:
    """An Arrow column as numpy; empty cells are NaN, and an error in a column of ids."""
    t = column.type
    if pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_dictionary(t):
        return np.array(["" if v is None else str(v) for v in column.to_pylist()], object)
    if pa.types.is_integer(t) and column.null_count:
        empty = np.asarray(column.is_null().to_numpy())
        return _with_gaps(path, name, np.asarray(column.fill_null(0).to_numpy()), empty)
    return np.asarray(column.to_numpy())


def _parquet(path: Path, pick: Pick) -> tuple[Table, list[str]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        wanted = pick(tuple(file.schema_arrow.names))
        table = file.read(list(wanted))
    return {n: arrow_column(path, n, table.column(n)) for n in wanted}, []


def _csv(path: Path, pick: Pick) -> tuple[Table, list[str]]:
    return _delimited(path, path.read_bytes(), ",", pick)


def _whitespace(path: Path, pick: Pick) -> tuple[Table, list[str]]:
    """Columns separated by blanks; the header is the first line, with or without ``#``."""
    lines = path.read_text(encoding="utf-8").splitlines() or [""]
    head = re.sub(r"^#\s*", "", lines[0].strip())
    body = ["\t".join(s.split()) if s.strip() and s.lstrip()[0] != "#" else "" for s in lines[1:]]
    text = "\n".join(["\t".join(head.split()), *body])
    return _delimited(path, text.encode(), "\t", pick)


def _delimited(path: Path, text: bytes, delimiter: str, pick: Pick) -> tuple[Table, list[str]]:
    from pyarrow import csv

    if not text.strip():
        msg = f"{path} is empty; expected a header line and rows"
        raise InputError(msg)
    bad: list[str] = []

    def skip(row: csv.InvalidRow) -> str:
        bad.append(
            f"line {row.number}: {row.actual_columns} cells where the header has {row.expected_columns}"
        )
        return "skip"

    table = csv.read_csv(
        io.BytesIO(text),
        read_options=csv.ReadOptions(use_threads=False),
        parse_options=csv.ParseOptions(delimiter=delimiter, invalid_row_handler=skip),
        convert_options=csv.ConvertOptions(null_values=["", "nan", "NaN", "NULL", "null", "--", "N/A"]),
    )
    wanted = pick(tuple(table.column_names))
    return {n: arrow_column(path, n, table.column(n)) for n in wanted}, bad


def _votable(path: Path, pick: Pick) -> tuple[Table, list[str]]:
    from astropy.io.votable import parse

    return votable_columns(path, parse(path, verify="ignore"), pick), []


def votable_columns(where: Path | str, votable: Any, pick: Pick = tuple) -> Table:
    """Columns of the first table of a parsed VOTable; by default all.

    Raises
    ------
    InputError
        If the service that made it stopped at its row limit, or reports an error, or a
        column of ids has empty cells.
    """
    for resource in votable.resources:
        for info in resource.infos:
            if info.name == "QUERY_STATUS" and str(info.value).upper() == "OVERFLOW":
                msg = (
                    f"{where} is cut short: the service stopped at its row limit (OVERFLOW); "
                    "ask again with a higher MAXREC, or in pieces"
                )
                raise InputError(msg)
            if info.name == "QUERY_STATUS" and str(info.value).upper() == "ERROR":
                error = " ".join(str(info.content).split())
                msg = f"{where} holds no table but the service's error: {error}"
                raise InputError(msg)
    array = votable.get_first_table().array
    return {n: _votable_column(where, n, array[n]) for n in pick(tuple(array.dtype.names or ()))}


def _votable_column(where: Path | str, name: str, values: Any) -> np.ndarray:
    filled, masked = np.ma.getdata(values), np.ma.getmaskarray(values)
    if filled.dtype.kind in "SUO":
        return np.array(["" if m else str(v) for v, m in zip(filled, masked, strict=True)], object)
    return _with_gaps(where, name, np.asarray(filled), masked)
