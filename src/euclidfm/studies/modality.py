"""Comparison of sets of modalities: what images in the infrared and the SED add to one band.

The same head learns each task from each set of inputs, on the same galaxies, so that the sets can be compared
galaxy by galaxy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.ids import match_ids
from euclidfm.core.records import Record
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.metrics import bootstrap, paired_difference
from euclidfm.tasks.evaluation import evaluate, method_name
from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.make import fit_head
from euclidfm.tasks.heads.neighbours import NeighboursHead
from euclidfm.tasks.labels import check_labels, encoded_labels
from euclidfm.tasks.registry import get
from euclidfm.tasks.task import Task

__all__ = ["modality_study", "neighbour_purity"]

HEADLINE = {"photoz": "nmad", "mass": "nmad", "regression": "rmse", "classes": "average_precision"}
"""Metric by which sets of inputs are compared."""


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
    """Evaluate the same head on several sets of inputs.

    Parameters
    ----------
    embs : mapping of inputs to EmbeddingTable
        For example ``VIS``, ``VIS+NISP``, ``VIS+NISP+SED``; the first is the reference of the
        gains. Only objects with a vector in every table are used.
    labels : table
    tasks : sequence of str
    head : str
    neighbours : int
        Number k of neighbours in the neighbour purity.
    resamples : int
    seed : int

    Returns
    -------
    list of Record
        All metrics of each task and set of inputs. For two classes also ``neighbour_purity``. For all sets
        but the first ``gain_<metric>``, its value minus that of the first on the same resampled galaxies
        (the interval excludes 0 if the sets differ).

    Raises
    ------
    InputError
        If no object has a vector in every table, or labels are missing.
    """
    common = _common(embs)
    records: list[Record] = []
    for task in map(get, tasks):
        first: np.ndarray | None = None
        for name, table in embs.items():
            emb = table.take(match_ids(common, table.object_id))
            data = _split(task, emb, labels)
            fitted = fit_head(head, data.train, task.forward(data.y), len(data.classes), seed)
            limits = (float(data.y.min()), float(data.y.max()))
            p = task.bounded_inverse(fitted.predict(data.test), limits)
            identity = {"method": method_name(head), "inputs": name, "n_train": len(data.y), "seed": seed}
            rows = evaluate(task, p, data.truth, classes=len(data.classes), resamples=resamples, **identity)
            base = {**rows[0]}
            if len(data.classes) == 2:
                rows.append({**base, **_purity(data, fitted.scaler, neighbours, resamples)})
                p = p[:, 1]
            if first is None:
                first = p
            elif p.ndim == 1:
                rows.append({**base, **_gain(task, p, first, data, resamples)})
            records += rows
    return records


@dataclass(frozen=True)
class _Split:
    """Vectors and labels of one task: training galaxies, then test galaxies."""

    train: np.ndarray
    y: np.ndarray
    test: np.ndarray
    truth: np.ndarray
    classes: tuple[str, ...]


def _split(task: Task, emb: EmbeddingTable, labels: Any) -> _Split:
    y, classes = encoded_labels(task, emb.object_id, labels, emb.split == "train")
    train = np.flatnonzero((emb.split == "train") & np.isfinite(y))
    test = np.flatnonzero((emb.split == "test") & np.isfinite(y))
    check_labels(task, y[train], classes)
    return _Split(emb.vectors[train], y[train], emb.vectors[test], y[test], classes)


def _purity(data: _Split, scaler: Scaler, neighbours: int, resamples: int) -> Record:
    """The fields of `neighbour_purity` of the positive test galaxies."""
    queries = scaler(data.test)[data.truth == 1]
    purity = neighbour_purity(scaler(data.train), data.y, queries, neighbours)
    interval = bootstrap(lambda x: x.mean(axis=-1), purity, resamples=resamples)
    return {"metric": "neighbour_purity", **interval.__dict__}


def _gain(task: Task, p: np.ndarray, first: np.ndarray, data: _Split, resamples: int) -> Record:
    """The fields of the difference to the first set of inputs, on the same resampled galaxies."""
    metric = HEADLINE[task.family]
    function = task.metrics(len(data.classes))[metric]
    gain = paired_difference(function, p, first, data.truth, resamples=resamples)
    return {"metric": f"gain_{metric}", **gain.__dict__}


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
        Random neighbours would have the class balance.
    """
    if not len(queries):
        return np.empty(0)
    index = NeighboursHead()
    index.features = train.astype(np.float32)
    near, _ = index.search(queries, k)
    return np.asarray(truth[near].mean(axis=1))


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
