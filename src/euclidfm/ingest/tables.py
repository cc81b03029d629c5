"""Reading catalogues of any of the usual formats into plain columns."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.errors import InputError

__all__ = ["FORMATS", "Table", "column_names", "format_of", "read_table"]

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
    return _open(Path(path), fmt)[0]


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
        Missing cells of a numeric column are NaN; an integer column with missing cells
        raises, because NaN would turn ids into floats.
    bad : list of str
        Lines that could not be read, with their numbers.

    Raises
    ------
    InputError
        If the file is missing, damaged or has no such column.
    """
    path = Path(path)
    names, get, bad = _open(path, fmt)
    wanted = names if columns is None else tuple(columns)
    missing = [c for c in wanted if c not in names]
    if missing:
        msg = f"{path} has no column {missing[0]!r}; it has {_listed(names)}"
        raise InputError(msg)
    return {c: get(c) for c in wanted}, bad


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")


def _open(path: Path, fmt: str | None) -> tuple[tuple[str, ...], Any, list[str]]:
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
    try:
        return readers[fmt](path)
    except PermissionError:
        msg = f"{path} can't be read: permission denied; give yourself read permission (chmod u+r)"
        raise InputError(msg) from None
    except (OSError, pa.ArrowInvalid, ValueError) as e:
        if isinstance(e, InputError):
            raise
        msg = f"{path} can't be read as {fmt} ({' '.join(str(e).split())[:200]}); it may be truncated"
        raise InputError(msg) from None


def _fits(path: Path) -> tuple[tuple[str, ...], Any, list[str]]:
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("error", fits.verify.VerifyWarning)
        warnings.filterwarnings("error", message=".*truncated.*")
        try:
            hdus = fits.open(path, memmap=True)
            tables = [h for h in hdus if isinstance(h, fits.BinTableHDU)]
            if not tables:
                msg = f"{path} has no table; expected a binary table in HDU 1"
                raise InputError(msg)
            _whole(path, tables[0])
            data = tables[0].data
        except (UserWarning, TypeError) as e:
            msg = f"{path} is truncated or damaged ({' '.join(str(e).split())[:120]}); download it again"
            raise InputError(msg) from None
    names = tuple(tables[0].columns.names)
    nulls = {c.name: c.null for c in tables[0].columns}

    def get(name: str) -> np.ndarray:
        a = np.asarray(data[name])
        if a.dtype.kind in "SU":
            return np.char.strip(a.astype(str)).astype(object)
        if a.dtype.kind == "b":
            return a.astype(bool)
        a = a.astype(a.dtype.newbyteorder("="))
        null = nulls[name]
        if a.dtype.kind in "iu" and null not in (None, "") and (a == null).any():
            return np.where(a == null, np.nan, a.astype(float))
        return a

    return names, get, []


def _whole(path: Path, hdu: Any) -> None:
    """Check that a file is as long as its header says."""
    if path.suffix == ".gz":
        return
    info = hdu.fileinfo()
    if info and info["datLoc"] + hdu.size > path.stat().st_size:
        msg = (
            f"{path} is truncated: its header promises {info['datLoc'] + hdu.size} bytes, "
            f"the file has {path.stat().st_size}; download it again"
        )
        raise InputError(msg)


def _arrow_column(path: Path, name: str, column: pa.ChunkedArray) -> np.ndarray:
    t = column.type
    if pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_dictionary(t):
        return np.array(["" if v is None else str(v) for v in column.to_pylist()], object)
    if pa.types.is_boolean(t) and not column.null_count:
        return np.asarray(column.to_numpy())
    if pa.types.is_integer(t) and column.null_count and name.lower().endswith("id"):
        msg = f"{path}: column {name!r} of ids has {column.null_count} empty cells; fill or drop these rows"
        raise InputError(msg)
    return np.asarray(column.to_numpy())


def _arrow(path: Path, table: pa.Table, bad: list[str]) -> tuple[tuple[str, ...], Any, list[str]]:
    return tuple(table.column_names), lambda n: _arrow_column(path, n, table.column(n)), bad


def _parquet(path: Path) -> tuple[tuple[str, ...], Any, list[str]]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)

    def get(name: str) -> np.ndarray:
        try:
            return _arrow_column(path, name, file.read([name]).column(0))
        except (OSError, pa.ArrowInvalid) as e:
            msg = f"{path} is damaged at column {name!r} ({e}); download it again"
            raise InputError(msg) from None

    return tuple(file.schema_arrow.names), get, []


def _csv(path: Path) -> tuple[tuple[str, ...], Any, list[str]]:
    return _delimited(path, path.read_bytes(), ",")


def _whitespace(path: Path) -> tuple[tuple[str, ...], Any, list[str]]:
    """Columns separated by blanks; the header is the first line, with or without ``#``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines:
        return _delimited(path, b"", "\t")
    head = re.sub(r"^#\s*", "", lines[0].strip())
    body = ["\t".join(s.split()) if s.strip() and s.lstrip()[0] != "#" else "" for s in lines[1:]]
    text = "\n".join(["\t".join(head.split()), *body])
    return _delimited(path, text.encode(), "\t")


def _delimited(path: Path, text: bytes, delimiter: str) -> tuple[tuple[str, ...], Any, list[str]]:
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
    return _arrow(path, table, bad)


def _votable(path: Path) -> tuple[tuple[str, ...], Any, list[str]]:
    from astropy.io.votable import parse

    votable = parse(path, verify="ignore")
    for resource in votable.resources:
        for info in resource.infos:
            if info.name == "QUERY_STATUS" and info.value == "OVERFLOW":
                msg = (
                    f"{path} is cut short: the service stopped at its row limit (OVERFLOW); ask again with "
                    "a higher MAXREC, or in pieces"
                )
                raise InputError(msg)
            if info.name == "QUERY_STATUS" and info.value == "ERROR":
                msg = f"{path} holds no table but the service's error: {' '.join(str(info.content).split())}"
                raise InputError(msg)
    array = votable.get_first_table().array
    names = tuple(array.dtype.names)

    def get(name: str) -> np.ndarray:
        a = array[name]
        filled, masked = np.ma.getdata(a), np.ma.getmaskarray(a)
        if filled.dtype.kind in "SUO":
            return np.array(["" if m else str(v) for v, m in zip(filled, masked, strict=True)], object)
        if not masked.any():
            return np.asarray(filled)
        return np.where(masked, np.nan, filled.astype(float))

    return names, get, []
