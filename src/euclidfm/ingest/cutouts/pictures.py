"""Pictures of galaxies, one a galaxy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.cutouts.block import Block, Reader, fitted
from euclidfm.ingest.cutouts.listing import inside
from euclidfm.ingest.cutouts.picture import PictureKind, picture_kind, read_picture
from euclidfm.ingest.cutouts.section import CutoutSection

__all__ = ["Pictures", "open_pictures"]


@dataclass(frozen=True)
class Pictures:
    """Reads pictures; see `euclidfm.ingest.cutouts.block.Reader`."""

    root: Path
    names: tuple[str, ...]
    kind: PictureKind
    exif_rotation: str
    any_size: bool
    sequential: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.kind.shape

    @property
    def planes(self) -> int:
        """Number of colours."""
        return self.kind.planes

    @property
    def step(self) -> float:
        """Distance of two numbers of an integer format; 0 for floats."""
        return 0.0 if self.kind.mode == "F" else 1.0

    @property
    def full_scale(self) -> float:
        """Largest number of an integer format; NaN for floats."""
        return self.kind.full_scale

    @property
    def files(self) -> list[str]:
        """Files that are read."""
        return [str(self.root / name) for name in self.names]

    def part(self, rows: np.ndarray) -> Pictures:
        """A reader of some of the pictures."""
        return replace(self, names=tuple(self.names[int(r)] for r in rows))

    def read(self, start: int, stop: int) -> Block:
        """Read pictures."""
        block = Block(np.empty((stop - start, self.planes, *self.shape), np.float32))
        for i, name in enumerate(self.names[start:stop]):
            try:
                path = inside(self.root, name)
                picture = read_picture(path, self.kind, self.exif_rotation, self.any_size)
            except InputError as e:
                block.failed[i], block.planes[i] = str(e), np.nan
                continue
            if picture.shape[1:] == self.shape:
                block.planes[i] = picture
            else:
                block.planes[i] = fitted(picture, self.shape)
        return block


def open_pictures(root: Path, names: list[tuple[str, ...]], section: CutoutSection) -> Reader:
    """A reader of pictures; the first that can be read says what they are.

    Raises
    ------
    InputError
        If none can be read.
    """
    first = ""
    for (name,) in names:
        try:
            kind = picture_kind(inside(root, name), section.exif_rotation)
        except InputError as e:
            first = first or str(e)
            continue
        flat = tuple(row[0] for row in names)
        return Pictures(root, flat, kind, section.exif_rotation, section.any_size)
    raise InputError(first)
