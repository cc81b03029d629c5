"""Outliers: how unusual each galaxy's embedding is, by several methods and their mean rank.

The score of each method becomes its rank among all galaxies (0 to 1), so that methods can be
compared. The ensemble is the mean of the ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.discover.space import finite_rows, fit_scaling, principal_components, vectors_of
from euclidfm.embeddings.table import EmbeddingTable

__all__ = [
    "METHODS",
    "conditional_outlier_score",
    "outlier_methods",
    "outlier_scores",
    "rank_column",
    "rank_fraction",
]

_COMPONENTS = 32
_PREDICTORS, _LAST = 5, 64
"""Number of whitened components that predict, and index of the last one predicted; docs/discovery.md
describes how they were chosen."""


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
        Seed of the isolation forest.
    methods : sequence of str, optional
        Any of ``isolation_forest``, ``lof`` (local outlier factor, 20 neighbours) and
        ``knn`` (mean distance to the 10 nearest), on the first 32 principal components of
        the standardised embeddings; and ``conditional`` (see `conditional_outlier_score`) on the
        unscaled embeddings. Default ``conditional`` in the space ``shape``, the other three
        in all other spaces.
    space : str
        ``"joint"``, a modality, or ``"shape"``. Of ``"shape"`` only the first half is used: the mean
        over the symmetries, not their scatter.
    extra : dict of str to (N,) array, optional
        Further scores of the ensemble (such as the surprisal of the model); larger is more
        unusual.

    Returns
    -------
    pyarrow.Table
        object_id, score (0 to 1, 1 = most unusual), rank (1 = most unusual) and one column
        per method with its ranks from 0 to 1. Rows in the order of `emb`; a galaxy without an
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
    columns = _scores_by_method(vectors, usable, methods, seed)
    for name, values in (extra or {}).items():
        columns[name] = np.where(usable, np.asarray(values, float), np.nan)
    if not columns:
        msg = "give at least one outlier method"
        raise InputError(msg)
    ranks = {name: rank_fraction(values) for name, values in columns.items()}
    with np.errstate(invalid="ignore"):
        score = np.mean(list(ranks.values()), axis=0)
    return pa.table(
        {
            "object_id": pa.array(emb.object_id, pa.int64()),
            "score": pa.array(score, pa.float64()),
            "rank": rank_column(score),
            **{name: pa.array(r, pa.float64()) for name, r in ranks.items()},
        }
    )


def outlier_methods(scores: pa.Table) -> list[str]:
    """Names of the methods whose ranks a table of `outlier_scores` (or `screened`) holds."""
    return [n for n in scores.column_names if n not in ("object_id", "score", "rank", "artefact")]


def rank_column(score: np.ndarray) -> pa.Array:
    """Rank of each score, 1 for the largest; ties in the order of rows, null where it is not finite."""
    finite = np.isfinite(score)
    order = np.lexsort((np.arange(len(score)), -np.where(finite, score, -np.inf)))
    rank = np.empty(len(score), np.int64)
    rank[order] = np.arange(1, len(score) + 1)
    return pa.array(rank, pa.int64(), mask=~finite)


def rank_fraction(values: np.ndarray) -> np.ndarray:
    """Rank of each value among the finite ones, 0 (smallest) to 1 (largest); ties share; NaN stays."""
    from scipy.stats import rankdata

    out = np.full(len(values), np.nan)
    finite = np.isfinite(values)
    count = int(finite.sum())
    if count:
        out[finite] = (rankdata(values[finite]) - 1) / max(count - 1, 1)
    return out


def _scores_by_method(
    vectors: np.ndarray, usable: np.ndarray, methods: Sequence[str], seed: int
) -> dict[str, np.ndarray]:
    points = principal_components(vectors[usable], _COMPONENTS)
    out = {}
    for name in methods:
        if name not in METHODS:
            msg = f"unknown outlier method {name!r}; there are {', '.join(METHODS)}"
            raise InputError(msg)
        values = np.full(len(usable), np.nan)
        values[usable] = METHODS[name](vectors[usable] if name == "conditional" else points, seed)
        out[name] = values
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


def conditional_outlier_score(vectors: np.ndarray) -> np.ndarray:
    """How unusual each galaxy is among galaxies of similar main properties.

    The first 5 whitened principal components follow the main properties (brightness, size, roundness). A
    quadratic in these predicts the components 6 to 64; a second one predicts the logarithm of the squared
    residual. The score is the logarithm of the squared residual minus that prediction. So galaxies that
    are bright, large or saturated, and hence far from most others, are compared with similar ones.

    Parameters
    ----------
    vectors : (N, D) array
        Finite.

    Returns
    -------
    (N,) float64
        Larger is more unusual. All 0 if there are at most 5 components, or fewer than four galaxies per
        coefficient.
    """
    whitened = fit_scaling(vectors, "whiten", components=_LAST)(vectors).astype(np.float64)
    main, rest = whitened[:, :_PREDICTORS], whitened[:, _PREDICTORS:]
    products = [main[:, [i]] * main[:, i:] for i in range(main.shape[1])]
    terms = np.concatenate([np.ones((len(main), 1)), main, *products], axis=1)
    if rest.shape[1] == 0 or len(terms) < 4 * terms.shape[1]:
        return np.zeros(len(vectors))
    residual = rest - terms @ np.linalg.lstsq(terms, rest, rcond=None)[0]
    log_square = np.log(np.maximum((residual**2).sum(axis=1), 1e-9))
    return np.asarray(log_square - terms @ np.linalg.lstsq(terms, log_square, rcond=None)[0])


def _conditional(vectors: np.ndarray, seed: int) -> np.ndarray:
    return conditional_outlier_score(vectors)


METHODS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "isolation_forest": _isolation_forest,
    "lof": _local_outlier_factor,
    "knn": _knn_distance,
    "conditional": _conditional,
}
"""Methods by name: (N, P) points and a seed to (N,) scores, larger = more unusual."""
