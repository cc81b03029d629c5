"""Patches: cutting images into tokens and back, their order and positions, and the symmetries of the square.

Shapes: B galaxies, C bands, H and W pixels, n patches.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from euclidfm.core.bands import BANDS
from euclidfm.model.config import ImageModality

__all__ = [
    "apply_symmetry",
    "central_patches",
    "cut_patches",
    "join_patches",
    "patch_positions",
    "ring_order",
]


def apply_symmetry(images: np.ndarray, symmetry: np.ndarray) -> np.ndarray:
    """One of the eight symmetries of the square (the group D4) for each galaxy.

    Parameters
    ----------
    images : (B, ..., H, W) array
    symmetry : (B,) array of int
        0 to 3: quarter turns; plus 4: mirrored afterwards.
    """
    out = images.copy()
    for s in range(1, 8):
        here = symmetry == s
        if here.any():
            rotated = np.rot90(images[here], s % 4, axes=(-2, -1))
            out[here] = rotated[..., ::-1] if s >= 4 else rotated
    return out


def cut_patches(images: Tensor, patch: int, order: np.ndarray) -> Tensor:
    """(B, C, H, W) to (B, n, C * patch * patch), patches in the given order."""
    b, c, h, w = images.shape
    grid = images.reshape(b, c, h // patch, patch, w // patch, patch)
    tokens = grid.permute(0, 2, 4, 1, 3, 5).reshape(b, (h // patch) * (w // patch), c * patch * patch)
    return tokens[:, torch.from_numpy(order)]


def join_patches(tokens: Tensor, patch: int, order: np.ndarray) -> Tensor:
    """Inverse of `cut_patches`: (B, n, C * patch * patch) to (B, C, H, W)."""
    b, n, p = tokens.shape
    side, c = round(n**0.5), p // patch**2
    raster = torch.empty_like(tokens)
    raster[:, torch.from_numpy(order)] = tokens
    grid = raster.reshape(b, side, side, c, patch, patch).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(b, c, side * patch, side * patch)


def ring_order(side: int) -> np.ndarray:
    """Indices of a side x side grid from the centre outwards: by ring, then by angle."""
    offset = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(offset, offset, indexing="ij")
    ring = np.maximum(np.abs(x), np.abs(y)).ravel()
    return np.lexsort((np.arctan2(y, x).ravel(), ring))


def patch_positions(
    m: ImageModality,
    crop: int,
    pixel_arcsec: float,
    order: np.ndarray,
    wavelengths_nm: Mapping[str, float] | None = None,
) -> Tensor:
    """(n, 3) x and y of each patch's centre in arcsec, and ln(mean wavelength / 1 micron).

    `wavelengths_nm` adds to the survey table. A band that neither has counts as 1 micron.
    """
    known = {b: BANDS[b].wavelength_nm for b in m.bands if b in BANDS} | dict(wavelengths_nm or {})
    side = crop // m.patch
    offset = (np.arange(side) - (side - 1) / 2) * m.patch * pixel_arcsec
    y, x = np.meshgrid(offset, offset, indexing="ij")
    wavelength = np.mean([known.get(b, 1000.0) for b in m.bands]) / 1000.0
    coords = np.stack([x.ravel(), y.ravel(), np.full(side * side, np.log(wavelength))], axis=-1)
    return torch.from_numpy(coords[order].astype(np.float32))


def central_patches(order: np.ndarray) -> Tensor:
    """(n,) bool: patches, in the given order, whose centres lie in the middle half of the cutout each way."""
    side = round(len(order) ** 0.5)
    away = [np.abs((at + 0.5) / side - 0.5) <= 0.25 for at in (order // side, order % side)]
    return torch.from_numpy(away[0] & away[1])
