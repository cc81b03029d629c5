"""Which pixels a cutout needs, and the order in which cutouts of a mosaic are made.

A mosaic is divided into blocks. Cutouts are made block by block, so that each block is read once.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

__all__ = ["blocks", "corners", "overlap", "runs", "sky_order"]

BLOCK = (512, 2048)
"""Height and width in pixels of the blocks of a mosaic whose cutouts are made together. They are wide,
since a mosaic lies on disk row by row."""

STRIP = 128
"""Height in pixels of the strips of a block."""

CROWDED = 0.25
"""Ratio of the pixels of all cutouts to those of their block above which the block is read at once."""


def corners(x: np.ndarray, y: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower left pixels of cutouts whose centre (size - 1)/2 is within half a pixel of (x, y)."""
    half = (size - 1) / 2
    return np.floor(x - half + 0.5).astype(np.int64), np.floor(y - half + 0.5).astype(np.int64)


def blocks(x0: np.ndarray, y0: np.ndarray) -> np.ndarray:
    """Number of the block of the mosaic that each cutout's corner is in, row by row, back and forth."""
    row, column = y0 // BLOCK[0], x0 // BLOCK[1]
    across = 2 * (int(np.abs(column).max(initial=0)) + 1)
    return np.asarray(row * across + np.where(row % 2 == 0, column, across - 1 - column))


def sky_order(x0: np.ndarray, y0: np.ndarray) -> np.ndarray:
    """Order in which cutouts touch a mosaic block by block, so that each is read once.

    Within a block they go strip by strip: neighbours overlap, and what repeats compresses well.
    """
    return np.lexsort((x0, y0 // STRIP, blocks(x0, y0)))


def overlap(
    x0: int, y0: int, size: tuple[int, int], shape: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Rows and columns that a rectangle and an image have in common.

    Parameters
    ----------
    x0, y0 : int
        Lower left pixel of the rectangle in the image; may lie outside it.
    size, shape : (height, width)
        Of the rectangle and of the image.

    Returns
    -------
    inside the rectangle, inside the image : pair of slices each
        None if they have nothing in common.
    """
    xa, xb, ya, yb = max(x0, 0), min(x0 + size[1], shape[1]), max(y0, 0), min(y0 + size[0], shape[0])
    if xa >= xb or ya >= yb:
        return None
    return (slice(ya - y0, yb - y0), slice(xa - x0, xb - x0)), (slice(ya, yb), slice(xa, xb))


def runs(x0: np.ndarray, y0: np.ndarray, size: int) -> list[tuple[int, int]]:
    """Runs (first, last + 1) of cutouts to make together: those of a crowded block, or one alone."""
    number = blocks(x0, y0)
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(x0)]
    runs = []
    for start, stop in pairwise(edges):
        x, y = x0[start:stop], y0[start:stop]
        area = (np.ptp(x) + size) * (np.ptp(y) + size)
        crowded = (stop - start) * size**2 > CROWDED * area
        runs += [(start, stop)] if crowded else [(i, i + 1) for i in range(start, stop)]
    return runs
