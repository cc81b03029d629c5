"""Pixels in a shard: float16 bytes in units of a power of two, masks as bits.

A cutout is stored as one fixed-size binary value and not as a Parquet list. A list stores two levels
for each pixel, and writing or reading these takes five times as long as the pixels themselves.
The conversions to and from float16 are a few integer operations on the bits of float32, several
times faster than numpy's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["decode_images", "encode_images", "from_half", "pixel_columns", "to_half"]

_HALF_MAX = 60000.0
_BIAS = 112
"""Exponent bias of float32 less that of float16."""


def pixel_columns(band: str) -> tuple[str, str, str, str]:
    """Columns of a shard that hold a band's images: pixels, scale, noise and mask."""
    return f"image_{band}", f"scale_{band}", f"noise_{band}", f"mask_{band}"


def to_half(values: np.ndarray, scale: float, out: np.ndarray, work: np.ndarray) -> None:
    """Float16 bits of ``values / scale``, rounded to nearest, ties to even.

    Values below 2**-14 of the scale are rounded twice. A value within 2**-37 of a
    rounding midpoint may therefore differ in the last bit (2**-24). Both are in units of the scale.

    Parameters
    ----------
    values : (P,) float32
        Finite, and below 65504 * `scale`.
    scale : float
        A power of two.
    out : (P,) uint16
        Where the bits go.
    work : (2, P) uint32
        Scratch.
    """
    u, v = work
    np.multiply(values, np.float32(2.0**-_BIAS / scale), out=u.view(np.float32))
    np.right_shift(u, 13, out=v)  # the last bit that stays decides a tie
    v &= 1
    u += v
    u += np.uint32(0xFFF)
    np.right_shift(u, 16, out=v)  # the sign
    v &= 0x8000
    u >>= 13
    u &= 0x7FFF
    u |= v
    np.copyto(out, u, casting="unsafe")


def from_half(bits: np.ndarray, scale: float, out: np.ndarray, work: np.ndarray) -> None:
    """Inverse of `to_half`: `bits` (P,) uint16 to `out` (P,) float32; `work` is (P,) uint32."""
    u = out.view(np.uint32)
    np.copyto(u, bits)
    np.bitwise_and(u, 0x8000, out=work)
    work <<= 16
    u &= 0x7FFF
    u <<= 13
    u |= work
    out *= np.float32(2.0**_BIAS)
    out *= np.float32(scale)


def encode_images(
    band: str, images: np.ndarray, masks: np.ndarray, noise: np.ndarray, size: int
) -> dict[str, Any]:
    """Columns of one band.

    Pixels are in units of a power of two near the noise level, so that rounding is relative
    (2**-11) and the brightest star still fits.

    Parameters
    ----------
    band : str
    images : (N, S, S) float32, µJy
    masks : (N, S, S) bool
    noise : (N,) float32, µJy
    size : int
        S.

    Raises
    ------
    ValueError
        If a pixel that is not masked is not finite.
    """
    n, pixels = len(images), size * size
    flat, bad = images.reshape(n, -1), masks.reshape(n, -1)
    stored = np.zeros((n, pixels), np.uint16)
    work = np.empty((2, pixels), np.uint32)
    scale = np.full(n, np.nan)
    packed: list[bytes | None] = [None] * n
    for i in range(n):
        row, masked = np.ascontiguousarray(flat[i], np.float32), bool(bad[i].any())
        if masked:
            if bad[i].all():
                continue
            packed[i] = np.packbits(bad[i]).tobytes()
            row = np.where(bad[i], np.float32(0.0), row)
        peak = max(float(row.max()), -float(row.min()))
        if not np.isfinite(peak):
            msg = f"unmasked pixels of band {band} are not finite"
            raise ValueError(msg)
        scale[i] = _scale(float(noise[i]), peak)
        to_half(row, scale[i], stored[i], work)
    absent = np.isnan(scale)
    there = None if not absent.any() else pa.array(~absent).buffers()[1]
    kind = pa.binary(2 * pixels)
    return {
        f"image_{band}": pa.Array.from_buffers(kind, n, [there, pa.py_buffer(stored)]),
        f"scale_{band}": scale.astype(np.float32),
        f"noise_{band}": np.where(absent, np.nan, noise).astype(np.float32),
        f"mask_{band}": packed,
    }


def _scale(noise: float, peak: float) -> float:
    """Power of two at the noise level, or the smallest one at which the peak fits into float16."""
    known = np.isfinite(noise) and noise > 0
    unit = noise if known else (peak / 1024.0 if peak > 0 else 1.0)
    return float(2.0 ** np.ceil(np.log2(max(unit, peak / _HALF_MAX))))


def decode_images(size: int, table: pa.Table, band: str) -> tuple[np.ndarray, np.ndarray]:
    """Images in µJy and masks of one band: (N, S, S) float32 and bool."""
    n, pixels = table.num_rows, size * size
    images, masks = np.zeros((n, pixels), np.float32), np.zeros((n, pixels), bool)
    column = table.column(f"image_{band}").combine_chunks()
    here = column.is_valid().to_numpy(zero_copy_only=False)
    bits = _bits(column, here, pixels)
    scale = table.column(f"scale_{band}").to_numpy()
    packed = table.column(f"mask_{band}")
    work = np.empty(pixels, np.uint32)
    for i in range(n):
        if not here[i]:
            masks[i] = True
            continue
        from_half(bits[i], float(scale[i]), images[i], work)
        if (mask := packed[i].as_py()) is not None:
            masks[i] = np.unpackbits(np.frombuffer(mask, np.uint8), count=pixels)
    return images.reshape(n, size, size), masks.reshape(n, size, size)


def _bits(column: pa.Array, here: np.ndarray, pixels: int) -> np.ndarray:
    """The float16 bits of each row, (N, P) uint16; rows without an image have arbitrary values."""
    n = len(column)
    if pa.types.is_fixed_size_list(column.type):  # stores of schema version 1
        bits = np.zeros((n, pixels), np.uint16)
        bits[here] = column.flatten().to_numpy().view(np.uint16).reshape(-1, pixels)
        return bits
    if n == 0:
        return np.zeros((0, pixels), np.uint16)
    buffer = column.buffers()[1]
    return np.frombuffer(buffer, "<u2", n * pixels, 2 * pixels * column.offset).reshape(n, pixels)
