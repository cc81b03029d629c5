"""Cutouts: square pieces of a mosaic around positions, padded and masked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.ingest.mosaics import NO_DATA_RMS, BandMosaic

__all__ = ["Cutouts", "corners", "cut_band", "mask_and_noise", "sky_order"]


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
        Median RMS of the unmasked pixels in µJy; NaN if unknown.
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
    """Mask what is not finite, without data or flagged; convert counts to µJy."""
    mask = ~np.isfinite(image)
    noise = np.full(len(image), np.nan, np.float32)
    if rms is not None:
        with np.errstate(invalid="ignore"):
            mask |= ~((rms > 0) & (rms < NO_DATA_RMS))
    flags = np.zeros(len(image), np.int64)
    if flag is not None:
        quarter = image.shape[1] // 4
        centre = flag[:, quarter : image.shape[1] - quarter, quarter : image.shape[2] - quarter]
        flags = np.bitwise_or.reduce(centre.reshape(len(image), -1), axis=1).astype(np.int64)
        mask |= (flag & mask_bits) != 0
    if rms is not None:
        for i in range(len(image)):
            good = rms[i][~mask[i]]
            if len(good):
                noise[i] = np.median(good) * ujy
    image = np.where(mask, 0.0, image * np.float32(ujy)).astype(np.float32)
    return Cutouts(image, mask, noise, flags)
