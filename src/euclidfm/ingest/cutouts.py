"""Cutouts: square pieces of a mosaic around positions, padded and masked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.ingest.mosaics import NO_DATA_RMS, BandMosaic

__all__ = ["Cutouts", "corners", "cut_band", "mask_and_noise", "sky_order"]


NOISE_PIXELS = 1024
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
    masked : (N,) float64
        Share of masked pixels.
    """

    image: np.ndarray
    mask: np.ndarray
    noise: np.ndarray
    flags: np.ndarray
    masked: np.ndarray


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
    shape = (size, size)
    out = _room((len(x0), *shape))
    pixels = mosaic.image.pixels()
    rms_map = None if mosaic.rms is None else mosaic.rms.pixels()
    flag_map = None if mosaic.flag is None else mosaic.flag.pixels()
    rms = None if rms_map is None else np.empty(shape, np.float32)
    flag = None if flag_map is None else np.empty(shape, np.int32)
    for i, (x, y) in enumerate(zip(x0.tolist(), y0.tolist(), strict=True)):
        _cut(pixels, x, y, out.image[i], np.nan)
        if rms_map is not None:
            _cut(rms_map, x, y, rms, np.nan)
        if flag_map is not None:
            _cut(flag_map, x, y, flag, 0)
        _mask(out, i, rms, flag, mosaic.ujy, mask_bits)
    return out


def _room(shape: tuple[int, ...]) -> Cutouts:
    n = shape[0]
    return Cutouts(
        image=np.empty(shape, np.float32),
        mask=np.empty(shape, bool),
        noise=np.full(n, np.nan, np.float32),
        flags=np.zeros(n, np.int64),
        masked=np.zeros(n),
    )


def _cut(pixels: np.ndarray, x: int, y: int, out: np.ndarray, fill: float) -> None:
    """Copy a piece of a mosaic; what lies beyond its edges becomes `fill`."""
    (ny, nx), size = pixels.shape, len(out)
    if 0 <= x <= nx - size and 0 <= y <= ny - size:
        out[...] = pixels[y : y + size, x : x + size]
        return
    out[...] = fill
    xa, xb, ya, yb = max(x, 0), min(x + size, nx), max(y, 0), min(y + size, ny)
    if xa < xb and ya < yb:
        out[ya - y : yb - y, xa - x : xb - x] = pixels[ya:yb, xa:xb]


def mask_and_noise(
    image: np.ndarray, rms: np.ndarray | None, flag: np.ndarray | None, ujy: float, mask_bits: int
) -> Cutouts:
    """Mask what is not finite, without data or flagged; convert counts to µJy.

    Parameters
    ----------
    image : (N, ny, nx) float32
        Counts.
    rms, flag : (N, ny, nx), optional
    ujy : float
        µJy per count.
    mask_bits : int
    """
    out = _room(image.shape)
    out.image[...] = image
    for i in range(len(image)):
        _mask(out, i, None if rms is None else rms[i], None if flag is None else flag[i], ujy, mask_bits)
    return out


def _mask(
    out: Cutouts, i: int, rms: np.ndarray | None, flag: np.ndarray | None, ujy: float, mask_bits: int
) -> None:
    """Mask, noise and µJy of one cutout in place; one at a time stays in the processor's cache."""
    image, mask = out.image[i], out.mask[i]
    np.isfinite(image, out=mask)
    if rms is not None:
        with np.errstate(invalid="ignore"):
            mask &= rms > 0
            mask &= rms < NO_DATA_RMS
    if flag is not None:
        inner = tuple(slice(side // 4, side - side // 4) for side in flag.shape)
        out.flags[i] = np.bitwise_or.reduce(flag[inner], axis=None)
        if mask_bits:
            mask &= (flag & mask_bits) == 0
    np.logical_not(mask, out=mask)
    masked = np.count_nonzero(mask)
    out.masked[i] = masked / mask.size
    if rms is not None:
        out.noise[i] = _noise(rms, mask, masked) * ujy
    if masked:
        image[mask] = 0.0
    image *= np.float32(ujy)


def _noise(rms: np.ndarray, mask: np.ndarray, masked: int) -> float:
    """Median of an even sample of the RMS map's unmasked pixels; NaN without any."""
    every = max(1, rms.size // NOISE_PIXELS)
    sample = rms.ravel()[::every]
    if masked:
        sample = sample[~mask.ravel()[::every]]
        if not len(sample):
            sample = rms[~mask]
    if not len(sample):
        return float("nan")
    low, high = (len(sample) - 1) // 2, len(sample) // 2
    part = np.partition(sample, (low, high))
    return float(0.5 * (part[low] + part[high]))
