"""Reading tables (FITS, Parquet, CSV and other text, ECSV, VOTable) into plain columns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from euclidfm.core.cells import plain
from euclidfm.core.errors import InputError
from euclidfm.ingest.files import decompressed, is_compressed, readable
from euclidfm.ingest.readers.columns import Columns, Pick
from euclidfm.ingest.readers.fits import read_fits
from euclidfm.ingest.readers.parquet import read_parquet
from euclidfm.ingest.readers.text import read_ecsv, read_text
from euclidfm.ingest.readers.votable import read_votable, votable_columns

__all__ = [
    "FORMATS",
    "Table",
    "arrow_column",
    "column_names",
    "format_of",
    "picked",
    "read_picked",
    "read_table",
    "votable_columns",
]

Table = dict[str, np.ndarray]
"""Columns of equal length by name."""

FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".fts": "fits",
    ".fits.gz": "fits",
    ".fits.fz": "fits",
    ".fits.bz2": "fits",
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "csv",
    ".ecsv": "ecsv",
    ".txt": "whitespace",
    ".dat": "whitespace",
    ".cat": "whitespace",
    ".ldac": "fits",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
}
"""Format by ending of the name."""

_CONTENT = (
    (b"SIMPLE  =", "fits"),
    (b"PAR1", "parquet"),
    (b"# %ECSV", "ecsv"),
    (b"<?xml", "votable"),
    (b"<VOTABLE", "votable"),
)
"""Format by the first bytes."""


def format_of(path: Path) -> str | None:
    """Format of a table by its name, or None."""
    for ending in sorted(FORMATS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return FORMATS[ending]
    return None


def _format_inside(path: Path) -> str | None:
    """Format of a file by its content, or None."""
    with path.open("rb") as f:
        head = f.read(16)
    if is_compressed(path):
        head = decompressed(path)[:16]
    if head.startswith(b"\x89HDF"):
        msg = f"{path} is an HDF5 file, which is not read; write the table as Parquet or FITS"
        raise InputError(msg)
    return next((fmt for magic, fmt in _CONTENT if head.startswith(magic)), None)


def column_names(path: Path, fmt: str | None = None) -> tuple[str, ...]:
    """Names of the columns of a table."""
    names: list[str] = []

    def pick(have: tuple[str, ...]) -> tuple[str, ...]:
        names[:] = have
        return ()

    read_picked(Path(path), pick, fmt)
    return tuple(names)


def read_table(
    path: Path, columns: Iterable[str] | None = None, fmt: str | None = None, hdu: str | int | None = None
) -> tuple[Columns, list[str]]:
    """Columns of a table, in native byte order.

    Parameters
    ----------
    path : path
    columns : iterable of str, optional
        Which (exact names); default all. One value of several a row is ``NAME[0]``.
    fmt : str, optional
        ``fits``, ``parquet``, ``csv``, ``whitespace``, ``ecsv`` or ``votable``; default by content and name.
    hdu : str or int, optional
        HDU of a FITS file; default the first table with these columns.

    Returns
    -------
    columns : Columns
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
    return read_picked(path, picked(path, columns), fmt, hdu)


def picked(path: Path, columns: Iterable[str] | None) -> Pick:
    """A choice of columns by exact names."""

    def pick(names: tuple[str, ...]) -> tuple[str, ...]:
        wanted = names if columns is None else tuple(columns)
        missing = [c for c in wanted if c not in names and c.partition("[")[0] not in names]
        if missing:
            more = f" and {len(names) - 40} more" if len(names) > 40 else ""
            msg = f"{path} has no column {missing[0]!r}; it has {', '.join(names[:40])}{more}"
            raise InputError(msg)
        return wanted

    return pick


def read_picked(
    path: Path, pick: Pick, fmt: str | None = None, hdu: str | int | None = None
) -> tuple[Columns, list[str]]:
    """The columns that `pick` chooses, and the lines that could not be read; as `read_table`."""
    if not path.is_file():
        msg = f"{path} does not exist" if not path.exists() else f"{path} is a folder; name a table"
        raise InputError(msg)
    with readable(path, fmt or format_of(path) or "table"):
        inside = _format_inside(path)
        fmt = fmt or inside or format_of(path)
        if fmt == "fits":
            return read_fits(path, pick, hdu), []
        if fmt == "parquet":
            return read_parquet(path, pick), []
        if fmt == "ecsv":
            return read_ecsv(path, pick), []
        if fmt == "votable":
            return read_votable(path, pick), []
        if fmt in ("csv", "whitespace"):
            return read_text(path, pick, fmt)
    msg = f"{path}: unknown table format; give a file that ends in {', '.join(FORMATS)}"
    raise InputError(msg)


def arrow_column(path: Path | str, name: str, column: pa.ChunkedArray) -> np.ndarray:
    """An Arrow column as numpy; empty cells are NaN, and an error in a column of ids."""
    return plain(path, name, column)
