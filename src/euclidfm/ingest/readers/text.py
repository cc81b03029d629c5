"""Tables of text: CSV and its dialects, columns separated by blanks, SExtractor's catalogues, ECSV."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.files import decompressed
from euclidfm.ingest.readers.columns import Columns, Pick, take

__all__ = ["read_ecsv", "read_text", "text_of"]

_SEXTRACTOR = re.compile(r"#\s*(\d+)\s+(\S+)(?:\s+.*?(?:\[([^\]]*)\])?)?\s*")
_DECIMAL_COMMA = re.compile(r"(?<![\d.])[+-]?\d+,\d+(?![\d,])")


@dataclass(frozen=True)
class _Layout:
    """Where the header and the rows of a text stand, and what separates the cells."""

    header: int
    names: tuple[str, ...]
    delimiter: str
    """One character, or a blank for any number of blanks."""
    units: dict[str, str]


def text_of(path: Path) -> str:
    """Text of a file: UTF-8 with or without mark, UTF-16 with its mark, else Latin-1; decompressed."""
    raw = decompressed(path)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def read_ecsv(path: Path, pick: Pick) -> Columns:
    """Columns of an ECSV table, with its units."""
    from astropy.table import Table

    table = Table.read(text_of(path), format="ascii.ecsv")
    names = tuple(table.colnames)
    return take(path, names, pick, lambda name: _array(table[name]), lambda name: table[name].unit)


def _array(column: object) -> np.ndarray:
    return column if isinstance(column, np.ma.MaskedArray) else np.asarray(column)


def read_text(path: Path, pick: Pick, fmt: str) -> tuple[Columns, list[str]]:
    """Columns of a text table, and the lines that could not be read.

    Parameters
    ----------
    path : Path
    pick : callable
    fmt : {"csv", "whitespace"}
        What separates the cells by default; the header decides.

    Raises
    ------
    InputError
        If the file is empty, or has no header line.
    """
    from pyarrow import csv

    lines = text_of(path).splitlines()
    layout = _layout(path, lines, fmt)
    kept = _rows(lines, layout)
    delimiter = "\t" if layout.delimiter == " " else layout.delimiter
    decimal = "," if delimiter == ";" and _comma_decimals([s for _, s in kept[:20]]) else "."
    bad: list[str] = []
    dropped: set[int] = set()

    def skip(row: csv.InvalidRow) -> str:
        at = row.number - 1 if row.number else 0
        dropped.add(at)
        number = kept[at][0] if at < len(kept) else row.number
        bad.append(f"line {number}: {row.actual_columns} cells where the header has {row.expected_columns}")
        return "skip"

    places = [f"c{i}" for i in range(len(layout.names))]
    table = csv.read_csv(
        io.BytesIO("\n".join(s for _, s in kept).encode() or b"\n"),
        read_options=csv.ReadOptions(use_threads=False, column_names=places),
        parse_options=csv.ParseOptions(delimiter=delimiter, invalid_row_handler=skip),
        convert_options=csv.ConvertOptions(
            null_values=["", "nan", "NaN", "NULL", "null", "--", "N/A"], decimal_point=decimal
        ),
    )
    columns = take(
        path,
        layout.names,
        pick,
        lambda name: table.column(layout.names.index(name)),
        layout.units.get,
    )
    numbers = [n for k, (n, _) in enumerate(kept) if k not in dropped]
    if len(numbers) == table.num_rows:
        columns.lines = np.array(numbers)
    return columns, bad


def _layout(path: Path, lines: list[str], fmt: str) -> _Layout:
    """Find the header: SExtractor's list of columns, the last comment above the rows, or the first line."""
    rows = [i for i, s in enumerate(lines) if s.strip() and not s.lstrip().startswith("#")]
    comments = [i for i, s in enumerate(lines[: rows[0] if rows else None]) if s.lstrip().startswith("#")]
    if not rows and not comments:
        msg = f"{path} is empty; expected a header line and rows"
        raise InputError(msg)
    found = [m for i in comments if (m := _SEXTRACTOR.fullmatch(lines[i].strip()))]
    if found and len(found) == len(comments):
        return _sextractor(found, lines[rows[0]] if rows else "")
    if comments:
        head = lines[comments[-1]].lstrip().lstrip("#").strip()
        delimiter = _delimiter(head, fmt)
        same = rows and len(_split(head, delimiter)) == len(_split(lines[rows[0]], delimiter))
        wordy = rows and any(_number(c) for c in _split(lines[rows[0]], delimiter))
        if not rows or (same and wordy):
            return _Layout(comments[-1], _split(head, delimiter), delimiter, {})
    head = lines[rows[0]]
    delimiter = _delimiter(head, fmt)
    return _Layout(rows[0], _split(head, delimiter), delimiter, {})


def _sextractor(found: list[re.Match[str]], first: str) -> _Layout:
    """Columns of ASCII_HEAD; one that is followed by a jump in the numbers holds several values a row."""
    last = len(first.split())
    starts = [int(m[1]) for m in found]
    ends = [*starts[1:], max(last + 1, starts[-1] + 1)]
    names: list[str] = []
    units: dict[str, str] = {}
    for m, start, end in zip(found, starts, ends, strict=True):
        these = [m[2]] if end - start == 1 else [f"{m[2]}[{k}]" for k in range(end - start)]
        names += these
        units |= dict.fromkeys(these, m[3]) if m[3] else {}
    return _Layout(-1, tuple(names), " ", units)


def _delimiter(head: str, fmt: str) -> str:
    usual = ("\t", ";", "|", ",") if fmt == "whitespace" else (",", ";", "\t", "|")
    return next((d for d in usual if d in head.strip()), " ")


def _split(line: str, delimiter: str) -> tuple[str, ...]:
    import csv

    if delimiter == " ":
        return tuple(line.split())
    return tuple(c.strip() for c in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True)))


def _number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _rows(lines: list[str], layout: _Layout) -> list[tuple[int, str]]:
    """Lines of rows with their numbers, made ready for the parser."""
    kept = []
    for i, s in enumerate(lines):
        if i <= layout.header or not s.strip() or s.lstrip().startswith("#"):
            continue
        if layout.delimiter == " ":
            s = "\t".join(s.split())
        elif '"' not in s:
            s = layout.delimiter.join(c.strip() for c in s.split(layout.delimiter))
        kept.append((i + 1, s))
    return kept


def _comma_decimals(rows: list[str]) -> bool:
    cells = [c.strip() for s in rows for c in s.split(";")]
    return any(_DECIMAL_COMMA.fullmatch(c) for c in cells) and not any(
        re.fullmatch(r"[+-]?\d*\.\d+", c) for c in cells
    )
