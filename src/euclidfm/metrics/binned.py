"""Metrics in bins of magnitude, redshift, size, or anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from euclidfm.metrics.bootstrap import bootstrap_all

__all__ = ["binned"]


def binned(
    metrics: Mapping[str, Callable[..., np.ndarray]],
    *arrays: np.ndarray,
    by: np.ndarray,
    edges: Sequence[float] | int,
    resamples: int = 500,
    level: float = 0.68,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Metrics with bootstrap intervals in bins ``edges[i] <= by < edges[i + 1]``.

    Parameters
    ----------
    metrics, *arrays, resamples, level, seed
        As for `bootstrap_all`.
    by : (N,) array
        Quantity that defines the bins; galaxies with NaN or outside the edges are in no bin.
    edges : sequence of float, or int
        An integer gives the number of bins with equally many galaxies. The last bin includes its upper edge.

    Returns
    -------
    list of dict
        ``{bin, bin_low, bin_high, bin_mean, n, metric, value, low, high}`` for each bin and metric; NaN
        values for an empty bin.
    """
    by = np.asarray(by, float)
    if isinstance(edges, int):
        edges = np.unique(np.quantile(by[np.isfinite(by)], np.linspace(0, 1, edges + 1))).tolist()
    e = np.asarray(edges, float)
    place = np.searchsorted(e, by, side="right") - 1
    place[by == e[-1]] = len(e) - 2
    place[~np.isfinite(by)] = -1
    out = []
    for i in range(len(e) - 1):
        rows = np.flatnonzero(place == i)
        intervals = bootstrap_all(
            metrics, *(np.asarray(a)[rows] for a in arrays), resamples=resamples, level=level, seed=seed
        )
        mean = float(by[rows].mean()) if len(rows) else float("nan")
        for name, v in intervals.items():
            bin_of = {"bin": i, "bin_low": float(e[i]), "bin_high": float(e[i + 1]), "bin_mean": mean}
            out.append({**bin_of, "n": len(rows), "metric": name, **v.__dict__})
    return out
