"""Metrics of similarity search and outlier ranking where the true kinds are known.

Both functions return records (`euclidfm.core.records`) with the additional fields `kind` and
`base_rate`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.records import Record, make_record
from euclidfm.discover.outliers import outlier_methods
from euclidfm.discover.search import SimilarityIndex
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.metrics import bootstrap

__all__ = ["outlier_recall", "similarity_purity"]


def similarity_purity(
    emb: EmbeddingTable,
    kind: np.ndarray,
    *,
    k: Sequence[int] = (10, 100),
    n_queries: int = 200,
    seed: int = 0,
    space: str = "joint",
    index: SimilarityIndex | None = None,
    metrics: Sequence[str] = ("purity",),
) -> list[Record]:
    """Share of the same kind among the nearest k of known examples, for each kind.

    Parameters
    ----------
    emb : EmbeddingTable
    kind : (N,) array of str
        Kind of each galaxy; an empty string (not known) is neither a query nor a match, but
        may be a neighbour.
    k : sequence of int
    n_queries : int
        At most so many examples of a kind, drawn at random.
    seed : int
        Of the draw and of the bootstrap.
    space : str
        ``"joint"`` or a modality.
    index : SimilarityIndex, optional
        An index of `emb` to use (then `space` is the index's).
    metrics : sequence of str
        ``purity``, and ``ndcg`` for the normalised discounted cumulative gain.

    Returns
    -------
    list of dict
        Records of metric ``purity@k`` with `kind`, `base_rate` (share of the kind among all
        other galaxies), `lift` (value / base_rate) and `ceiling` (the largest share possible:
        a kind with 20 members can't fill 100 places); `low` and `high` are the 68%
        bootstrap interval over queries.
    """
    kind = np.asarray(kind).astype(str)
    if len(kind) != len(emb):
        msg = f"{len(kind)} kinds for {len(emb)} galaxies"
        raise InputError(msg)
    index = index or SimilarityIndex(emb, space=space)
    rng = np.random.default_rng(seed)
    records: list[Record] = []
    for name in sorted(set(kind) - {""}):
        members = np.flatnonzero((kind == name) & index.usable)
        if len(members) < 2:
            continue
        queries = np.sort(rng.permutation(members)[:n_queries])
        found, _ = index.nearest(queries, max(k))
        same = kind[found] == name
        for size in k:
            shares = {"purity": same[:, :size].mean(axis=1), "ndcg": _ndcg(same[:, :size], len(members) - 1)}
            for metric in metrics:
                record = _searched(name, size, shares[metric], len(members), index, seed)
                records.append({**record, "metric": f"{metric}@{size}"})
    return records


def _ndcg(same: np.ndarray, others: int) -> np.ndarray:
    """(Q,) gain of the nearest k, over that of a search that finds the `others` of the kind first."""
    k = same.shape[1]
    discount = 1.0 / np.log2(np.arange(k) + 2.0)
    return np.asarray((same * discount).sum(axis=1) / discount[: min(k, others)].sum())


def _searched(
    kind: str, k: int, shares: np.ndarray, members: int, index: SimilarityIndex, seed: int
) -> Record:
    """Record of the mean over the queries of a metric of the nearest k."""
    share = bootstrap(_mean, shares, seed=seed)
    base_rate = (members - 1) / (len(index) - 1)
    return make_record(
        task="search",
        method="cosine",
        inputs=index.space,
        fraction=None,
        n_test=len(shares),
        seed=seed,
        metric=f"purity@{k}",
        value=share.value,
        low=share.low,
        high=share.high,
        kind=kind,
        members=members,
        base_rate=base_rate,
        lift=share.value / base_rate,
        ceiling=min(1.0, (members - 1) / min(k, len(index) - 1)),
    )


def outlier_recall(
    scores: pa.Table,
    is_rare: np.ndarray,
    *,
    top: float = 0.01,
    seed: int = 0,
    kind: str = "rare",
    inputs: str = "joint",
) -> list[Record]:
    """Recall and precision of known rarities in the top of the outlier ranking, by method.

    Parameters
    ----------
    scores : pyarrow.Table
        From `outlier_scores`.
    is_rare : (N,) bool
        In the order of `scores`.
    top : float
        Fraction of the galaxies, from the top of the ranking (at least one galaxy).
    seed : int
        Of the bootstrap.
    kind, inputs : str
        Written to the records.

    Returns
    -------
    list of dict
        For the ensemble (method ``ensemble``) and each method, metrics ``recall``,
        ``precision`` and ``lift`` (precision over base rate), with the 68% bootstrap
        interval over the rare galaxies.
    """
    rare = np.asarray(is_rare, bool)
    if len(rare) != scores.num_rows:
        msg = f"{len(rare)} flags for {scores.num_rows} galaxies"
        raise InputError(msg)
    ensemble = scores.column("score").to_numpy()
    usable = np.isfinite(ensemble)
    if not rare[usable].any():
        msg = f"no galaxy of kind {kind!r} among the {usable.sum()} with a score: recall is not defined"
        raise InputError(msg)
    records: list[Record] = []
    for name in ["score", *outlier_methods(scores)]:
        values = scores.column(name).to_numpy()[usable]
        method = "ensemble" if name == "score" else name
        for r in _recall(values, rare[usable], top, seed):
            records.append(make_record(method=method, inputs=inputs, kind=kind, **r))
    return records


def _recall(values: np.ndarray, rare: np.ndarray, top: float, seed: int) -> list[Record]:
    """Recall, precision and lift of one method in the top of its ranking."""
    inspected = max(1, round(top * len(values)))
    first = np.argsort(-values, kind="stable")[:inspected]
    hits = np.isin(np.arange(len(values)), first)[rare]
    recall = bootstrap(_mean, hits.astype(float), seed=seed)
    count, base_rate = len(hits), float(rare.mean())
    factors = {"recall": 1.0, "precision": count / inspected, "lift": count / inspected / base_rate}
    return [
        {
            "task": "outliers",
            "fraction": None,
            "n_test": len(values),
            "seed": seed,
            "metric": f"{metric}@{top:g}",
            "value": recall.value * factor,
            "low": recall.low * factor,
            "high": recall.high * factor,
            "members": count,
            "looked_at": inspected,
            "base_rate": base_rate,
        }
        for metric, factor in factors.items()
    ]


def _mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=-1))
