"""Patches: cutting images into tokens and back, their order, and the symmetries of the square.

Shapes: B galaxies, C bands, H and W pixels, n patches.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["cut", "patch_order", "spiral_order", "square_spiral", "turned", "unpatch"]


def turned(images: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """One of the eight symmetries of the square for each galaxy."""
    out = images.copy()
    for t in range(1, 8):
        here = turn == t
        if here.any():
            here_turned = np.rot90(images[here], t % 4, axes=(-2, -1))
            out[here] = here_turned[..., ::-1] if t >= 4 else here_turned
    return out


def cut(images: Tensor, patch: int, order: np.ndarray) -> Tensor:
    """(B, C, H, W) to (B, n, C * patch * patch), patches in the given order."""
    b, c, h, w = images.shape
    grid = images.reshape(b, c, h // patch, patch, w // patch, patch)
    tokens = grid.permute(0, 2, 4, 1, 3, 5).reshape(b, (h // patch) * (w // patch), c * patch * patch)
    return tokens[:, torch.from_numpy(order)]


def unpatch(tokens: Tensor, patch: int, order: np.ndarray) -> Tensor:
    """Inverse of cutting into patches: (B, n, C * patch * patch) to (B, C, H, W)."""
    b, n, p = tokens.shape
    side, c = round(n**0.5), p // patch**2
    raster = torch.empty_like(tokens)
    raster[:, torch.from_numpy(order)] = tokens
    grid = raster.reshape(b, side, side, c, patch, patch).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(b, c, side * patch, side * patch)


def patch_order(kind: str, side: int) -> np.ndarray:
    """Indices of a side x side grid of patches in the order of the chain (`TokenConfig.patch_order`)."""
    if kind == "raster":
        return np.arange(side * side)
    return square_spiral(side) if kind == "spiral" else spiral_order(side)


def square_spiral(side: int) -> np.ndarray:
    """Indices from the centre outwards, one step at a time: a clockwise walk inwards, taken backwards.

    The walk starts at the first corner; this is the order of the reference work's images.
    """
    walk, left = [], np.zeros((side, side), bool)
    y, x, dy, dx = 0, 0, 0, 1
    for _ in range(side * side):
        walk.append(y * side + x)
        left[y, x] = True
        ahead = (y + dy, x + dx)
        if not (0 <= ahead[0] < side and 0 <= ahead[1] < side) or left[ahead]:
            dy, dx = dx, -dy
        y, x = y + dy, x + dx
    return np.array(walk[::-1])


def spiral_order(side: int) -> np.ndarray:
    """Indices of a side x side grid from the centre outwards: by ring, then by angle."""
    offset = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(offset, offset, indexing="ij")
    ring = np.maximum(np.abs(x), np.abs(y)).ravel()
    return np.lexsort((np.arctan2(y, x).ravel(), ring))
