"""Metrics of probability densities: calibration (PIT, coverage) and sharpness (CRPS, CDE loss).

Shapes: N galaxies, G grid points. A density is given by its values on a grid that is common to all galaxies.
Between grid points it is linear, so that trapezia give its distribution function F. Each score is computed
once per galaxy (`Scores`) and then averaged, so that the bootstrap over galaxies is cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["DENSITY", "Scores", "cdf_on_grid", "pit_histogram", "quantiles", "scores"]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of each galaxy from which the density metrics are computed; all (N,)."""

    pit: np.ndarray
    """Probability integral transform F(z_spec)."""
    crps: np.ndarray
    """Continuous ranked probability score, in units of z."""
    square: np.ndarray
    """Integral of p(z)^2."""
    height: np.ndarray
    """p(z_spec), linearly interpolated."""

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The scores in the order of the arguments of the functions in `DENSITY`."""
        return self.pit, self.crps, self.square, self.height


def cdf_on_grid(grid: np.ndarray, pdf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalised density and its distribution function.

    Parameters
    ----------
    grid : (G,) array, increasing
    pdf : (N, G) array, not negative

    Returns
    -------
    pdf, cdf : (N, G) arrays
        The density integrates to one by trapezia; NaN for a galaxy whose density is NaN or
        zero everywhere.
    """
    step = np.diff(grid)
    area = 0.5 * (pdf[:, 1:] + pdf[:, :-1]) * step
    total = area.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.where(total > 0, total, np.nan)
        cdf = np.concatenate([np.zeros((len(pdf), 1)), np.cumsum(area, axis=1)], axis=1) / total
        return np.asarray(pdf / total), np.asarray(cdf)


def _at(grid: np.ndarray, values: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row-wise linear interpolation; also the left grid point and the position in its cell."""
    zc = np.clip(z, grid[0], grid[-1])
    left = np.clip(np.searchsorted(grid, zc, side="right") - 1, 0, len(grid) - 2)
    t = (zc - grid[left]) / (grid[left + 1] - grid[left])
    row = np.arange(len(values))
    return values[row, left] * (1 - t) + values[row, left + 1] * t, left, t


def scores(grid: np.ndarray, pdf: np.ndarray, z_spec: np.ndarray) -> Scores:
    """Scores of densities against the truth.

        PIT  = F(z_spec)
        CRPS = int_{z < z_spec} F^2 dz + int_{z > z_spec} (1 - F)^2 dz

    For a truth outside the grid the PIT is 0 or 1, the height is 0, and the distance to the grid is added to
    the CRPS. NaN in the density or the truth gives NaN.

    References
    ----------
    Dawid 1984 (PIT); Matheson & Winkler 1976 (CRPS); Polsterer et al. 2016 for redshifts.
    """
    p, F = cdf_on_grid(np.asarray(grid, float), np.asarray(pdf, float))
    z = np.asarray(z_spec, float)
    known = np.isfinite(z)
    z0 = np.where(known, z, grid[0])
    # Within a cell F is taken to be linear: p is trapezoidal, so this is second order in the step.
    pit, left, t = _at(grid, F, z0)
    row, step = np.arange(len(z0)), np.diff(grid)
    below = _cumulative(step, F[:, :-1], F[:, 1:])
    above = _cumulative(step, 1 - F[:, :-1], 1 - F[:, 1:])
    part = t * step[left]
    head = below[row, left] + part * _square_mean(F[row, left], pit)
    rest = above[:, -1] - above[row, left] - part * _square_mean(1 - F[row, left], 1 - pit)
    outside = np.maximum(grid[0] - z0, 0.0) + np.maximum(z0 - grid[-1], 0.0)
    square = ((p[:, 1:] ** 2 + p[:, 1:] * p[:, :-1] + p[:, :-1] ** 2) / 3 * step).sum(axis=1)
    height = np.where(outside > 0, 0.0, _at(grid, p, z0)[0])
    values = (pit, head + rest + outside, square, height)
    pit, crps, square, height = (np.where(known & np.isfinite(p[:, 0]), v, np.nan) for v in values)
    return Scores(pit=pit, crps=crps, square=square, height=height)


def _square_mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean of the square of a function that goes linearly from a to b."""
    return np.asarray((a * a + a * b + b * b) / 3)


def _cumulative(step: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cells = _square_mean(a, b) * step
    return np.concatenate([np.zeros((len(a), 1)), np.cumsum(cells, axis=1)], axis=1)


def quantiles(grid: np.ndarray, cdf: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(N, L) redshifts at which each distribution function reaches the levels.

    Parameters
    ----------
    grid : (G,) array
    cdf : (N, G) array
    levels : (L,) array, or (N, L) for levels of each galaxy's own
    """
    levels = np.broadcast_to(np.asarray(levels, float), (len(cdf), np.shape(levels)[-1]))
    out = np.full(levels.shape, np.nan)
    for i, (F, q) in enumerate(zip(cdf, levels, strict=True)):
        if np.isfinite(F[0]):
            rising = np.concatenate([[True], np.diff(F) > 0])
            out[i] = np.interp(q, F[rising], grid[rising])
    return out


def pit_histogram(pit: np.ndarray, bins: int = 20) -> tuple[np.ndarray, np.ndarray, float]:
    """PIT histogram (1 in every bin if calibrated), its bin edges, and the expected scatter of a bin.

    The scatter is binomial, ``sqrt(bins (1 - 1 / bins) / N)`` in units of the mean.
    """
    good = pit[np.isfinite(pit)]
    counts, edges = np.histogram(good, bins=bins, range=(0.0, 1.0))
    n = max(len(good), 1)
    return counts * bins / n, edges, float(np.sqrt(bins * (1 - 1 / bins) / n))


Density = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _mean(x: np.ndarray) -> np.ndarray:
    return np.asarray(x.mean(axis=-1)) if x.shape[-1] else np.full(x.shape[:-1], np.nan)


def coverage(pit: np.ndarray, level: float) -> np.ndarray:
    """Fraction of truths inside the central interval that holds `level` of p(z)."""
    inside = np.abs(pit - 0.5) <= level / 2
    return _mean(np.where(np.isnan(pit), np.nan, inside))


def pit_ks(pit: np.ndarray) -> np.ndarray:
    """Kolmogorov-Smirnov distance of the PIT values from uniform, ``max |F_N(u) - u|``."""
    n = pit.shape[-1]
    if n == 0:
        return np.full(pit.shape[:-1], np.nan)
    u = np.sort(pit, axis=-1)
    steps = np.arange(n) / n
    return np.asarray(np.maximum(u - steps, steps + 1 / n - u).max(axis=-1))


def pit_cvm(pit: np.ndarray) -> np.ndarray:
    """Cramer-von Mises distance of the PIT values from uniform, ``sqrt(W^2 / N)``.

    ``W^2 = 1 / 12 N + sum_i (u_(i) - (2 i - 1) / 2 N)^2``. The division by N makes it an effect size, which
    does not grow with the number of galaxies.
    """
    n = pit.shape[-1]
    if n == 0:
        return np.full(pit.shape[:-1], np.nan)
    u = np.sort(pit, axis=-1)
    w2 = 1 / (12 * n) + ((u - (2 * np.arange(1, n + 1) - 1) / (2 * n)) ** 2).sum(axis=-1)
    return np.asarray(np.sqrt(w2 / n))


def pit_ad(pit: np.ndarray) -> np.ndarray:
    """Anderson-Darling distance of the PIT values from uniform, ``sqrt(A^2 / N)``; it emphasises the tails.

    ``A^2 = -N - sum_i (2 i - 1) / N (ln u_(i) + ln(1 - u_(N + 1 - i)))``, divided by N so that it does not
    grow with the number of galaxies. PIT values are clipped to [1e-4, 0.9999], since a value of 0 or 1 would
    make it infinite; `pit_outliers` counts the values beyond.
    """
    n = pit.shape[-1]
    if n == 0:
        return np.full(pit.shape[:-1], np.nan)
    u = np.sort(np.clip(pit, 1e-4, 0.9999), axis=-1)
    odd = 2 * np.arange(1, n + 1) - 1
    a2 = -n - (odd / n * (np.log(u) + np.log1p(-u[..., ::-1]))).sum(axis=-1)
    return np.asarray(np.sqrt(a2 / n))


def pit_outliers(pit: np.ndarray) -> np.ndarray:
    """Fraction of PIT values below 1e-4 or above 0.9999 (RAIL's default)."""
    return _mean(np.where(np.isnan(pit), np.nan, (pit < 1e-4) | (pit > 0.9999)))


DENSITY: dict[str, Density] = {
    "crps": lambda pit, crps, square, height: _mean(crps),
    "cde_loss": lambda pit, crps, square, height: _mean(square) - 2.0 * _mean(height),
    "pit_ks": lambda pit, crps, square, height: pit_ks(pit),
    "pit_cvm": lambda pit, crps, square, height: pit_cvm(pit),
    "pit_ad": lambda pit, crps, square, height: pit_ad(pit),
    "pit_outliers": lambda pit, crps, square, height: pit_outliers(pit),
    "coverage_68": lambda pit, crps, square, height: coverage(pit, 0.68),
    "coverage_95": lambda pit, crps, square, height: coverage(pit, 0.95),
}
"""Density metrics by name, each a function of the four arrays of `Scores`. The CDE loss is
``mean int p^2 dz - 2 mean p(z_spec)`` (Izbicki & Lee 2017); lower is better. The height p(z_spec) is
interpolated, whereas RAIL uses the nearest grid point."""
