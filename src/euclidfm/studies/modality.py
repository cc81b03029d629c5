"""The modality study: what infrared and the SED add for stars, edge-ons and redshifts.

For each set of inputs (embeddings from one checkpoint with modalities withheld, or from
separately trained models) the same probe answers the same questions on the same galaxies, and
each set is compared with the first one galaxy by galaxy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.ids import match_ids
from euclidfm.core.records import Record
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.metrics import bootstrap, paired_difference
from euclidfm.tasks.evaluation import evaluate
from euclidfm.tasks.heads import Scaler, make_head
from euclidfm.tasks.heads.neighbours import NeighboursHead
from euclidfm.tasks.probe import check_labels, method_name
from euclidfm.tasks.registry import get
from euclidfm.tasks.task import Task

__all__ = ["modality_study", "neighbour_purity"]

HEADLINE = {"photoz": "nmad", "mass": "nmad", "regression": "rmse", "classes": "average_precision"}
"""Metric in which sets of inputs are compared."""


def modality_study(
    embs: Mapping[str, EmbeddingTable],
    labels: Any,
    *,
    tasks: Sequence[str] = ("star", "edge_on"),
    head: str = "linear",
    neighbours: int = 10,
    resamples: int = 500,
    seed: int = 0,
) -> list[Record]:
    """Compare sets of inputs.

    Parameters
    ----------
    embs : mapping of inputs to EmbeddingTable
        For example ``VIS``, ``VIS+NISP``, ``VIS+NISP+SED``; the first is the reference of the
        gains. Only objects with a vector in every table take part.
    labels : table
    tasks : sequence of str
    head : str
    neighbours : int
        k of the neighbour purity.
    resamples : int
    seed : int

    Returns
    -------
    list of Record
        All metrics of each task and set of inputs; for two classes also ``neighbour_purity``; and
        ``gain_<metric>``, the set's value minus the first one's on the same resampled galaxies
        (its interval excludes 0 where the sets differ).

    Raises
    ------
    InputError
        If no object has a vector in every table, or labels are missing.
    """
    names = list(embs)
    common = _common(embs)
    records: list[Record] = []
    for task in map(get, tasks):
        first: np.ndarray | None = None
        for name in names:
            emb = embs[name].take(match_ids(common, embs[name].object_id))
            y, classes = _targets(task, emb, labels)
            train = np.flatnonzero((emb.split == "train") & np.isfinite(y))
            test = np.flatnonzero((emb.split == "test") & np.isfinite(y))
            check_labels(task, y[train], classes)
            who: dict[str, Any] = {
                "method": method_name(head),
                "inputs": name,
                "n_train": len(train),
                "seed": seed,
            }
            scaler = Scaler.of(emb.vectors[train])
            a, b = scaler(emb.vectors[train]), scaler(emb.vectors[test])
            fitted = make_head(head, len(classes), seed)
            fitted.fit(a, y[train] if classes else task.forward(y[train]))
            p = fitted.predict(b)
            if not classes:
                p = task.inverse(np.clip(p, *task.forward(np.array([y[train].min(), y[train].max()]))))
            rows = evaluate(task, p, y[test], classes=len(classes), resamples=resamples, **who)
            base = {**rows[0]}
            if len(classes) == 2:
                purity = neighbour_purity(a, y[train], b[y[test] == 1], neighbours)
                interval = bootstrap(lambda x: x.mean(axis=-1), purity, resamples=resamples)
                rows.append({**base, "metric": "neighbour_purity", **interval.__dict__})
                p = p[:, 1]
            if first is None:
                first = p
            elif p.ndim == 1:
                metric = HEADLINE[task.family]
                gain = paired_difference(
                    task.metrics(len(classes))[metric], p, first, y[test], resamples=resamples
                )
                rows.append({**base, "metric": f"gain_{metric}", **gain.__dict__})
            records += rows
    return records


def neighbour_purity(train: np.ndarray, truth: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Fraction of positives among the k nearest training objects of each query.

    Parameters
    ----------
    train : (n, d) scaled vectors
    truth : (n,) array of 0 and 1
    queries : (m, d) scaled vectors of positives
    k : int

    Returns
    -------
    (m,) array
        Compare with the class balance, which neighbours at random would have.
    """
    if not len(queries):
        return np.empty(0)
    index = NeighboursHead()
    index.features = train.astype(np.float32)
    near, _ = index.search(queries, k)
    return np.asarray(truth[near].mean(axis=1))


def _targets(task: Task, emb: EmbeddingTable, labels: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    y = task.raw_labels(emb, labels)
    if task.kind == "regression":
        return y.astype(float), ()
    classes = task.classes_of(y[emb.split == "train"])
    return task.encode(y, classes), classes


def _common(embs: Mapping[str, EmbeddingTable]) -> np.ndarray:
    """Sorted ids of the objects that have a vector in every table."""
    if not embs:
        msg = "the modality study needs at least one embedding table"
        raise InputError(msg)
    common: np.ndarray | None = None
    for emb in embs.values():
        ids = emb.object_id[np.isfinite(emb.vectors).any(axis=1)]
        common = np.unique(ids) if common is None else np.intersect1d(common, ids)
    assert common is not None
    if not len(common):
        msg = "no object has a vector in every embedding table; embed the same store for each"
        raise InputError(msg)
    return common
