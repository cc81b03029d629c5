"""Probability that an object is an artefact, and rankings with likely artefacts last.

The probability comes from a logistic regression on the embedding and on the numbers of
`euclidfm.discover.quality`, trained where artefacts are known (mock skies, or objects marked by eye).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.discover.outliers import rank_column, rank_fraction
from euclidfm.discover.quality import store_quality
from euclidfm.discover.space import finite_rows, principal_components
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.store.reader import GalaxyStore

__all__ = ["artefact_score", "artefacts_last", "screened"]

_COMPONENTS = 32
_FOLDS = 5


def artefact_score(
    emb: EmbeddingTable,
    is_artefact: np.ndarray,
    *,
    quality: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Probability that each object is an artefact.

    Parameters
    ----------
    emb : EmbeddingTable
    is_artefact : (N,) array
        1 or 0 where known, NaN where not.
    quality : (N, F) array, optional
        Of `euclidfm.discover.quality.store_quality`; NaN is replaced by the median, with an indicator column.
    seed : int
        Seed of the folds.

    Returns
    -------
    (N,) float64
        An object with a known label is scored out of fold (five folds). NaN if there is neither an
        embedding nor a known quality.
    """
    truth = np.asarray(is_artefact, float)
    if len(truth) != len(emb):
        msg = f"{len(truth)} labels for {len(emb)} objects"
        raise InputError(msg)
    features, usable = _features(emb, quality)
    known = np.flatnonzero(np.isfinite(truth) & usable)
    count = int((truth[known] > 0.5).sum())
    if count < 2 or len(known) - count < 2:
        have = f"there are {count} artefacts among {len(known)}"
        msg = f"an artefact score needs two known examples each of artefacts and of other objects; {have}"
        raise InputError(msg)
    from sklearn.model_selection import StratifiedKFold

    target = truth[known] > 0.5
    out = np.full(len(emb), np.nan)
    out[usable] = _fit(features[known], target).predict_proba(features[usable])[:, 1]
    folds = StratifiedKFold(min(_FOLDS, count, len(known) - count), shuffle=True, random_state=seed)
    for inside, outside in folds.split(known, target):
        fitted = _fit(features[known[inside]], target[inside])
        out[known[outside]] = fitted.predict_proba(features[known[outside]])[:, 1]
    return out


def screened(scores: pa.Table, artefact: np.ndarray, limit: float = 0.5) -> pa.Table:
    """Outlier scores with the likely artefacts ranked last.

    Parameters
    ----------
    scores : pyarrow.Table
        Of `outlier_scores`.
    artefact : (N,) array
        Probabilities in the same order; NaN counts as no artefact.
    limit : float
        Probability above which an object is ranked last.

    Returns
    -------
    pyarrow.Table
        The same columns with new `rank` and `score` (0 to 1 by the new order) and the
        column `artefact`.
    """
    score = scores.column("score").to_numpy()
    last = np.nan_to_num(artefact) > limit
    score = rank_fraction(score - 2.0 * last)
    table = scores.set_column(scores.column_names.index("score"), "score", pa.array(score))
    table = table.set_column(scores.column_names.index("rank"), "rank", rank_column(score))
    return table.append_column("artefact", pa.array(np.asarray(artefact, float)))


def artefacts_last(
    scores: pa.Table, emb: EmbeddingTable, store: GalaxyStore, seed: int = 0, progress: Progress = silent
) -> pa.Table:
    """Outlier scores with likely artefacts last, learned from the artefacts that a store knows.

    Parameters
    ----------
    scores : pyarrow.Table
        Of `outlier_scores`, in the order of `emb`.
    emb : EmbeddingTable
    store : GalaxyStore
        Of the same galaxies. Its column ``kind`` says which are artefacts (``artefact``) and which are not;
        an empty string is unknown.
    seed : int
        Seed of the folds.
    progress : callable, optional
        Of measuring the quality of the cutouts.

    Returns
    -------
    pyarrow.Table
        Of `screened`; `scores` as they are if the store does not know two artefacts and two other objects.
    """
    if "kind" not in store.index.column_names:
        return scores
    kind = emb.column_of(store.index, "kind").astype(str)
    known = np.where(kind == "", np.nan, kind == "artefact")
    if not 2 <= np.nansum(known) <= len(kind) - 2:
        return scores
    quality = None
    if store.info.image_bands:
        numbers, ids = store_quality(store, progress=progress), store.column("object_id")
        columns = [emb.column_of({"object_id": ids, "quality": column}, "quality") for column in numbers.T]
        quality = np.stack(columns, axis=1)
    return screened(scores, artefact_score(emb, known, quality=quality, seed=seed))


def _features(emb: EmbeddingTable, quality: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    embedded = finite_rows(emb.vectors)
    points = np.zeros((len(emb), 0), np.float32)
    if embedded.any():
        components = principal_components(emb.vectors[embedded], _COMPONENTS)
        points = np.zeros((len(emb), components.shape[1]), np.float32)
        points[embedded] = components
    if quality is None:
        return points, embedded
    known = np.isfinite(quality)
    filled = np.array(quality, np.float64)
    for j in range(filled.shape[1]):
        column = filled[:, j]
        column[~known[:, j]] = np.median(column[known[:, j]]) if known[:, j].any() else 0.0
    features = np.concatenate([points, filled, filled**2, ~known], axis=1)
    return features.astype(np.float64), np.asarray(embedded | known.any(axis=1))


def _fit(features: np.ndarray, target: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=500)).fit(features, target)
