"""Study of discovery where the true kinds are known: similarity search, outliers, ratings.

Every set of modalities is evaluated on the same objects: those that have an embedding in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.discover.artefacts import artefact_score, screened
from euclidfm.discover.evaluate import outlier_recall, similarity_purity
from euclidfm.discover.outliers import outlier_scores
from euclidfm.discover.ratings import ActiveConfig, simulate_user
from euclidfm.discover.space import finite_rows
from euclidfm.embeddings.table import EmbeddingTable

__all__ = ["StudyConfig", "discovery_study"]


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Settings of the study."""

    rarities: tuple[str, ...] = ("ring", "merger", "lens")
    """Kinds that count as rare for the outlier ranking and for the simulated user."""
    k: tuple[int, ...] = (10, 100)
    """Numbers of neighbours for the purity."""
    top: float = 0.01
    """Fraction of the objects, from the top of the ranking, for recall and precision."""
    looks: int = 200
    """Number of objects that the simulated user inspects."""
    most_masked: float = 0.02
    """Objects with a larger share of masked pixels (tile edges, lost columns) are not ranked."""
    split: str = "test"
    """Split that is evaluated; the artefact classifier is trained on the others."""
    seed: int = 0
    """Seed of forests, draws and bootstraps."""


def discovery_study(
    tables: Mapping[str, EmbeddingTable],
    labels: pa.Table,
    config: StudyConfig | None = None,
    *,
    surprise: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    quality: np.ndarray | None = None,
) -> dict[str, Any]:
    """Evaluate similarity search, outlier ranking and ratings against known kinds.

    Parameters
    ----------
    tables : dict of str to EmbeddingTable
        By the modalities given to the model, the largest set first; the same objects in the same order.
    labels : pyarrow.Table
        With object_id, ``kind`` (``artefact`` for artefacts), ``subtype``, ``flag_masked_fraction``.
    config : StudyConfig, optional
    surprise : dict of str to dict of str to (N,) array, optional
        For each set of modalities, scores of `surprise_scores`, in the order of the tables. They join
        the ensemble.
    quality : (N, F) array, optional
        Of `store_quality`, in the order of the tables.

    Returns
    -------
    dict
        ``search`` and ``outliers``: records in the long form; ``active``: the result of `simulate_user` with
        the first table; ``scores``: the outlier table of the evaluated objects for the first table
        (`pyarrow.Table`), with artefacts last.
    """
    config = config or StudyConfig()
    first = next(iter(tables.values()))
    if any(not np.array_equal(t.object_id, first.object_id) for t in tables.values()):
        msg = "the embedding tables do not hold the same objects in the same order; embed them from one store"
        raise InputError(msg)
    kind = first.column_of(labels, "subtype").astype(str)
    artefact = first.column_of(labels, "kind").astype(str) == "artefact"
    evaluated = first.split == config.split
    evaluated &= first.column_of(labels, "flag_masked_fraction") < config.most_masked
    for emb in tables.values():
        evaluated &= finite_rows(emb.vectors)
    known = np.where(first.split == config.split, np.nan, artefact.astype(float))
    out: dict[str, Any] = {"search": [], "outliers": [], "active": {}}
    for inputs, emb in tables.items():
        here, names = emb.take(evaluated), kind[evaluated]
        found = similarity_purity(here, names, k=config.k, seed=config.seed)
        out["search"] += [{**r, "inputs": inputs} for r in found]
        extra = {n: v[evaluated] for n, v in (surprise or {}).get(inputs, {}).items()}
        scores = outlier_scores(here, seed=config.seed, extra=extra)
        clean = scores
        if np.nansum(known) >= 2:
            probability = artefact_score(emb, known, quality=quality, seed=config.seed)
            clean = screened(scores, probability[evaluated])
        rare = np.isin(names, config.rarities)
        out["outliers"] += _recall(scores, clean, rare, inputs, config)
        if not out["active"] and rare.any():
            walk = simulate_user(here, clean, rare, looks=config.looks, config=ActiveConfig())
            out["active"] = {k: v.tolist() for k, v in walk.items()} | {"total": int(rare.sum())}
        out.setdefault("scores", clean)
    return out


def _recall(
    scores: pa.Table, clean: pa.Table, rare: np.ndarray, inputs: str, config: StudyConfig
) -> list[dict[str, Any]]:
    if not rare.any():
        return []
    how: dict[str, Any] = {
        "top": config.top,
        "seed": config.seed,
        "kind": "+".join(config.rarities),
        "inputs": inputs,
    }
    records = outlier_recall(scores, rare, **how)
    after = outlier_recall(clean.select(["object_id", "score", "rank"]), rare, **how)
    return records + [{**r, "method": "ensemble, artefacts last"} for r in after]
