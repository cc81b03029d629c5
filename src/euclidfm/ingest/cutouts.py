"""Cutouts: square pieces of a mosaic around positions, padded and masked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.ingest.mosaics import NO_DATA_RMS, BandMosaic

__all__ = ["Cutouts", "corners", "cut_band", "mask_and_noise", "sky_order"]


NOISE_PIXELS = 4096
"""Pixels of the RMS map, evenly spread, whose median is the noise level."""


@dataclass
class Cutouts:
    """Cutouts of one band.

    Attributes
    ----------
    image : (N, S, S) float32
        µJy per pixel, 0 where masked.
    mask : (N, S, S) bool
        True = do not use.
    noise : (N,) float32
        Median RMS of the unmasked pixels in µJy; NaN if unknown or all are masked.
    flags : (N,) int64
        Bits of the flag map that occur within the central quarter of the area.
    """

    image: np.ndarray
    mask: np.ndarray
    noise: np.ndarray
    flags: np.ndarray


def corners(x: np.ndarray, y: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower left pixels of cutouts whose centre (size - 1)/2 is within half a pixel of (x, y)."""
    half = (size - 1) / 2
    return np.floor(x - half + 0.5).astype(np.int64), np.floor(y - half + 0.5).astype(np.int64)


def sky_order(x0: np.ndarray, y0: np.ndarray, strip: int) -> np.ndarray:
    """Order in which cutouts touch a mosaic strip by strip, back and forth, so a block is read once."""
    row = y0 // max(strip, 1)
    along = np.where(row % 2 == 0, x0, -x0)
    return np.lexsort((along, row))


def cut_band(mosaic: BandMosaic, x0: np.ndarray, y0: np.ndarray, size: int, mask_bits: int) -> Cutouts:
    """Cut one band out around several positions.

    Parameters
    ----------
    mosaic : BandMosaic
    x0, y0 : (N,) int
        Lower left pixels; may lie outside the mosaic.
    size : int
    mask_bits : int
        Flag bits that mask a pixel.
    """
    image = _cut(mosaic.image.pixels(), x0, y0, size, np.nan)
    rms = None if mosaic.rms is None else _cut(mosaic.rms.pixels(), x0, y0, size, np.nan)
    flag = None if mosaic.flag is None else _cut(mosaic.flag.pixels(), x0, y0, size, 0)
    return mask_and_noise(image, rms, flag, mosaic.ujy, mask_bits)


def _cut(pixels: np.ndarray, x0: np.ndarray, y0: np.ndarray, size: int, fill: float) -> np.ndarray:
    kind = np.float32 if pixels.dtype.kind == "f" else np.int32
    if not np.isfinite(fill):
        kind = np.float32
    out = np.full((len(x0), size, size), fill, kind)
    ny, nx = pixels.shape
    for i, (x, y) in enumerate(zip(x0.tolist(), y0.tolist(), strict=True)):
        xa, xb, ya, yb = max(x, 0), min(x + size, nx), max(y, 0), min(y + size, ny)
        if xa < xb and ya < yb:
            out[i, ya - y : yb - y, xa - x : xb - x] = pixels[ya:yb, xa:xb]
    return out


def mask_and_noise(
    image: np.ndarray, rms: np.ndarray | None, flag: np.ndarray | None, ujy: float, mask_bits: int
) -> Cutouts:
    """Mask what is not finite, without data or flagged; convert counts to µJy.

    Parameters
    ----------
    image : (N, S, S) float32
        Counts; changed in place.
    rms, flag : (N, S, S), optional
    ujy : float
        µJy per count.
    mask_bits : int
    """
    n, size = image.shape[:2]
    mask = np.empty(image.shape, bool)
    noise, flags = np.full(n, np.nan, np.float32), np.zeros(n, np.int64)
    centre = slice(size // 4, size - size // 4)
    every = max(1, size * size // NOISE_PIXELS)
    for i in range(n):  # one at a time stays in the processor's cache
        bad = mask[i]
        np.isfinite(image[i], out=bad)
        np.logical_not(bad, out=bad)
        if rms is not None:
            with np.errstate(invalid="ignore"):
                bad |= ~((rms[i] > 0) & (rms[i] < NO_DATA_RMS))
        if flag is not None:
            flags[i] = np.bitwise_or.reduce(flag[i, centre, centre], axis=None)
            if mask_bits:
                bad |= (flag[i] & mask_bits) != 0
        if rms is not None:
            good = rms[i].ravel()[::every][~bad.ravel()[::every]]
            noise[i] = np.median(good) * ujy if len(good) else np.nan
        image[i] *= np.float32(ujy)
        image[i][bad] = 0.0
    return Cutouts(image, mask, noise, flags)
