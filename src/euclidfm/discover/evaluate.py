"""How good search and outlier ranking are, against what is known and against chance.

Both return records in the long form of all results (one record a number), with the
columns `kind` and `base_rate` added.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.records import Record, make_record
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
        base_rate = (len(members) - 1) / (len(index) - 1)
        for size in k:
            shares = same[:, :size].mean(axis=1)
            share = bootstrap(_mean, shares, seed=seed)
            records.append(
                make_record(
                    task="search",
                    method="cosine",
                    inputs=index.space,
                    fraction=None,
                    n_test=len(queries),
                    seed=seed,
                    metric=f"purity@{size}",
                    value=share.value,
                    low=share.low,
                    high=share.high,
                    kind=name,
                    members=len(members),
                    base_rate=base_rate,
                    lift=share.value / base_rate,
                    ceiling=min(1.0, (len(members) - 1) / min(size, len(index) - 1)),
                )
            )
    return records


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
        Fraction of the galaxies that is looked at (at least one galaxy).
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
    looked_at = max(1, round(top * int(usable.sum())))
    base_rate = float(rare[usable].mean())
    names = [
        "score",
        *(n for n in scores.column_names if n not in ("object_id", "score", "rank", "artefact")),
    ]
    records: list[Record] = []
    for name in names:
        values = scores.column(name).to_numpy()[usable]
        first = np.argsort(-values, kind="stable")[:looked_at]
        chosen = np.isin(np.arange(len(values)), first)
        hits = chosen[rare[usable]]
        recall = bootstrap(_mean, hits.astype(float), seed=seed)
        count = len(hits)
        factors = {"recall": 1.0, "precision": count / looked_at, "lift": count / looked_at / base_rate}
        records += [
            make_record(
                task="outliers",
                method="ensemble" if name == "score" else name,
                inputs=inputs,
                fraction=None,
                n_test=int(usable.sum()),
                seed=seed,
                metric=f"{metric}@{top:g}",
                value=recall.value * factor,
                low=recall.low * factor,
                high=recall.high * factor,
                kind=kind,
                members=count,
                looked_at=looked_at,
                base_rate=base_rate,
            )
            for metric, factor in factors.items()
        ]
    return records


def _mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=-1))
