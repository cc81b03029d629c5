"""Metrics of point estimates: photometric redshifts, stellar masses, any regression.

All functions take ``(prediction, truth)`` of shape (..., N), work on the last axis and
return shape (...). A NaN in either gives NaN. Redshift metrics are functions of

    dz = (z_phot - z_spec) / (1 + z_spec),

stellar-mass metrics of ``d = log10 M_pred - log10 M_true`` in dex. Only the variants named ``legacy`` divide
by ``1 + log10 M``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = [
    "MASS",
    "NMAD_FACTOR",
    "PHOTOZ",
    "REGRESSION",
    "Metric",
    "exceeds",
    "mae",
    "nmad",
    "outliers_rail",
    "r2",
    "redshift_error",
    "rmse",
    "sigma68",
    "sigma_iqr",
]

Metric = Callable[[np.ndarray, np.ndarray], np.ndarray]

NMAD_FACTOR = 1.4826
"""1 / Phi^-1(3/4): the ratio of sigma and the median absolute deviation of a Gaussian. The reference work
rounds it to 1.48."""

IQR_FACTOR = 1.349
"""Interquartile range of a Gaussian in sigma, as RAIL rounds it."""


def redshift_error(z_phot: npt.ArrayLike, z_spec: npt.ArrayLike) -> np.ndarray:
    """Scaled redshift error ``dz = (z_phot - z_spec) / (1 + z_spec)``, shape (..., N)."""
    z_spec = np.asarray(z_spec, float)
    return np.asarray((np.asarray(z_phot, float) - z_spec) / (1.0 + z_spec))


def nmad(error: npt.ArrayLike) -> np.ndarray:
    """Normalised median absolute deviation, ``1.4826 median|e - median(e)|``.

    Parameters
    ----------
    error : (..., N) array

    Returns
    -------
    (...) array
        NaN if any error is NaN or there is none.

    References
    ----------
    Hoaglin, Mosteller & Tukey 1983; for photometric redshifts Brammer et al. 2008 (without
    their division by 1 + z, which `redshift_error` does).
    """
    e = np.asarray(error, float)
    if e.shape[-1] == 0:
        return np.full(e.shape[:-1], np.nan)
    centre = np.median(e, axis=-1, keepdims=True)
    return np.asarray(NMAD_FACTOR * np.median(np.abs(e - centre), axis=-1))


def sigma68(error: npt.ArrayLike) -> np.ndarray:
    """Half the central 68.27% range, ``(p84.13 - p15.87) / 2``; NaN in, NaN out."""
    return _half_range(np.asarray(error, float), 15.865525, 84.134475) / 2.0


def sigma_iqr(error: npt.ArrayLike) -> np.ndarray:
    """Width from the interquartile range, ``(p75 - p25) / 1.349`` (RAIL); NaN in, NaN out."""
    return _half_range(np.asarray(error, float), 25.0, 75.0) / IQR_FACTOR


def _half_range(e: np.ndarray, low: float, high: float) -> np.ndarray:
    if e.shape[-1] == 0:
        return np.full(e.shape[:-1], np.nan)
    lo, hi = np.percentile(e, [low, high], axis=-1)
    return np.asarray(hi - lo)


def exceeds(error: npt.ArrayLike, limit: npt.ArrayLike, inclusive: bool = False) -> np.ndarray:
    """Fraction of ``|e| > limit`` (``>=`` if inclusive).

    NaN gives NaN; a plain comparison would count it as a success.
    """
    e = np.abs(np.asarray(error, float))
    limit = np.asarray(limit, float)[..., None] if np.ndim(limit) else limit
    beyond = e >= limit if inclusive else e > limit
    return _mean(np.where(np.isnan(e) | np.isnan(limit), np.nan, beyond))


def outliers_rail(error: npt.ArrayLike) -> np.ndarray:
    """RAIL's outlier fraction, ``|e| > max(0.06, 3 sigma_IQR)``.

    The limit depends on the data: a method with a broad core has fewer outliers by this rule.
    """
    return exceeds(error, np.maximum(0.06, 3.0 * sigma_iqr(error)))


def _mean(x: np.ndarray) -> np.ndarray:
    return np.asarray(x.mean(axis=-1)) if x.shape[-1] else np.full(x.shape[:-1], np.nan)


def _median(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.median(x, axis=-1)) if x.shape[-1] else np.full(x.shape[:-1], np.nan)


def r2(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Coefficient of determination, ``1 - sum (p - t)^2 / sum (t - mean t)^2``.

    NaN if the truth is constant, or for NaN in either.
    """
    p, t = np.asarray(prediction, float), np.asarray(truth, float)
    total = ((t - _mean(t)[..., None]) ** 2).sum(axis=-1)
    rest = ((p - t) ** 2).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, 1.0 - rest / total, np.nan))


def mae(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean absolute error, ``mean|p - t|``, in the unit of the truth; NaN in, NaN out."""
    return _mean(np.abs(np.asarray(prediction, float) - truth))


def rmse(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Root mean square error, ``sqrt(mean (p - t)^2)``; NaN in, NaN out."""
    return np.sqrt(_mean((np.asarray(prediction, float) - truth) ** 2))


def _of_dz(statistic: Callable[[np.ndarray], np.ndarray]) -> Metric:
    return lambda p, t: statistic(redshift_error(p, t))


def _of_difference(statistic: Callable[[np.ndarray], np.ndarray]) -> Metric:
    return lambda p, t: statistic(np.asarray(p, float) - np.asarray(t, float))


def _of_legacy(statistic: Callable[[np.ndarray], np.ndarray]) -> Metric:
    return lambda p, t: statistic(
        (np.asarray(p, float) - np.asarray(t, float)) / (1.0 + np.asarray(t, float))
    )


PHOTOZ: dict[str, Metric] = {
    "nmad": _of_dz(nmad),
    "sigma68": _of_dz(sigma68),
    "bias_median": _of_dz(_median),
    "bias_mean": _of_dz(_mean),
    "outliers_0.15": _of_dz(lambda e: exceeds(e, 0.15)),
    "outliers_rail": _of_dz(outliers_rail),
    "r2": r2,
    "mae": mae,
    "rmse": rmse,
}
"""Photo-z metrics by name, each ``(z_phot, z_spec) -> number``; r2, mae and rmse are of z
itself, the others of dz."""

MASS: dict[str, Metric] = {
    "nmad": _of_difference(nmad),
    "sigma68": _of_difference(sigma68),
    "bias_median": _of_difference(_median),
    "bias_mean": _of_difference(_mean),
    "outliers_0.3dex": _of_difference(lambda d: exceeds(d, 0.3)),
    "r2": r2,
    "mae": mae,
    "rmse": rmse,
    "nmad_legacy": _of_legacy(lambda e: nmad(e) * (1.48 / NMAD_FACTOR)),
    "outliers_legacy": _of_legacy(lambda e: exceeds(e, 0.25, inclusive=True)),
}
"""Stellar-mass metrics by name, in dex. The two ``legacy`` ones divide by 1 + log10 M and use
1.48 and >= 0.25 as the reference work does (0.25 is then 2.9 dex at log10 M = 10.5)."""

REGRESSION: dict[str, Metric] = {
    "nmad": _of_difference(nmad),
    "bias_median": _of_difference(_median),
    "bias_mean": _of_difference(_mean),
    "r2": r2,
    "mae": mae,
    "rmse": rmse,
}
"""Metrics of any numeric label, in its unit."""
