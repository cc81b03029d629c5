"""Cutouts: square pieces of a mosaic around positions, padded and masked.

Where cutouts lie close, the block of the mosaic that holds them is read, masked and converted once,
and they are copied out of it; a lonely one is a block of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from euclidfm.ingest.images.mosaic import NO_DATA_RMS, BandMosaic
from euclidfm.ingest.images.reproject import regrid

__all__ = ["Cutouts", "Scratch", "blocks", "corners", "cut_band", "mask_and_noise", "sky_order"]


NOISE_PIXELS = 1024
"""Pixels of the RMS map, evenly spread, whose median is the noise level."""

BLOCK = (512, 2048)
"""Height and width in pixels of the blocks of a mosaic whose cutouts are made together: wide, since a
mosaic lies on disk row by row."""

STRIP = 128
"""Height in pixels of the strips of a block."""

_CACHED = 32768
"""Pixels that are worked on together, so that they stay in the processor's cache."""

CROWDED = 0.25
"""Pixels of cutouts for one of their block, from where on the block is read as a whole."""


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


class Scratch:
    """Memory that is used again: fresh pages cost as much as what is written to them."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, str], np.ndarray] = {}

    def array(self, place: int, shape: tuple[int, int], kind: str) -> np.ndarray:
        """An array to be filled; valid until the same `place` is asked for again."""
        pixels = shape[0] * shape[1]
        held = self._held.get((place, kind))
        if held is None or len(held) < pixels:
            held = self._held[place, kind] = np.empty(pixels, kind)
        return held[:pixels].reshape(shape)


def cut_band(
    mosaic: BandMosaic,
    x0: np.ndarray,
    y0: np.ndarray,
    size: int,
    mask_bits: int,
    scratch: Scratch | None = None,
) -> Cutouts:
    """Cut one band out around several positions.

    Parameters
    ----------
    mosaic : BandMosaic
    x0, y0 : (N,) int
        Lower left pixels, in the order of `sky_order`; may lie outside the mosaic.
    size : int
    mask_bits : int
        Flag bits that mask a pixel.
    scratch : Scratch, optional
    """
    out, scratch = _room((len(x0), size, size)), scratch or Scratch()
    planes = mosaic.pixels()
    for start, stop in _together(x0, y0, size):
        x, y = x0[start:stop], y0[start:stop]
        left, low = int(x.min()), int(y.min())
        shape = (int(y.max()) + size - low, int(x.max()) + size - left)
        image: np.ndarray | None
        if mosaic.onto is not None:
            corner = (left, low)
            image, rms, flag = regrid(planes, mosaic.wcs, mosaic.onto, corner, shape, mask_bits, NO_DATA_RMS)
        else:
            image, rms, flag = (
                None if p is None else _piece(p, left, low, scratch.array(k, shape, _kind(p)))
                for k, p in enumerate(planes)
            )
        assert image is not None
        mask = scratch.array(3, shape, "?")
        _clean(image, rms, flag, mosaic.ujy, mask_bits, mask)
        for i, (dx, dy) in enumerate(zip((x - left).tolist(), (y - low).tolist(), strict=True), start):
            here = (slice(dy, dy + size), slice(dx, dx + size))
            out.image[i], out.mask[i] = image[here], mask[here]
            _describe(
                out, i, None if rms is None else rms[here], None if flag is None else flag[here], mosaic.ujy
            )
    return out


def _together(x0: np.ndarray, y0: np.ndarray, size: int) -> list[tuple[int, int]]:
    """Runs of cutouts to make from one piece of the mosaic: those of a crowded block, or each alone."""
    number = blocks(x0, y0)
    edges = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(x0)]
    runs = []
    for start, stop in pairwise(edges):
        x, y = x0[start:stop], y0[start:stop]
        area = (np.ptp(x) + size) * (np.ptp(y) + size)
        crowded = (stop - start) * size**2 > CROWDED * area
        runs += [(start, stop)] if crowded else [(i, i + 1) for i in range(start, stop)]
    return runs


def _room(shape: tuple[int, ...]) -> Cutouts:
    n = shape[0]
    return Cutouts(
        image=np.empty(shape, np.float32),
        mask=np.empty(shape, bool),
        noise=np.full(n, np.nan, np.float32),
        flags=np.zeros(n, np.int64),
        masked=np.zeros(n),
    )


def _kind(pixels: np.ndarray) -> str:
    return "f4" if pixels.dtype.kind == "f" else "i4"


def _piece(pixels: np.ndarray, x: int, y: int, out: np.ndarray) -> np.ndarray:
    """A rectangle of a mosaic in the machine's own format; NaN, or no flags, beyond the edges."""
    (ny, nx), (height, width) = pixels.shape, out.shape
    if 0 <= x <= nx - width and 0 <= y <= ny - height:
        out[...] = pixels[y : y + height, x : x + width]
        return out
    out[...] = np.nan if out.dtype.kind == "f" else 0
    xa, xb, ya, yb = max(x, 0), min(x + width, nx), max(y, 0), min(y + height, ny)
    if xa < xb and ya < yb:
        out[ya - y : yb - y, xa - x : xb - x] = pixels[ya:yb, xa:xb]
    return out


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
        planes = (None if rms is None else rms[i], None if flag is None else flag[i])
        _clean(out.image[i], *planes, ujy, mask_bits, out.mask[i])
        _describe(out, i, *planes, ujy)
    return out


def _clean(
    image: np.ndarray,
    rms: np.ndarray | None,
    flag: np.ndarray | None,
    ujy: float,
    mask_bits: int,
    mask: np.ndarray,
) -> None:
    """Fill the mask of an image, which becomes µJy, 0 where masked; some rows at a time for the cache."""
    step = max(1, _CACHED // image.shape[1])
    for start in range(0, len(image), step):
        rows = slice(start, start + step)
        good = np.isfinite(image[rows], out=mask[rows])
        if rms is not None:
            with np.errstate(invalid="ignore"):
                good &= rms[rows] > 0
                good &= rms[rows] < NO_DATA_RMS
        if flag is not None and mask_bits:
            good &= (flag[rows] & mask_bits) == 0
        bad = np.logical_not(good, out=good)
        if bad.any():
            image[rows][bad] = 0.0
        image[rows] *= np.float32(ujy)


def _describe(out: Cutouts, i: int, rms: np.ndarray | None, flag: np.ndarray | None, ujy: float) -> None:
    """Share of masked pixels, noise and flags of one cutout."""
    mask = out.mask[i]
    masked = np.count_nonzero(mask)
    out.masked[i] = masked / mask.size
    if flag is not None:
        inner = tuple(slice(side // 4, side - side // 4) for side in flag.shape)
        out.flags[i] = np.bitwise_or.reduce(flag[inner], axis=None)
    if rms is not None:
        out.noise[i] = _noise(rms, mask, int(masked)) * ujy


def _noise(rms: np.ndarray, mask: np.ndarray, masked: int) -> float:
    """Median of an even sample of the RMS map's unmasked pixels; NaN without any."""
    every = max(1, int(np.sqrt(rms.size / NOISE_PIXELS)))
    sample = rms[::every, ::every].ravel()
    if masked:
        sample = sample[~mask[::every, ::every].ravel()]
        if not len(sample):
            sample = rms[~mask]
    if not len(sample):
        return float("nan")
    low, high = (len(sample) - 1) // 2, len(sample) // 2
    part = np.partition(sample, (low, high))
    return float(0.5 * (part[low] + part[high]))
