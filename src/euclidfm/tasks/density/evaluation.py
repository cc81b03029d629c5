"""Metrics of calibrated densities, as records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from euclidfm.core.records import Record
from euclidfm.metrics import DENSITY, bootstrap_all, finite_pairs
from euclidfm.metrics.bootstrap import Interval
from euclidfm.metrics.densities import quantiles, scores
from euclidfm.tasks.evaluation import evaluate
from euclidfm.tasks.task import Task

__all__ = ["density_records"]


def density_records(
    task: Task,
    grid: np.ndarray,
    densities: Mapping[str, np.ndarray],
    intervals: Mapping[float, tuple[np.ndarray, np.ndarray]],
    truth: np.ndarray,
    *,
    resamples: int = 500,
    **identity: Any,
) -> list[Record]:
    """Point metrics of the median, density metrics, and coverage of the conformal intervals.

    Parameters
    ----------
    task : Task
    grid : (G,) array
    densities : mapping
        ``pdf`` and ``cdf``: (N, G) calibrated densities and distribution functions; ``raw``: (N, G) densities
        before recalibration, whose metrics get the suffix ``_uncalibrated``.
    intervals : mapping of level to pair of (N,) arrays
        Ends of the conformal intervals.
    truth : (N,) array
        NaN where unknown.
    resamples : int
    **identity
        Further fields of the records: method, inputs, n_train, ...
    """
    median = quantiles(grid, densities["cdf"], np.array([0.5]))[:, 0]
    records = evaluate(task, median, truth, resamples=resamples, **identity)
    calibrated = finite_pairs(*scores(grid, densities["pdf"], truth).arrays())
    raw = finite_pairs(*scores(grid, densities["raw"], truth).arrays())
    found = bootstrap_all(DENSITY, *calibrated, resamples=resamples)
    found |= {f"{k}_uncalibrated": v for k, v in bootstrap_all(DENSITY, *raw, resamples=resamples).items()}
    for level, (low, high) in intervals.items():
        found |= _coverage(level, low, high, truth, resamples)
    identity = {**records[0], "n_test": len(calibrated[0])}
    return records + [{**identity, "metric": k, **v.__dict__} for k, v in found.items()]


def _coverage(
    level: float, low: np.ndarray, high: np.ndarray, truth: np.ndarray, resamples: int
) -> dict[str, Interval]:
    """Fraction of the truths inside the intervals, and the mean width of these."""
    low, high, t = finite_pairs(low, high, truth)
    inside, width = ((t >= low) & (t <= high)).astype(float), high - low
    tag = f"{100 * level:.0f}"
    metrics = {f"conformal_coverage_{tag}": _mean_of_first, f"conformal_width_{tag}": _mean_of_second}
    return bootstrap_all(metrics, inside, width, resamples=resamples)


def _mean_of_first(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a.mean(axis=-1))


def _mean_of_second(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(b.mean(axis=-1))
