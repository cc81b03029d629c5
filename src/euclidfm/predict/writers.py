"""Streaming writers of catalogues: Parquet with a VOTable header, and FITS.

Both hold the same columns, units, UCDs and descriptions. Parquet follows the VOParquet
convention, which TOPCAT and ``astropy.table.Table.read(path, format="parquet.votable")`` read; FITS has the
usual TUNITn and TUCDn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain
from euclidfm.predict.fields import Field

__all__ = ["Writer", "check_paths", "open_writer"]

Columns = Mapping[str, np.ndarray]
BLOCK = 2880
"""Bytes of a FITS block."""


class Writer(Protocol):
    """Takes batches of rows; `close` finishes the file."""

    def add(self, columns: Columns) -> None:
        """Write some rows."""

    def close(self) -> None:
        """Write what is left and close the file."""


def check_paths(paths: Sequence[str | Path]) -> list[Path]:
    """The names of the files to be written.

    Raises
    ------
    InputError
        If one has another ending than ``.parquet`` or ``.fits``, or is given twice.
    """
    out = [Path(p) for p in paths]
    for path in out:
        if path.suffix not in _WRITERS:
            msg = f"{path}: a catalogue is written as .parquet or .fits; choose one of these endings"
            raise InputError(msg)
        if out.count(path) > 1:
            msg = f"{path} is to be written twice; give each name once"
            raise InputError(msg)
    return out


def open_writer(path: Path, fields: Sequence[Field], about: Mapping[str, Any]) -> Writer:
    """A writer by the ending of a name that `check_paths` has passed.

    Parameters
    ----------
    path : Path
    fields : sequence of Field
    about : mapping
        Metadata, kept as JSON under ``euclidfm``.
    """
    return _WRITERS[path.suffix](path, fields, about)


class _Parquet:
    def __init__(self, path: Path, fields: Sequence[Field], about: Mapping[str, Any]) -> None:
        self._fields = fields
        self._schema = pa.schema(
            [pa.field(f.name, _arrow_type(f), metadata=_metadata(f)) for f in fields],
            metadata={
                "euclidfm": json.dumps(plain(about)),
                "IVOA.VOTable-Parquet.version": "1.0",
                "IVOA.VOTable-Parquet.content": _votable(fields, about),
                **{f"table::len::{f.name}": str(f.size) for f in fields if f.kind == "string"},  # for astropy
            },
        )
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def add(self, columns: Columns) -> None:
        arrays = []
        for f, kind in zip(self._fields, self._schema.types, strict=True):
            values = columns[f.name]
            if values.ndim == 2:
                flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
                arrays.append(pa.FixedSizeListArray.from_arrays(flat, f.size))
            else:
                arrays.append(
                    pa.array(values.tolist() if f.kind == "string" else values.astype(f.kind), kind)
                )
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _arrow_type(f: Field) -> pa.DataType:
    if f.kind == "string":
        return pa.string()
    scalar = pa.bool_() if f.kind == "bool" else pa.type_for_alias(f.kind)
    return scalar if f.size == 1 else pa.list_(scalar, f.size)


def _metadata(f: Field) -> dict[str, str]:
    return {"unit": f.unit, "ucd": f.ucd, "description": f.description}


_VOTABLE = {"int64": "long", "float64": "double", "float32": "float", "bool": "boolean", "string": "char"}


def _votable(fields: Sequence[Field], about: Mapping[str, Any]) -> str:
    """A VOTable without data that describes the columns."""
    root = ElementTree.Element("VOTABLE", version="1.4", xmlns="http://www.ivoa.net/xml/VOTable/v1.3")
    table = ElementTree.SubElement(ElementTree.SubElement(root, "RESOURCE"), "TABLE", name="catalogue")
    ElementTree.SubElement(table, "DESCRIPTION").text = str(about.get("title", "catalogue"))
    for f in fields:
        attributes = {"name": f.name, "datatype": _VOTABLE[f.kind], "unit": f.unit, "ucd": f.ucd}
        attributes["arraysize"] = str(f.size) if f.size > 1 or f.kind == "string" else ""
        field = ElementTree.SubElement(table, "FIELD", {k: v for k, v in attributes.items() if v})
        ElementTree.SubElement(field, "DESCRIPTION").text = f.description
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


class _Fits:
    """A binary table; the number of rows is written to the header at the end."""

    def __init__(self, path: Path, fields: Sequence[Field], about: Mapping[str, Any]) -> None:
        self._fields, self._about = fields, about
        self._dtype = np.dtype([_record(f) for f in fields])
        self._rows = 0
        self._file: BinaryIO = path.open("wb")
        primary = _card("SIMPLE", True) + _card("BITPIX", 8) + _card("NAXIS", 0) + _card("EXTEND", True)
        self._file.write(_blocks(primary + "END"))
        self._at = self._file.tell()
        self._file.write(self._header(0))

    def add(self, columns: Columns) -> None:
        out = np.zeros(len(next(iter(columns.values()))), self._dtype)
        for f in self._fields:
            values = columns[f.name]
            if f.kind == "bool":
                values = np.where(values, b"T", b"F")
            elif f.kind == "string":
                values = np.array([str(v).encode("ascii", "replace") for v in values], f"S{max(f.size, 1)}")
            out[f.name] = values
        self._file.write(out.tobytes())
        self._rows += len(out)

    def close(self) -> None:
        self._file.write(b"\0" * (-self._rows * self._dtype.itemsize % BLOCK))
        for name, grid in self._about.get("grids", {}).items():
            self._file.write(_grid_image(name, grid))
        self._file.seek(self._at)
        self._file.write(self._header(self._rows))
        self._file.close()

    def _header(self, rows: int) -> bytes:
        from astropy.io import fits

        columns = [
            fits.Column(name=f.name, format=_format(f), unit=f.unit or None, array=None) for f in self._fields
        ]
        header = fits.BinTableHDU.from_columns(columns, nrows=0, name="CATALOGUE").header
        header["NAXIS2"] = rows
        for i, f in enumerate(self._fields, 1):
            header[f"TUCD{i}"] = f.ucd
            header[f"TCOMM{i}"] = f.description
        for key, name in (("model", "MODEL"), ("release", "RELEASE"), ("program", "CREATOR")):
            header[name] = str(self._about.get(key, ""))
        header["EUCLIDFM"] = json.dumps(plain({k: v for k, v in self._about.items() if k != "grids"}))
        return header.tostring().encode("ascii")


def _record(f: Field) -> tuple[Any, ...]:
    code = {"int64": ">i8", "float64": ">f8", "float32": ">f4", "bool": "S1", "string": f"S{max(f.size, 1)}"}
    return (f.name, code[f.kind]) if f.kind == "string" or f.size == 1 else (f.name, code[f.kind], (f.size,))


def _format(f: Field) -> str:
    letter = {"int64": "K", "float64": "D", "float32": "E", "bool": "L", "string": "A"}[f.kind]
    return f"{max(f.size, 1)}{letter}"


def _grid_image(name: str, grid: Sequence[float]) -> bytes:
    """An extension with the grid of the densities; an image, since readers expect a single table."""
    from astropy.io import fits

    header = fits.ImageHDU(np.asarray(grid, float), name=name.upper()).header
    data = np.asarray(grid, ">f8").tobytes()
    return header.tostring().encode("ascii") + data + b"\0" * (-len(data) % BLOCK)


def _card(key: str, value: bool | int) -> str:
    text = ("T" if value else "F") if isinstance(value, bool) else str(value)
    return f"{key:<8}= {text:>20}".ljust(80)


def _blocks(text: str) -> bytes:
    return text.ljust(-(-len(text) // BLOCK) * BLOCK).encode("ascii")


_WRITERS: dict[str, Callable[[Path, Sequence[Field], Mapping[str, Any]], Writer]] = {
    ".parquet": _Parquet,
    ".fits": _Fits,
}
