"""Calibration of densities and of intervals on galaxies that took no part in the fit.

Both use the PIT values u = F(z_spec) of the calibration galaxies. Split-conformal intervals need only a
sorted list and one index, so no package is used for them.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

__all__ = ["LEVELS", "conformal_half_width", "conformal_quantile", "recalibrate", "recalibration_map"]

LEVELS = (0.68, 0.95)
"""Probabilities that the intervals contain."""

KNOTS = np.concatenate([[0.0, 0.01, 0.025, 0.05], np.linspace(0.1, 0.9, 9), [0.95, 0.975, 0.99, 1.0]])
"""Probabilities at which the map is measured; denser in the tails, where intervals end."""


def recalibration_map(pit: np.ndarray, prior: float = 50.0) -> np.ndarray:
    """Increasing map of probabilities that makes the PIT values uniform.

    This is the empirical distribution of the PIT at 17 knots (Bordoloi et al. 2010; Kuleshov et al. 2018),
    mixed with the identity with the weight of `prior` galaxies, so that a few dozen galaxies do not add their
    noise.

    Returns
    -------
    (17,) array
        Value of the map at `KNOTS`; 0 and 1 at the ends.
    """
    u = np.sort(pit[np.isfinite(pit)])
    found = np.searchsorted(u, KNOTS, side="right") / max(len(u), 1)
    mixed = (len(u) * found + prior * KNOTS) / (len(u) + prior)
    mixed[0], mixed[-1] = 0.0, 1.0
    return np.asarray(np.maximum.accumulate(mixed))


def recalibrate(pdf: np.ndarray, cdf: np.ndarray, mapped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Densities and distribution functions after the map, G'(F(z)) p(z) and G(F(z)).

    Between the knots G is the monotone cubic of Fritsch & Carlson 1980. Its slope is continuous, and so is
    the recalibrated p(z).
    """
    G = PchipInterpolator(KNOTS, mapped)
    known = np.isfinite(cdf)
    F = np.where(known, cdf, 0.0)
    slope, value = np.maximum(G.derivative()(F), 0.0), G(F)
    return pdf * slope, np.where(known, value, np.nan)


def conformal_quantile(score: np.ndarray, level: float) -> float:
    """The ceil((n + 1) level)-th smallest of n scores of calibration galaxies; NaN scores are dropped.

    The score of a new galaxy is smaller than this with a probability between `level` and
    `level` + 1 / (n + 1), for any score, if the galaxies are exchangeable and no two scores are equal
    (Vovk et al. 2005; Lei et al. 2018). For given calibration galaxies the probability is itself a draw
    from a Beta distribution (see ``docs/protocol.md``).

    Returns
    -------
    float
        Infinite if there are too few galaxies for the level.
    """
    score = np.sort(score[np.isfinite(score)])
    rank = int(np.ceil((len(score) + 1) * level))
    return float(score[rank - 1]) if 0 < rank <= len(score) else float("inf")


def conformal_half_width(pit: np.ndarray, level: float) -> float:
    """Half width in probability of an interval with a coverage of at least `level`.

    The score of a galaxy is |u - 1/2|. The interval of a new galaxy is where ``|F(z) - 1/2| <= q``, with q
    the `conformal_quantile` of the scores (Chernozhukov, Wuethrich & Zhu 2021).

    Returns
    -------
    float
        At most 0.5, which is the entire grid; also 0.5 if there are too few galaxies.
    """
    return min(conformal_quantile(np.abs(pit - 0.5), level), 0.5)
