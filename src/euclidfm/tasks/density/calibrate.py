"""Calibration on galaxies that took no part in the fit: of whole densities, and of intervals.

Both start from the PIT values u = F(z_spec) of the calibration galaxies. Split-conformal
intervals need a sorted list and one index, so they are these few lines and not a dependency.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

__all__ = ["LEVELS", "conformal_half_width", "conformal_quantile", "recalibrate", "recalibration_map"]

LEVELS = (0.68, 0.95)
"""Levels of the intervals that are given."""

KNOTS = np.concatenate([[0.0, 0.01, 0.025, 0.05], np.linspace(0.1, 0.9, 9), [0.95, 0.975, 0.99, 1.0]])
"""Probabilities at which the map is measured: denser in the tails, where intervals end."""


def recalibration_map(pit: np.ndarray, prior: float = 50.0) -> np.ndarray:
    """Rising map of probabilities after which the PIT values are uniform.

    The PIT's empirical distribution at 17 knots, mixed with `prior` galaxies' worth of the
    identity, so that a few dozen galaxies do not imprint their noise (Bordoloi et al. 2010;
    Kuleshov et al. 2018).

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

    Between the knots G is the monotone cubic of Fritsch & Carlson 1980: its slope, and with it
    p(z), has no steps.
    """
    G = PchipInterpolator(KNOTS, mapped)
    known = np.isfinite(cdf)
    F = np.where(known, cdf, 0.0)
    slope, value = np.maximum(G.derivative()(F), 0.0), G(F)
    return pdf * slope, np.where(known, value, np.nan)


def conformal_quantile(score: np.ndarray, level: float) -> float:
    """The ceil((n + 1) level)-th smallest of n scores of calibration galaxies; NaN scores are left out.

    The score of a new galaxy is at most this with a chance of at least `level`, and at most
    `level` + 1 / (n + 1), if the galaxies are exchangeable and no two scores are equal, whatever the score
    is (Vovk et al. 2005; Lei et al. 2018). Given these calibration galaxies, the chance is itself a draw
    from a Beta distribution (see ``docs/protocol.md``).

    Returns
    -------
    float
        Infinite if there are too few galaxies for the level.
    """
    score = np.sort(score[np.isfinite(score)])
    place = int(np.ceil((len(score) + 1) * level))
    return float(score[place - 1]) if 0 < place <= len(score) else float("inf")


def conformal_half_width(pit: np.ndarray, level: float) -> float:
    """Half width in probability of an interval that covers with at least `level`.

    The score of a galaxy is |u - 1/2|; the interval of a new one is where ``|F(z) - 1/2| <= q``, q the
    `conformal_quantile` (Chernozhukov, Wuethrich & Zhu 2021).

    Returns
    -------
    float
        At most 0.5 (the whole grid), which also stands for too few galaxies.
    """
    return min(conformal_quantile(np.abs(pit - 0.5), level), 0.5)
