"""Cutouts: square pieces of a mosaic around positions, padded and masked.

Where cutouts lie close, the block of the mosaic that holds them is read, masked and converted once,
and they are copied out of it. A cutout without close neighbours is read by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.ingest.images.geometry import overlap, runs
from euclidfm.ingest.images.mosaic import NO_DATA_RMS, BandMosaic
from euclidfm.ingest.images.reproject import regrid

__all__ = ["Cutouts", "Scratch", "cut_band", "cutout_flags", "mask_and_noise"]

NOISE_PIXELS = 1024
"""Pixels of the RMS map, evenly spread, whose median is the noise level."""

_CACHED = 32768
"""Pixels that are masked together, so that they stay in the processor's cache."""


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


def cutout_flags(masked: np.ndarray, edge: np.ndarray, bits: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of `labels.FLAGS`.

    Parameters
    ----------
    masked : (B, N) float
        Share of masked pixels in each band; 1 for a band without an image, which does not count.
    edge : (N,) bool
        The cutout reaches beyond the image.
    bits : (N,) int64
        Bits of the flag map.
    """
    present = masked < 1.0
    mean = (masked * present).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    fraction = np.where(present.any(axis=0), mean, 1.0)
    return {
        "flag_edge": edge,
        "flag_masked_fraction": fraction.astype(np.float32),
        "flag_bits": bits,
    }


class Scratch:
    """Memory that is used again, since allocating it costs as much as writing to it."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[int, str], np.ndarray] = {}

    def array(self, place: int, shape: tuple[int, int], kind: str) -> np.ndarray:
        """An array to be filled; valid until the next call with the same `place`."""
        pixels = shape[0] * shape[1]
        array = self._arrays.get((place, kind))
        if array is None or len(array) < pixels:
            array = self._arrays[place, kind] = np.empty(pixels, kind)
        return array[:pixels].reshape(shape)


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
    out, scratch = _empty((len(x0), size, size)), scratch or Scratch()
    planes = mosaic.pixels()
    for start, stop in runs(x0, y0, size):
        x, y = x0[start:stop], y0[start:stop]
        left, low = int(x.min()), int(y.min())
        shape = (int(y.max()) + size - low, int(x.max()) + size - left)
        image, rms, flag = _block(mosaic, planes, (left, low), shape, mask_bits, scratch)
        mask = scratch.array(3, shape, "?")
        _mask_and_scale(image, rms, flag, mosaic.ujy, mask_bits, mask)
        for i, (dx, dy) in enumerate(zip((x - left).tolist(), (y - low).tolist(), strict=True), start):
            at = (slice(dy, dy + size), slice(dx, dx + size))
            out.image[i], out.mask[i] = image[at], mask[at]
            _describe(
                out, i, None if rms is None else rms[at], None if flag is None else flag[at], mosaic.ujy
            )
    return out


def _block(
    mosaic: BandMosaic,
    planes: tuple[np.ndarray, np.ndarray | None, np.ndarray | None],
    corner: tuple[int, int],
    shape: tuple[int, int],
    mask_bits: int,
    scratch: Scratch,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """A rectangle of image, RMS and flag map, in counts; resampled if the mosaic is on another grid."""
    if mosaic.onto is not None:
        return regrid(planes, mosaic.wcs, mosaic.onto, corner, shape, mask_bits, NO_DATA_RMS)
    image, rms, flag = (
        None if p is None else _piece(p, *corner, scratch.array(k, shape, "f4" if k < 2 else "i4"))
        for k, p in enumerate(planes)
    )
    assert image is not None
    return image, rms, flag


def _empty(shape: tuple[int, ...]) -> Cutouts:
    n = shape[0]
    return Cutouts(
        image=np.empty(shape, np.float32),
        mask=np.empty(shape, bool),
        noise=np.full(n, np.nan, np.float32),
        flags=np.zeros(n, np.int64),
        masked=np.zeros(n),
    )


def _piece(pixels: np.ndarray, x: int, y: int, out: np.ndarray) -> np.ndarray:
    """A rectangle of a mosaic in the machine's own format; NaN, or no flags, beyond the edges."""
    (ny, nx), (height, width) = pixels.shape, out.shape
    if 0 <= x <= nx - width and 0 <= y <= ny - height:
        out[...] = pixels[y : y + height, x : x + width]
        return out
    out[...] = np.nan if out.dtype.kind == "f" else 0
    if common := overlap(x, y, out.shape, pixels.shape):
        out[common[0]] = pixels[common[1]]
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
    out = _empty(image.shape)
    out.image[...] = image
    for i in range(len(image)):
        planes = (None if rms is None else rms[i], None if flag is None else flag[i])
        _mask_and_scale(out.image[i], *planes, ujy, mask_bits, out.mask[i])
        _describe(out, i, *planes, ujy)
    return out


def _mask_and_scale(
    image: np.ndarray,
    rms: np.ndarray | None,
    flag: np.ndarray | None,
    ujy: float,
    mask_bits: int,
    mask: np.ndarray,
) -> None:
    """Fill `mask`, and turn the image into µJy with 0 where it is masked; in place, some rows at a time."""
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
