"""Metrics of the test galaxies in bins of magnitude, redshift and size."""

from __future__ import annotations

from typing import Any

import numpy as np

from euclidfm.core.records import Record
from euclidfm.core.tables import column_names
from euclidfm.core.units import abmag_from_ujy
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.metrics import binned, finite_pairs
from euclidfm.tasks.task import Task

__all__ = ["binned_records", "binnings"]

BINS = 5
FEWEST = 20
"""Smallest number of galaxies per bin; with fewer galaxies there are fewer bins."""

_BY = {
    "magnitude": ("mag_vis", "flux_VIS"),
    "redshift": ("z_spec", "z"),
    "size": ("fwhm", "segmentation_area"),
}


def binnings(emb: EmbeddingTable, labels: Any) -> dict[str, tuple[str, np.ndarray]]:
    """Quantities by which galaxies are binned: ``{magnitude, redshift, size: (column, (N,) values)}``.

    The magnitude is AB; from the VIS flux if there is no column of it.
    """
    have, out = column_names(labels), {}
    for by, names in _BY.items():
        for name in names:
            if name in have:
                values = emb.column_of(labels, name).astype(float)
                if name == "flux_VIS":
                    values = abmag_from_ujy(values)
                if np.isfinite(values).any():
                    out[by] = name, values
                    break
    return out


def binned_records(
    task: Task,
    prediction: np.ndarray,
    truth: np.ndarray,
    by: dict[str, tuple[str, np.ndarray]],
    *,
    classes: int = 0,
    resamples: int = 200,
) -> list[Record]:
    """The task's metrics in bins of equal number, by each of `binnings`.

    Returns
    -------
    list of dict
        ``{task, by, column, bin, bin_low, bin_high, bin_mean, n, metric, value, low, high}``.
    """
    if classes == 2:
        prediction = prediction[:, 1]
    out: list[Record] = []
    for name, (column, values) in by.items():
        p, t, v = finite_pairs(prediction, truth, values)
        bins = min(BINS, len(t) // FEWEST)
        if bins < 2 or np.ptp(v) == 0:
            continue
        found = binned(task.metrics(classes), p, t, by=v, edges=bins, resamples=resamples)
        out += [{"task": task.name, "by": name, "column": column, **r} for r in found]
    return out
