"""Scalar tokens: named columns of a store, one token each, standardised on the training split.

A value enters as (x - c) / s with c and s the column's mean and standard deviation over the training
galaxies, kept in the model. A value that is not finite, or of a column that a store lacks, is an absent
token.

Shapes: B galaxies, n columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["fit_scalars", "from_scaled", "scaled"]


def fit_scalars(
    names: Sequence[str], store: GalaxyStore, rows: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and standard deviation of columns over (training) rows of a store.

    Raises
    ------
    InputError
        If the store has no such column, or it holds text, no value at all, or the truth of a mock sky.
    """
    center, spread = {}, {}
    for name in names:
        values = _numbers(name, store.column(name))[rows]
        if name in store.info.names("truth"):
            msg = f"column {name!r} is the truth of a mock sky, which no model may read: leave it out"
            raise InputError(msg)
        values = values[np.isfinite(values)]
        if not len(values):
            msg = f"column {name!r} of store {store.path} has no value in the training split: leave it out"
            raise InputError(msg)
        center[name] = float(values.mean())
        width = float(values.std())
        spread[name] = width if width > 1e-6 * max(abs(center[name]), 1e-12) else 1.0
    return center, spread


def scaled(
    names: Sequence[str], center: Mapping[str, float], spread: Mapping[str, float], galaxies: Galaxies
) -> np.ndarray:
    """Standardised columns of a batch, (B, n); NaN where missing."""
    out = np.full((len(galaxies), len(names)), np.nan, np.float32)
    for i, name in enumerate(names):
        if name in galaxies.columns:
            values = _numbers(name, galaxies.columns[name])
            out[:, i] = (values - center.get(name, 0.0)) / spread.get(name, 1.0)
    out[~np.isfinite(out)] = np.nan
    return out


def from_scaled(
    name: str, center: Mapping[str, float], spread: Mapping[str, float], x: np.ndarray
) -> np.ndarray:
    """Standardised values of one column back to its own units, float64."""
    return np.asarray(x, np.float64) * spread.get(name, 1.0) + center.get(name, 0.0)


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiub":
        msg = f"column {name!r} holds {values.dtype} and not numbers, so it can't be a scalar: leave it out"
        raise InputError(msg)
    return values.astype(np.float64)
