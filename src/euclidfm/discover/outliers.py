"""Outliers: how unusual each galaxy's embedding is, by several methods and their mean rank.

Each method's score is turned into its rank among all galaxies (0 to 1), which makes
methods comparable; the ensemble is the mean of the ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from euclidfm.discover.space import finite_rows, principal_components, vectors_of
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.errors import InputError

__all__ = ["METHODS", "outlier_scores"]

_COMPONENTS = 32


def outlier_scores(
    emb: EmbeddingTable,
    *,
    seed: int = 0,
    methods: Sequence[str] = ("isolation_forest", "lof", "knn"),
    space: str = "joint",
    extra: Mapping[str, np.ndarray] | None = None,
) -> pa.Table:
    """Rank galaxies by how unusual they are.

    Parameters
    ----------
    emb : EmbeddingTable
    seed : int
        Of the isolation forest's trees.
    methods : sequence of str
        Any of ``isolation_forest``, ``lof`` (local outlier factor, 20 neighbours) and
        ``knn`` (mean distance to the 10 nearest), on the first 32 principal components of
        the standardised embeddings.
    space : str
        ``"joint"`` or a modality.
    extra : dict of str to (N,) array, optional
        Scores made elsewhere that join the ensemble (the model's own surprise); larger is
        more unusual.

    Returns
    -------
    pyarrow.Table
        object_id, score (0 to 1, 1 = most unusual), rank (1 = most unusual) and one column
        a method with its ranks from 0 to 1. Rows in the order of `emb`; a galaxy without an
        embedding in this space has a NaN score and no rank.
    """
    vectors = vectors_of(emb, space)
    usable = finite_rows(vectors)
    if usable.sum() < 3:
        msg = f"outliers need at least 3 galaxies with an embedding in {space!r}, there are {usable.sum()}"
        raise InputError(msg)
    points = principal_components(vectors[usable], _COMPONENTS)
    columns: dict[str, np.ndarray] = {}
    for name in methods:
        if name not in METHODS:
            msg = f"unknown outlier method {name!r}; there are {', '.join(METHODS)}"
            raise InputError(msg)
        columns[name] = _spread(METHODS[name](points, seed), usable)
    for name, values in (extra or {}).items():
        columns[name] = np.where(usable, np.asarray(values, float), np.nan)
    if not columns:
        msg = "give at least one outlier method"
        raise InputError(msg)
    ranks = {name: rank_fraction(values) for name, values in columns.items()}
    with np.errstate(invalid="ignore"):
        score = np.mean(list(ranks.values()), axis=0)
    order = np.lexsort((np.arange(len(emb)), -np.where(np.isfinite(score), score, -np.inf)))
    rank = np.empty(len(emb), np.int64)
    rank[order] = np.arange(1, len(emb) + 1)
    return pa.table(
        {
            "object_id": pa.array(emb.object_id, pa.int64()),
            "score": pa.array(score, pa.float64()),
            "rank": pa.array(rank, pa.int64(), mask=~np.isfinite(score)),
            **{name: pa.array(r, pa.float64()) for name, r in ranks.items()},
        }
    )


def rank_fraction(values: np.ndarray) -> np.ndarray:
    """Rank of each value among the finite ones, 0 (smallest) to 1 (largest); ties share; NaN stays."""
    from scipy.stats import rankdata

    out = np.full(len(values), np.nan)
    finite = np.isfinite(values)
    count = int(finite.sum())
    if count:
        out[finite] = (rankdata(values[finite]) - 1) / max(count - 1, 1)
    return out


def _spread(values: np.ndarray, usable: np.ndarray) -> np.ndarray:
    out = np.full(len(usable), np.nan)
    out[usable] = values
    return out


def _isolation_forest(points: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=300, random_state=seed)
    return np.asarray(-forest.fit(points).score_samples(points))


def _local_outlier_factor(points: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.neighbors import LocalOutlierFactor

    factor = LocalOutlierFactor(n_neighbors=min(20, len(points) - 1)).fit(points)
    return np.asarray(-factor.negative_outlier_factor_)


def _knn_distance(points: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=min(10, len(points) - 1)).fit(points)
    distance, _ = near.kneighbors()  # without arguments a point is not its own neighbour
    return np.asarray(distance.mean(axis=1))


METHODS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "isolation_forest": _isolation_forest,
    "lof": _local_outlier_factor,
    "knn": _knn_distance,
}
"""Methods by name: (N, P) points and a seed to (N,) scores, larger = more unusual."""
