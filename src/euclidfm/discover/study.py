"""What discovery finds where the truth is known: similarity, outliers, a person in the loop.

The same objects are judged in every set of modalities: those that have an embedding in all of them.
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
    """What is asked of the embeddings."""

    rarities: tuple[str, ...] = ("ring", "merger", "lens")
    """Kinds that outlier ranking should bring up, and that the simulated user is after."""
    k: tuple[int, ...] = (10, 100)
    """Neighbours looked at."""
    top: float = 0.01
    """Share of the objects at the top of the outlier ranking that is looked at."""
    looks: int = 200
    """Objects that the simulated user looks at."""
    most_masked: float = 0.02
    """Objects with a larger share of masked pixels (tile edges, lost columns) are not ranked."""
    split: str = "test"
    """Objects that are judged; artefacts are learned on the others."""
    seed: int = 0
    """Of forests, draws and bootstraps."""


def discovery_study(
    tables: Mapping[str, EmbeddingTable],
    labels: pa.Table,
    config: StudyConfig | None = None,
    *,
    surprise: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    quality: np.ndarray | None = None,
) -> dict[str, Any]:
    """Judge similarity search, outlier ranking and ratings against known kinds.

    Parameters
    ----------
    tables : dict of str to EmbeddingTable
        By the modalities that the model was shown, the fullest first; the same objects in the same order.
    labels : pyarrow.Table
        With object_id, ``kind`` (``artefact`` for artefacts), ``subtype``, ``flag_masked_fraction``.
    config : StudyConfig, optional
    surprise : dict of str to dict of str to (N,) array, optional
        For each set of modalities, scores of `surprise_scores`, in the order of the tables; they join
        the ensemble.
    quality : (N, F) array, optional
        Of `store_quality`, in the order of the tables.

    Returns
    -------
    dict
        ``search`` and ``outliers``: records in the long form; ``active``: the simulated user's finds with
        the fullest table; ``scores``: the fullest table's outlier table of the judged objects
        (`pyarrow.Table`), artefacts screened.
    """
    config = config or StudyConfig()
    first = next(iter(tables.values()))
    if any(not np.array_equal(t.object_id, first.object_id) for t in tables.values()):
        msg = "the embedding tables do not hold the same objects in the same order; embed them from one store"
        raise InputError(msg)
    kind = first.column_of(labels, "subtype").astype(str)
    artefact = first.column_of(labels, "kind").astype(str) == "artefact"
    judged = first.split == config.split
    judged &= first.column_of(labels, "flag_masked_fraction") < config.most_masked
    for emb in tables.values():
        judged &= finite_rows(emb.vectors)
    known = np.where(first.split == config.split, np.nan, artefact.astype(float))
    out: dict[str, Any] = {"search": [], "outliers": [], "active": {}}
    for inputs, emb in tables.items():
        here, names = emb.take(judged), kind[judged]
        found = similarity_purity(here, names, k=config.k, seed=config.seed)
        out["search"] += [{**r, "inputs": inputs} for r in found]
        extra = {n: v[judged] for n, v in (surprise or {}).get(inputs, {}).items()}
        scores = outlier_scores(here, seed=config.seed, extra=extra)
        clean = scores
        if np.nansum(known) >= 2:
            bad = artefact_score(emb, known, quality=quality, seed=config.seed)
            clean = screened(scores, bad[judged])
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
