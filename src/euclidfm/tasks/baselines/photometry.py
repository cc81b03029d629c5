"""Features of the photometry for the baselines without an embedding.

Shapes: N galaxies, K bands; fluxes in µJy, NaN = not measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.core.units import luptitude_from_ujy

__all__ = ["AsinhMagnitudes", "quadratic_features", "tree_features"]


@dataclass(frozen=True, kw_only=True)
class AsinhMagnitudes:
    """Asinh magnitudes, defined for negative fluxes too (Lupton, Gunn & Szalay 1999).

        m = 23.9 - a [asinh(f / 2b) + ln b],   a = 2.5 / ln 10

    with the softening b of a band near its median error, so that m is the AB magnitude for
    f >> b and linear in the flux below.

    Attributes
    ----------
    softening : (K,) array
        b of each band, µJy.
    """

    softening: np.ndarray

    @classmethod
    def of(cls, flux: np.ndarray, fluxerr: np.ndarray) -> AsinhMagnitudes:
        """Softening from training galaxies: the median error of a band, or 1% of its median |flux|."""
        return cls(softening=np.array([_softening(f, e) for f, e in zip(flux.T, fluxerr.T, strict=True)]))

    def magnitudes(self, flux: np.ndarray) -> np.ndarray:
        """(N, K) asinh magnitudes; NaN where not measured."""
        return luptitude_from_ujy(flux, self.softening)

    def errors(self, flux: np.ndarray, fluxerr: np.ndarray) -> np.ndarray:
        """(N, K) errors of the asinh magnitudes, first order."""
        b = self.softening
        slope = 2.5 / np.log(10.0) / np.sqrt(np.asarray(flux, np.float64) ** 2 + 4.0 * b**2)
        return np.asarray(slope * fluxerr)


def _softening(flux: np.ndarray, error: np.ndarray) -> float:
    good = np.isfinite(error) & (error > 0) & np.isfinite(flux)
    if good.any():
        return float(np.median(error[good]))
    seen = np.abs(flux[np.isfinite(flux)])
    return float(0.01 * np.median(seen)) if len(seen) and np.median(seen) > 0 else 1.0


def colours(magnitudes: np.ndarray) -> np.ndarray:
    """(N, K - 1) differences of adjacent bands, in the order given."""
    return np.asarray(magnitudes[:, :-1] - magnitudes[:, 1:])


def tree_features(scale: AsinhMagnitudes, flux: np.ndarray, fluxerr: np.ndarray) -> np.ndarray:
    """Features of boosted trees: magnitudes, adjacent colours and errors, NaN where missing."""
    m = scale.magnitudes(flux)
    return np.concatenate([m, colours(m), scale.errors(flux, fluxerr)], axis=1)


def quadratic_features(magnitudes: np.ndarray) -> np.ndarray:
    """Features of ridges: mean magnitude, colours, and all their squares and products.

    Parameters
    ----------
    magnitudes : (N, K) array without NaN
    """
    return products(np.concatenate([magnitudes.mean(axis=1, keepdims=True), colours(magnitudes)], axis=1))


def products(x: np.ndarray) -> np.ndarray:
    """(N, d + d (d + 1) / 2) numbers, and all their squares and products."""
    i, j = np.triu_indices(x.shape[1])
    return np.concatenate([x, x[:, i] * x[:, j]], axis=1)


def fill_missing(magnitudes: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Replace NaN by its expectation given the bands that were measured.

    The expectation is that of a Gaussian with the training galaxies' mean and covariance,
    ``mu_m + C_mo C_oo^-1 (x_o - mu_o)``.

    Parameters
    ----------
    magnitudes : (N, K) array
    mean : (K,) array
    covariance : (K, K) array
    """
    out = np.array(magnitudes, np.float64)
    seen = np.isfinite(out)
    for pattern in np.unique(seen, axis=0):
        if pattern.all():
            continue
        rows = np.flatnonzero((seen == pattern).all(axis=1))
        guess = np.broadcast_to(mean[~pattern], (len(rows), int((~pattern).sum()))).copy()
        if pattern.any():
            gain = np.linalg.solve(
                covariance[np.ix_(pattern, pattern)], covariance[np.ix_(pattern, ~pattern)]
            )
            guess += (out[np.ix_(rows, pattern)] - mean[pattern]) @ gain
        out[np.ix_(rows, ~pattern)] = guess
    return out


def gaussian_of(magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of magnitudes with NaN, from pairs of bands, made positive definite."""
    seen = np.isfinite(magnitudes)
    mean = np.where(seen, magnitudes, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    d = np.where(seen, magnitudes - mean, 0.0)
    pairs = seen.T.astype(float) @ seen
    covariance = (d.T @ d) / np.maximum(pairs, 1.0)
    values, vectors = np.linalg.eigh(covariance)
    floor = max(1e-4, 1e-3 * float(values.max(initial=0.0)))
    return mean, (vectors * np.maximum(values, floor)) @ vectors.T
