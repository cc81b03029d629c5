"""Outliers: how unusual each galaxy's embedding is, by several methods and their mean rank.

Each method's score is turned into its rank among all galaxies (0 to 1), which makes
methods comparable; the ensemble is the mean of the ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.discover.space import finite_rows, fit_scaling, principal_components, vectors_of
from euclidfm.embeddings.table import EmbeddingTable

__all__ = ["METHODS", "conditional_oddity", "outlier_scores"]

_COMPONENTS = 32
_GIVEN, _JUDGED = 5, 64
"""Of the whitened components, those that say what a galaxy is mainly like, and the last that is judged
(docs/discovery.md says how they were chosen)."""


def outlier_scores(
    emb: EmbeddingTable,
    *,
    seed: int = 0,
    methods: Sequence[str] | None = None,
    space: str = "joint",
    extra: Mapping[str, np.ndarray] | None = None,
) -> pa.Table:
    """Rank galaxies by how unusual they are.

    Parameters
    ----------
    emb : EmbeddingTable
    seed : int
        Of the isolation forest's trees.
    methods : sequence of str, optional
        Any of ``isolation_forest``, ``lof`` (local outlier factor, 20 neighbours) and
        ``knn`` (mean distance to the 10 nearest), on the first 32 principal components of
        the standardised embeddings; and ``conditional`` (see `conditional_oddity`) on the
        embeddings as they are. Default ``conditional`` in the space ``shape``, the first three
        in the others.
    space : str
        ``"joint"``, a modality, or ``"shape"``, of which the first half is judged: the mean
        over the turns, not their scatter.
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
    if space == "shape":
        vectors = vectors[:, : vectors.shape[1] // 2]
    if methods is None:
        methods = ("conditional",) if space == "shape" else ("isolation_forest", "lof", "knn")
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
        given = vectors[usable] if name == "conditional" else points
        columns[name] = _spread(METHODS[name](given, seed), usable)
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


def conditional_oddity(vectors: np.ndarray) -> np.ndarray:
    """How odd each galaxy is *for one that is mainly like it*.

    The first 5 whitened principal components say what a galaxy is mainly like (how bright, large, round).
    A quadratic in these foresees the components 6 to 64, and another the logarithm of how far the galaxies
    lie from that; the score is the logarithm of the squared distance less the foreseen one. So the bright,
    large and saturated, which are far from everything, are judged among their like.

    Parameters
    ----------
    vectors : (N, D) array
        Finite.

    Returns
    -------
    (N,) float64
        Larger is more unusual; all 0 where there are not more components than are given or fewer than
        four galaxies to a coefficient.
    """
    whitened = fit_scaling(vectors, "whiten", components=_JUDGED)(vectors).astype(np.float64)
    main, rest = whitened[:, :_GIVEN], whitened[:, _GIVEN:]
    products = [main[:, [i]] * main[:, i:] for i in range(main.shape[1])]
    terms = np.concatenate([np.ones((len(main), 1)), main, *products], axis=1)
    if rest.shape[1] == 0 or len(terms) < 4 * terms.shape[1]:
        return np.zeros(len(vectors))
    rest = rest - terms @ np.linalg.lstsq(terms, rest, rcond=None)[0]
    far = np.log(np.maximum((rest**2).sum(axis=1), 1e-9))
    return np.asarray(far - terms @ np.linalg.lstsq(terms, far, rcond=None)[0])


def _conditional(vectors: np.ndarray, seed: int) -> np.ndarray:
    return conditional_oddity(vectors)


METHODS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "isolation_forest": _isolation_forest,
    "lof": _local_outlier_factor,
    "knn": _knn_distance,
    "conditional": _conditional,
}
"""Methods by name: (N, P) points and a seed to (N,) scores, larger = more unusual."""
