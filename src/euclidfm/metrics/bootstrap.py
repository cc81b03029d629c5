"""Bootstrap intervals of any metric over test galaxies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Interval", "bootstrap", "bootstrap_all", "finite_pairs", "paired_difference"]

_CHUNK = 4_000_000
"""Number of resampled values in memory at a time (32 MB per array)."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number and its bootstrap interval."""

    value: float
    """Value for the sample itself."""
    low: float
    """Lower end; NaN if fewer than two resamples gave a value."""
    high: float
    """Upper end."""


def finite_pairs(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Drop the rows in which any of the (N,) or (N, C) arrays is not finite."""
    keep = np.ones(len(arrays[0]), bool)
    for a in arrays:
        good = np.isfinite(np.asarray(a, float))
        keep &= good if good.ndim == 1 else good.all(axis=tuple(range(1, good.ndim)))
    return tuple(np.asarray(a)[keep] for a in arrays)


def bootstrap(
    metric: Callable[..., np.ndarray],
    *arrays: np.ndarray,
    resamples: int = 500,
    level: float = 0.68,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of one metric: see `bootstrap_all`."""
    return bootstrap_all({"m": metric}, *arrays, resamples=resamples, level=level, seed=seed)["m"]


def paired_difference(
    metric: Callable[..., np.ndarray],
    one: np.ndarray,
    other: np.ndarray,
    truth: np.ndarray,
    *,
    resamples: int = 500,
    level: float = 0.68,
    seed: int = 0,
) -> Interval:
    """Bootstrap of ``metric(one, truth) - metric(other, truth)`` on the same resampled galaxies.

    Variations that both methods share, such as an easy or a hard test sample, cancel. The interval can
    therefore separate two methods whose own intervals overlap.

    Parameters
    ----------
    metric : function
        ``(prediction, truth) -> number`` on the last axis.
    one, other : (N,) arrays
        Predictions of the two methods for the same galaxies.
    truth : (N,) array
    """
    return bootstrap(
        lambda a, b, t: metric(a, t) - metric(b, t),
        one,
        other,
        truth,
        resamples=resamples,
        level=level,
        seed=seed,
    )


def bootstrap_all(
    metrics: Mapping[str, Callable[..., np.ndarray]],
    *arrays: np.ndarray,
    resamples: int = 500,
    level: float = 0.68,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile bootstrap of several metrics on the same resamples.

    N of N galaxies are drawn with replacement, each with its prediction and truth. The interval contains the
    central fraction `level` of the metric over the resamples.

    Parameters
    ----------
    metrics : mapping of name to function
        Called with the arrays, each with the resamples in front: (B, N) for an (N,) array
        and (B, N, C) for (N, C). Must return (B,).
    *arrays : (N,) or (N, C) arrays
    resamples : int
        Number B of bootstrap samples; 0 for no interval.
    level : float
        Probability inside the interval.
    seed : int
        The same seed draws the same galaxies: two methods evaluated on one test set have paired
        resamples.

    Returns
    -------
    dict of name to Interval
        Resamples whose metric is NaN (for example, without a positive) are ignored.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    stacked = [np.asarray(a) for a in arrays]
    n = len(stacked[0])
    values = {k: _number(f(*(a[None] for a in stacked))) for k, f in metrics.items()}
    drawn: dict[str, list[np.ndarray]] = {k: [] for k in metrics}
    rng = np.random.default_rng(seed)
    if n:
        step = max(1, _CHUNK // max(sum(a.size for a in stacked), 1))
        for start in range(0, resamples, step):
            rows = rng.integers(0, n, (min(step, resamples - start), n))
            for k, f in metrics.items():
                drawn[k].append(np.asarray(f(*(a[rows] for a in stacked)), float))
    return {k: _interval(values[k], drawn[k], level) for k in metrics}


def _number(x: np.ndarray) -> float:
    return float(np.asarray(x, float).reshape(-1)[0])


def _interval(value: float, drawn: list[np.ndarray], level: float) -> Interval:
    all_drawn = np.concatenate(drawn) if drawn else np.empty(0)
    good = all_drawn[np.isfinite(all_drawn)]
    if len(good) < 2:
        return Interval(value=value, low=float("nan"), high=float("nan"))
    low, high = np.quantile(good, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(value=value, low=float(low), high=float(high))
