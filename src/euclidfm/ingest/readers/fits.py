"""Tables of FITS files: binary and ASCII, in any HDU, compressed or not."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.files import is_compressed
from euclidfm.ingest.readers.columns import Columns, Pick, take

__all__ = ["read_fits"]


def read_fits(path: Path, pick: Pick, hdu: str | int | None = None) -> Columns:
    """Columns of the first table of a FITS file that has them, or of the table that `hdu` names.

    Raises
    ------
    InputError
        If there is no such table, or the file is shorter than its header says.
    """
    from astropy.io import fits

    packed = is_compressed(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=not packed) as hdus:
            tables = [(i, h) for i, h in enumerate(hdus) if isinstance(h, fits.BinTableHDU | fits.TableHDU)]
            if not tables:
                msg = f"{path} has no table in any HDU"
                raise InputError(msg)
            return _chosen(path, _named(path, tables, hdu), pick, packed)


def _named(path: Path, tables: list[tuple[int, Any]], hdu: str | int | None) -> list[tuple[int, Any]]:
    if hdu is None:
        return tables
    found = [(i, h) for i, h in tables if i == hdu or h.name.lower() == str(hdu).lower()]
    if not found:
        msg = f"{path} has no table in HDU {hdu}; its tables are {_listed(tables)}"
        raise InputError(msg)
    return found


def _listed(tables: list[tuple[int, Any]]) -> str:
    return "; ".join(
        f"{i} ({h.name or 'without a name'}): {', '.join(h.columns.names[:8])}" for i, h in tables[:6]
    )


def _chosen(path: Path, tables: list[tuple[int, Any]], pick: Pick, packed: bool) -> Columns:
    errors: list[tuple[int, InputError]] = []
    for _, hdu in tables:
        try:
            pick(tuple(hdu.columns.names))
        except InputError as e:
            errors.append((len(hdu.columns.names), e))
            continue
        if not packed:
            _check_length(path, hdu)
        return _columns(path, hdu, pick)
    widest = max(errors, key=lambda e: e[0])[1]
    if len(tables) > 1:
        msg = f"{widest}; its tables are {_listed(tables)}"
        raise InputError(msg)
    raise widest


def _columns(path: Path, hdu: Any, pick: Pick) -> Columns:
    data, names = hdu.data, tuple(hdu.columns.names)
    raw = None if data is None else data.view(np.ndarray)

    def column(name: str) -> np.ma.MaskedArray:
        about = hdu.columns[names.index(name)]
        if data is None or raw is None:
            return np.ma.array(np.zeros(0))
        cells = np.asarray(data.field(names.index(name)))
        gaps = _gaps(raw[name], about.null, cells) if name in raw.dtype.names else np.zeros(len(cells), bool)
        shape = gaps.shape + (1,) * (cells.ndim - gaps.ndim)
        return np.ma.array(cells, mask=np.broadcast_to(gaps.reshape(shape), cells.shape))

    return take(path, names, pick, column, lambda name: hdu.columns[names.index(name)].unit)


def _gaps(raw: np.ndarray, null: Any, cells: np.ndarray) -> np.ndarray:
    """Empty cells: stored integers that equal TNULL, logical cells of zero, blank cells of ASCII tables."""
    none = np.zeros(len(raw), bool)
    if cells.dtype.kind == "b":
        return np.asarray(raw.view(np.int8) == 0) if raw.dtype.itemsize == 1 else none
    if raw.dtype.kind == "S" and cells.dtype.kind in "iuf":
        text = np.char.strip(raw)
        return np.asarray((text == b"") | (text == str(null or "").strip().encode()))
    if null in (None, "") or raw.dtype.kind not in "iu":
        return none
    return np.asarray(raw == int(null))


def _check_length(path: Path, hdu: Any) -> None:
    """Check that a file is not shorter than its header says."""
    info, have = hdu.fileinfo(), path.stat().st_size
    if info and info["datLoc"] + hdu.size > have:
        promised = info["datLoc"] + hdu.size
        msg = (
            f"{path} is truncated: its header promises {promised} bytes, the file has {have}; download it "
            "again"
        )
        raise InputError(msg)
