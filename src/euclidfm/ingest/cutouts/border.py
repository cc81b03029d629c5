"""Sky and noise of a cutout, measured on its border.

The border is where the galaxy is not. Other objects in it are clipped away at three standard deviations.
The noise is the standard deviation of a single pixel. Where the noise of neighbours is correlated (drizzled
or resampled images, JPEG) that is still what it means, and the mean of many pixels is then noisier than
the noise divided by the square root of their number.

Shapes: M images, K pixels of the border.
"""

from __future__ import annotations

import numpy as np

__all__ = ["BORDER", "border_pixels", "sky_and_noise"]

BORDER = 0.1
"""Width of the border as a share of the shorter side."""

_PIXELS = 1024
"""Pixels of the border that are used, at most, evenly spread; they give the noise of a cutout to 2.2%."""

_FEWEST = 16
_CLIP = 3.0
_CLIPPED_STD = 0.98658
"""Standard deviation of a unit Gaussian that is cut off at three standard deviations."""
_ROUNDS = 8


def border_pixels(shape: tuple[int, int]) -> np.ndarray:
    """Indices, in the flattened image, of an even sample of the border's pixels."""
    ny, nx = shape
    width = max(1, round(BORDER * min(ny, nx)))
    frame = np.ones(shape, bool)
    frame[width : ny - width, width : nx - width] = False
    at = np.flatnonzero(frame)
    return at[:: -(-len(at) // _PIXELS)]


def sky_and_noise(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and standard deviation of the border, clipped at three standard deviations.

    The first guess of the standard deviation is the distance from the median to the 16th percentile, which
    bright neighbours hardly change.

    Parameters
    ----------
    images : (M, ny, nx) float
        NaN where there are no data.

    Returns
    -------
    sky, noise : (M,) float64
        In the unit of the images; NaN where the border has fewer than 16 pixels with data.
    """
    m = len(images)
    v = np.take(images.reshape(m, -1), border_pixels(images.shape[1:]), axis=1)
    v = np.sort(v, axis=1).astype(np.float64)  # NaN goes to the end
    count = np.count_nonzero(np.isfinite(v), axis=1)
    usable = count >= _FEWEST
    v[~usable] = 0.0
    count = np.where(usable, count, v.shape[1])
    row, zero = np.arange(m), np.zeros(m, np.int64)
    median = _median(v, zero, count)
    v -= median[:, None]
    sigma = -v[row, (0.1587 * (count - 1)).astype(np.int64)]
    total, squares = np.zeros((2, m, v.shape[1] + 1))
    np.cumsum(v, axis=1, out=total[:, 1:])
    np.cumsum(v * v, axis=1, out=squares[:, 1:])
    everything = np.sqrt(squares[row, count] / count)
    sigma = np.where(sigma > 0, sigma, everything)
    centre = np.zeros(m)
    for _ in range(_ROUNDS):
        before = sigma
        a = np.count_nonzero(v < (centre - _CLIP * sigma)[:, None], axis=1)
        b = np.count_nonzero(v <= (centre + _CLIP * sigma)[:, None], axis=1)
        n = np.maximum(b - a, 1)
        mean = (total[row, b] - total[row, a]) / n
        variance = (squares[row, b] - squares[row, a]) / n - mean**2
        sigma = np.sqrt(np.maximum(variance, 0.0)) / _CLIPPED_STD
        centre = _median(v, a, np.maximum(b, a + 1))
        if np.allclose(sigma, before, rtol=1e-3, atol=0.0):
            break
    sky = np.where(usable, median + centre, np.nan)
    return sky, np.where(usable, sigma, np.nan)


def _median(v: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Median of the sorted values from place `a` to before place `b` of each row."""
    row = np.arange(len(v))
    return np.asarray(0.5 * (v[row, (a + b - 1) // 2] + v[row, (a + b) // 2]))
