"""Images of some galaxies as they were read, before their unit, sky and size are those of the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

__all__ = ["Block", "Reader", "fitted"]


@dataclass
class Block:
    """Images of n galaxies with P planes each.

    Attributes
    ----------
    planes : (n, P, ny, nx) float32
        In the unit of the files; NaN where there are no data.
    rms : (n, P, ny, nx) float32, optional
        RMS of each pixel, in the same unit.
    failed : dict of int to str
        Why a galaxy could not be read.
    """

    planes: np.ndarray
    rms: np.ndarray | None = None
    failed: dict[int, str] = field(default_factory=dict)


class Reader(Protocol):
    """Reads images of one kind; crosses to other processes."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""

    @property
    def planes(self) -> int:
        """Planes of a galaxy's image."""

    @property
    def step(self) -> float:
        """Distance of two numbers of an integer format; 0 for floats."""

    @property
    def full_scale(self) -> float:
        """Largest number of an integer format; NaN for floats."""

    @property
    def sequential(self) -> bool:
        """Whether galaxies must be read in order, in one work unit."""

    @property
    def files(self) -> list[str]:
        """Files that are read."""

    def read(self, start: int, stop: int) -> Block:
        """Images of the galaxies from `start` to before `stop`."""

    def part(self, rows: np.ndarray) -> Reader:
        """A reader of some of the galaxies."""


def fitted(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The middle of an image (..., ny, nx), or the image in the middle of NaN; (..., *shape) float32."""
    if image.shape[-2:] == shape:
        return image.astype(np.float32, copy=False)
    out = np.full((*image.shape[:-2], *shape), np.nan, np.float32)
    to: list[slice] = []
    of: list[slice] = []
    for have, want in zip(image.shape[-2:], shape, strict=True):
        first = (have - want) // 2
        to.append(slice(max(-first, 0), max(-first, 0) + min(have, want)))
        of.append(slice(max(first, 0), max(first, 0) + min(have, want)))
    out[..., to[0], to[1]] = image[..., of[0], of[1]]
    return out
