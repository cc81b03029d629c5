"""Images of all galaxies in one array file, or in several, in the order of the table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.cutouts.array_file import CompressedRows, Rows, open_array
from euclidfm.ingest.cutouts.block import Block
from euclidfm.ingest.cutouts.listing import inside
from euclidfm.ingest.cutouts.picture import MAX_PIXELS
from euclidfm.ingest.cutouts.section import CutoutSection

__all__ = ["Arrays", "open_arrays"]


@dataclass(frozen=True)
class Arrays:
    """Reads rows of arrays; see `euclidfm.ingest.cutouts.block.Reader`."""

    paths: tuple[Path, ...]
    edges: tuple[int, ...]
    """First row of each file in all of them joined, and the number of rows."""
    rows: np.ndarray
    """(N,) row of each galaxy in the files joined."""
    section: CutoutSection
    planes: int
    shape: tuple[int, int]
    dtype: np.dtype
    sequential: bool
    """Whether rows must be read in order, since the file is compressed as a whole."""
    _open: dict[tuple[Path, str], Rows] = field(default_factory=dict, compare=False, repr=False)

    @property
    def step(self) -> float:
        """Distance of two numbers of an integer format; 0 for floats."""
        return 0.0 if self.dtype.kind == "f" else 1.0

    @property
    def full_scale(self) -> float:
        """Largest number of an integer format; NaN for floats."""
        return float("nan") if self.dtype.kind == "f" else float(np.iinfo(self.dtype).max)

    @property
    def files(self) -> list[str]:
        """Files that are read."""
        return [str(p) for p in self.paths if p.is_file()]

    def part(self, rows: np.ndarray) -> Arrays:
        """A reader of some of the galaxies."""
        return replace(self, rows=self.rows[rows], _open={})

    def read(self, start: int, stop: int) -> Block:
        """Read rows; a pixel that the mask array marks becomes NaN."""
        at, section = self.rows[start:stop], self.section
        block = Block(self._joined(at, section.dataset))
        if section.rms:
            block.rms = self._joined(at, section.rms)
        if section.mask:
            marked = self._joined(at, section.mask) != 0
            block.planes[marked == (section.mask_means == "bad")] = np.nan
        return block

    def _joined(self, at: np.ndarray, dataset: str) -> np.ndarray:
        """(n, P, ny, nx) float32: rows of the files joined."""
        out = np.empty((len(at), self.planes, *self.shape), np.float32)
        of_file = np.searchsorted(self.edges, at, side="right") - 1
        for f in np.unique(of_file):
            here = np.flatnonzero(of_file == f)
            array, rows = self._array(self.paths[f], dataset), at[here] - self.edges[f]
            first, last = int(rows[0]), int(rows[-1]) + 1
            if last - first <= 2 * len(rows):
                values = np.asarray(array[first:last])[rows - first]
            else:
                values = np.concatenate([np.asarray(array[int(r) : int(r) + 1]) for r in rows])
            out[here] = _in_order(values, self.section.axes)
        return out

    def _array(self, path: Path, dataset: str) -> Rows:
        key = path, dataset
        if key not in self._open:
            self._open[key] = open_array(path, dataset)
        return self._open[key]


def _in_order(values: np.ndarray, axes: str) -> np.ndarray:
    """The axes as galaxy, plane, y, x."""
    if axes == "nyx":
        return values[:, None]
    return np.moveaxis(values, -1, 1) if axes == "nyxb" else values


def open_arrays(root: Path, section: CutoutSection) -> Arrays:
    """A reader of all rows of the array files of a folder.

    Raises
    ------
    InputError
        If there is none, or it is damaged, has another number of axes, or differs from the first.
    """
    paths = tuple(inside(root, p.relative_to(root).as_posix()) for p in sorted(root.glob(str(section.array))))
    if not paths:
        msg = f"{root} holds no array {section.array!r}; correct array in the recipe, or name its folder"
        raise InputError(msg)
    opened = [open_array(p, section.dataset) for p in paths]
    first = opened[0]
    for path, array in zip(paths, opened, strict=True):
        if len(array.shape) != len(section.axes) or array.shape[1:] != first.shape[1:]:
            have = " x ".join(map(str, array.shape))
            want = "like the others" if len(array.shape) == len(section.axes) else f"with axes {section.axes}"
            msg = f"{path} has an array of {have}, not {want}; set axes in the recipe, or reshape it"
            raise InputError(msg)
        for name in (section.rms, section.mask):
            if name and open_array(path, name).shape != array.shape:
                msg = f"{path}: array {name!r} has another shape than the images; make them alike"
                raise InputError(msg)
    shape = np.empty((0, *first.shape[1:]), np.int8)
    planes, ny, nx = _in_order(shape, section.axes).shape[1:]
    if min(planes, ny, nx) < 1 or planes * ny * nx > 4 * MAX_PIXELS:
        what = f"images of {planes} x {ny} x {nx}, no size of a cutout"
        msg = f"{paths[0]} promises {what}; set axes in the recipe"
        raise InputError(msg)
    edges = np.concatenate([[0], np.cumsum([a.shape[0] for a in opened])])
    return Arrays(
        paths=paths,
        edges=tuple(int(e) for e in edges),
        rows=np.arange(int(edges[-1])),
        section=section,
        planes=planes,
        shape=(ny, nx),
        dtype=np.dtype(first.dtype),
        sequential=any(isinstance(a, CompressedRows) for a in opened),
    )
