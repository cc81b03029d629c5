"""Outlier scores from the surprisal of a galaxy's tokens under the model."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from euclidfm.discover.outliers import rank_fraction

__all__ = ["surprise_scores"]

_FRACTION = 8
"""The score of a modality is the mean over the largest 1/8 of its tokens' surprisals."""


def surprise_scores(table: pa.Table) -> dict[str, np.ndarray]:
    """One number per galaxy and modality: the mean of the largest eighth of its surprisals (at least one).

    Parameters
    ----------
    table : pyarrow.Table
        Of `euclidfm.embeddings.surprise_table`.

    Returns
    -------
    dict of str to (N,) float64
        ``surprise_<modality>`` and ``surprise``, the mean of the modalities' ranks (0 to 1). NaN for a
        galaxy without tokens.
    """
    out = {}
    for name in table.column_names:
        if not name.startswith("surprise_"):
            continue
        column = table.column(name).combine_chunks()
        values = np.asarray(column.flatten(), np.float64).reshape(table.num_rows, -1)
        out[name] = _mean_of_largest(values)
    ranks = np.stack([rank_fraction(v) for v in out.values()])
    known = np.isfinite(ranks)
    total = np.where(known, ranks, 0.0).sum(axis=0)
    return out | {"surprise": np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)}


def _mean_of_largest(values: np.ndarray) -> np.ndarray:
    """Mean over each row's largest eighth of its finite values; NaN where there are none."""
    count = np.isfinite(values).sum(axis=1)
    ordered = -np.sort(np.where(np.isfinite(values), -values, np.inf), axis=1)  # largest first, NaN last
    taken = np.ceil(count / _FRACTION).astype(int)
    inside = np.arange(values.shape[1]) < taken[:, None]
    total = np.where(inside, ordered, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(taken, 1), np.nan)
