"""One array file (``.npy``, ``.npz``, HDF5 or Zarr), read some rows at a time."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.files import readable, short

__all__ = ["CompressedRows", "Rows", "open_array"]

_HDF5 = (".h5", ".hdf5", ".hdf")


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    """`readable`, for the errors of archives too."""
    with readable(path, what):
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError) as e:
            raise OSError(short(e)) from e


class Rows(Protocol):
    """An array of which rows are read on request."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis; the first counts galaxies."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""

    def __getitem__(self, rows: slice) -> Any:
        """Some rows."""


def open_array(path: Path, dataset: str = "") -> Rows:
    """Open an array without reading it.

    Parameters
    ----------
    path : Path
        Its ending says what it is.
    dataset : str
        Name of the array in a file that holds several; may be empty if one alone has three axes or more.

    Raises
    ------
    InputError
        If the file is missing or damaged, holds no such array, or one of Python objects.
    """
    if path.suffix == ".npy":
        with _readable(path, "npy"):
            with path.open("rb") as raw:
                member = _header(path.name, raw)
            if member.dtype.hasobject:
                raise _no_numbers(path, member.dtype)
            array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
            return _checked(path, array)
    if path.suffix == ".npz":
        with _readable(path, "npz"):
            return _checked(path, _in_npz(path, dataset))
    if path.suffix in _HDF5:
        h5py = _package(path, "h5py")
        with _readable(path, "HDF5"):
            arrays: dict[str, Any] = {}
            h5py.File(path, "r").visititems(
                lambda name, item: arrays.update({name: item}) if hasattr(item, "dtype") else None
            )
            return _checked(
                path, arrays[_chosen(path, {n: len(a.shape) for n, a in arrays.items()}, dataset)]
            )
    if path.suffix == ".zarr":
        zarr = _package(path, "zarr")
        with _readable(path, "Zarr"):
            opened = zarr.open(str(path), mode="r")
            found = {"": opened} if hasattr(opened, "shape") else dict(opened.arrays())
            return _checked(path, found[_chosen(path, {n: a.ndim for n, a in found.items()}, dataset)])
    msg = f"{path}: unknown kind of array; give a file that ends in .npy, .npz, .h5, .hdf5 or .zarr"
    raise InputError(msg)


def _package(path: Path, name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        msg = f"{path} is read with the package {name}: pip install 'euclidfm[arrays]'"
        raise InputError(msg) from None


def _chosen(path: Path, axes: dict[str, int], dataset: str) -> str:
    """Name of the array to read, among arrays of so many axes."""
    if dataset in axes:
        return dataset
    images = [n for n, count in axes.items() if count >= 3]
    if not dataset and len(images) == 1:
        return images[0]
    have = ", ".join(axes) or "nothing"
    what = f"no array {dataset!r}" if dataset else f"{len(images)} arrays that may be images"
    msg = f"{path} holds {what} (it has {have}); name one with dataset in the recipe"
    raise InputError(msg)


def _checked(path: Path, array: Rows) -> Rows:
    if array.dtype.kind not in "fiu":
        raise _no_numbers(path, array.dtype)
    return array


def _no_numbers(path: Path, dtype: np.dtype[Any]) -> InputError:
    what = "Python objects" if dtype.hasobject or dtype.kind == "V" else str(dtype)
    msg = f"{path} holds {what} and not numbers, and such files are not opened; save a plain array"
    return InputError(msg)


@dataclass
class _Member:
    """Where an array lies in an ``.npz`` file."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    header: int
    """Bytes before the numbers."""


def _in_npz(path: Path, dataset: str) -> Rows:
    with zipfile.ZipFile(path) as file:
        members = {}
        for name in file.namelist():
            with file.open(name) as f:
                members[name.removesuffix(".npy")] = _header(name, f)
        member = members[_chosen(path, {n: len(m.shape) for n, m in members.items()}, dataset)]
        if member.dtype.hasobject:
            nothing: Any = np.empty(0, object)  # refused by `_checked`
            return nothing
        info = file.getinfo(member.name)
        if info.compress_type == zipfile.ZIP_STORED:
            with path.open("rb") as raw:
                raw.seek(info.header_offset + 26)
                lengths = np.frombuffer(raw.read(4), "<u2")
            start = info.header_offset + 30 + int(lengths.sum()) + member.header
            order = "F" if member.fortran else "C"
            mapped: Any = np.memmap(path, member.dtype, "r", start, member.shape, order)  # type: ignore[call-overload]
            return mapped
    if member.fortran:
        msg = f"{path} is compressed and in Fortran order; save it with np.ascontiguousarray"
        raise InputError(msg)
    return CompressedRows(path, member)


def _header(name: str, f: Any) -> _Member:
    """What the header of an array says."""
    form = np.lib.format
    version = form.read_magic(f)
    read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
    shape, fortran, dtype = read(f)
    return _Member(name, shape, dtype, fortran, f.tell())


class CompressedRows:
    """Rows of a compressed array, read in order at constant memory; going back begins anew."""

    def __init__(self, path: Path, member: _Member) -> None:
        self.shape, self.dtype = member.shape, member.dtype
        self._path, self._member = path, member
        self._bytes = int(np.prod(member.shape[1:])) * member.dtype.itemsize
        self._file: Any = None
        self._row = 0

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop = rows.start, min(rows.stop, self.shape[0])
        with _readable(self._path, "npz"):
            if self._file is None or start < self._row:
                self._file = zipfile.ZipFile(self._path).open(self._member.name)  # noqa: SIM115
                self._file.read(self._member.header)
                self._row = 0
            while self._row < start:
                self._skip(1)
            data = self._file.read((stop - start) * self._bytes)
            self._row = stop
            return np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])

    def _skip(self, rows: int) -> None:
        if len(self._file.read(rows * self._bytes)) < rows * self._bytes:
            msg = "it ends early"
            raise EOFError(msg)
        self._row += rows
