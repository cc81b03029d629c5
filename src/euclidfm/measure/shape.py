"""Centroid, ellipticity, asymmetry, Gini coefficient and M20 of galaxies.

Shapes: N galaxies, S pixels a side.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

__all__ = ["asymmetry", "centroids", "ellipticity", "gini_and_m20"]

REACH_PX = 2
"""Largest distance of the centre of symmetry from the centroid each way, pixels."""
LEAST_SKY = 50
"""With fewer pairs of sky pixels the asymmetry of the sky is that of independent Gaussian noise."""
SMOOTHING = 0.2
"""Width of the smoothing before the Gini segment is cut, in Petrosian radii."""
REACH = 2.0
"""The Gini segment lies within so many Petrosian radii."""


def centroids(images: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) x and y of the light in the segments, pixels; NaN without light."""
    light = np.where(own, np.maximum(images, 0.0), 0.0).astype(np.float64)
    total = light.sum(axis=(1, 2))
    at = np.arange(images.shape[-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return light.sum(axis=1) @ at / total, light.sum(axis=2) @ at / total


def ellipticity(images: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(N,) 1 - b/a from the second moments of the light in the segments, in [0, 1)."""
    light = np.where(own, np.maximum(images, 0.0), 0.0).astype(np.float64)
    total = light.sum(axis=(1, 2))
    x, y = centroids(images, own)
    at = np.arange(images.shape[-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        xx = light.sum(axis=1) @ at**2 / total - x**2
        yy = light.sum(axis=2) @ at**2 / total - y**2
        xy = np.einsum("nij,i,j->n", light, at, at, optimize=True) / total - x * y
        root = np.hypot((xx - yy) / 2, xy)
        long, short = (xx + yy) / 2 + root, np.maximum((xx + yy) / 2 - root, 0.0)
        return np.where(long > 0, 1.0 - np.sqrt(short / long), np.nan)


def asymmetry(
    images: np.ndarray,
    usable: np.ndarray,
    sky: np.ndarray,
    noise: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    radius: np.ndarray,
) -> np.ndarray:
    """Asymmetry under half a turn, ``sum |I - I180| / sum |I|`` less that of the sky.

    Conselice (2003, ApJS 147, 1). The sums run over pairs of usable pixels within a circle around the centre
    of symmetry, at which the sum of the squares of I - I180 is least.

    Parameters
    ----------
    images : (N, S, S)
    usable : (N, S, S) bool
        Pixels that are neither masked nor of a neighbour.
    sky : (N, S, S) bool
        Usable pixels of no source.
    noise, x, y, radius : (N,)
        RMS of a pixel; centroid and radius of the circle, pixels.

    Returns
    -------
    (N,) float64
        NaN without a radius.
    """
    n, side = len(images), images.shape[-1]
    known = np.isfinite(x + y + radius)
    x, y, radius = (np.where(known, v, w) for v, w in ((x, side / 2), (y, side / 2), (radius, 1.0)))
    light = np.where(usable & (_distance(side, x, y) <= radius[:, None, None]), images, 0.0)
    cx, cy = _centres_of_symmetry(light, x, y)
    difference = np.abs(images - _half_turn(images, cx, cy))
    across, down = (np.rint(2 * c).astype(int)[:, None] - np.arange(side) for c in (cx, cy))
    inside = [np.abs(2 * i - side + 1) < side for i in (down, across)]
    at = (np.clip(down, 0, side - 1)[:, :, None] * side + np.clip(across, 0, side - 1)[:, None]).reshape(
        n, -1
    )
    paired = inside[0][:, :, None] & inside[1][:, None]
    own, dark = (
        paired & u & np.take_along_axis(u.reshape(n, -1), at, 1).reshape(u.shape) for u in (usable, sky)
    )
    own &= _distance(side, cx, cy) <= radius[:, None, None]
    total = np.where(own, np.abs(images), 0.0).sum(axis=(1, 2))
    count = dark.sum(axis=(1, 2))
    level = np.where(dark, difference, 0.0).sum(axis=(1, 2)) / np.maximum(count, 1)
    level = np.where(count >= LEAST_SKY, level, 2.0 / np.sqrt(np.pi) * noise)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (np.where(own, difference, 0.0).sum(axis=(1, 2)) - own.sum(axis=(1, 2)) * level) / total
    return np.where(known & (total > 0), value, np.nan)


def _distance(side: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, S, S) distance of each pixel from (x, y)."""
    grid = np.arange(side)
    return np.hypot((grid - x[:, None])[:, None], (grid - y[:, None])[:, :, None])


def _centres_of_symmetry(light: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Peak of the autoconvolution ``sum_p I(p) I(2c - p)`` within `REACH_PX` of (x, y), with parabolas."""
    n, side = len(light), light.shape[-1]
    size = fft.next_fast_len(2 * side, real=True)
    spectrum = fft.rfft2(light.astype(np.float32), (size, size))
    both = fft.irfft2(spectrum**2, (size, size))
    window = np.arange(-2 * REACH_PX, 2 * REACH_PX + 1)
    across, down = (np.clip(np.rint(2 * c).astype(int)[:, None] + window, 1, 2 * side - 3) for c in (x, y))
    row = np.arange(n)
    near = both[row[:, None, None], down[:, :, None], across[:, None]].reshape(n, -1)
    best = near.argmax(axis=1)
    j, i = down[row, best // len(window)], across[row, best % len(window)]
    middle, out = both[row, j, i], []
    for at, low, high in (
        (i, both[row, j, i - 1], both[row, j, i + 1]),
        (j, both[row, j - 1, i], both[row, j + 1, i]),
    ):
        curvature = 2 * middle - low - high
        shift = np.where(curvature > 0, (high - low) / (2 * np.where(curvature > 0, curvature, 1.0)), 0.0)
        out.append((at + np.clip(shift, -0.5, 0.5)) / 2)
    return out[0], out[1]


def _half_turn(images: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Images after half a turn around (x, y), by Fourier interpolation, which keeps the noise."""
    side = images.shape[-1]
    size = fft.next_fast_len(2 * side, real=True)
    spectrum = fft.rfft2(images.astype(np.float32), (size, size)).conj()
    spectrum *= np.exp(-4j * np.pi * fft.fftfreq(size) * y[:, None]).astype(np.complex64)[:, :, None]
    spectrum *= np.exp(-4j * np.pi * fft.rfftfreq(size) * x[:, None]).astype(np.complex64)[:, None]
    return np.asarray(fft.irfft2(spectrum, (size, size))[:, :side, :side])


def gini_and_m20(
    images: np.ndarray,
    usable: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    petrosian: np.ndarray,
    flux_within: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Gini coefficient of the pixels, and second moment of the brightest 20% of the light, M20.

    Lotz, Primack & Madau (2004, AJ 128, 163), equations 6 to 8. The segment holds the pixels that, smoothed
    by a fifth of the Petrosian radius, are brighter than the brightness at that radius.

    Parameters
    ----------
    images, usable : (N, S, S)
    x, y, petrosian : (N,)
        Centroid and Petrosian radius, pixels.
    flux_within : (N,)
        Flux within the Petrosian radius.

    Returns
    -------
    gini, m20 : (N,) each
        NaN without a Petrosian radius.
    """
    n, side = len(images), images.shape[-1]
    known = np.isfinite(petrosian) & (flux_within > 0)
    radius = np.where(known, petrosian, 1.0)
    level = 0.2 * np.where(known, flux_within, np.inf) / (np.pi * radius**2)
    grid = np.arange(side)
    dx, dy = grid - np.where(known, x, 0.0)[:, None], grid - np.where(known, y, 0.0)[:, None]
    near = dx[:, None] ** 2 + dy[:, :, None] ** 2 <= (REACH * radius[:, None, None]) ** 2
    segment = near & usable & (_smoothed(images, SMOOTHING * radius) > level[:, None, None])
    light = np.where(segment, np.abs(images), 0.0).reshape(n, -1).astype(np.float64)
    count, total = segment.sum(axis=(1, 2)), light.sum(axis=1)
    order = np.argsort(-light, axis=1)
    bright = np.take_along_axis(light, order, 1)  # outside the segment 0, at the end
    place = count[:, None] - np.arange(side * side)  # the brightest has rank count, as in equation 6
    with np.errstate(invalid="ignore", divide="ignore"):
        gini = ((2 * place - count[:, None] - 1) * bright).sum(axis=1) / (total * (count - 1))
        mean_x, mean_y = ((light.reshape(images.shape).sum(axis=a) @ grid) / total for a in (1, 2))
        away = (grid - mean_x[:, None])[:, None] ** 2 + (grid - mean_y[:, None])[:, :, None] ** 2
        moment = np.take_along_axis(light * away.reshape(n, -1), order, 1)
        first = np.cumsum(bright, axis=1) - bright < 0.2 * total[:, None]
        m20 = np.log10(np.where(first, moment, 0.0).sum(axis=1) / moment.sum(axis=1))
    good = known & (count > 1)
    return np.where(good, gini, np.nan), np.where(good & np.isfinite(m20), m20, np.nan)


def _smoothed(images: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Images convolved with a round Gaussian of a width (N,) in pixels each, by Fourier transforms."""
    side = images.shape[-1]
    size = fft.next_fast_len(side + side // 4, real=True)  # padding: the transform is periodic
    f = (2 * np.pi * fft.fftfreq(size)) ** 2, (2 * np.pi * fft.rfftfreq(size)) ** 2
    k2 = (f[0][:, None] + f[1]).astype(np.float32)
    kernel = np.exp(-0.5 * k2 * np.square(sigma, dtype=np.float32)[:, None, None])
    spectrum = fft.rfft2(images.astype(np.float32), (size, size))
    return np.asarray(fft.irfft2(spectrum * kernel, (size, size))[:, :side, :side])
