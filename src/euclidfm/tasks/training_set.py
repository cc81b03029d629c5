"""From an embedding table and a table of labels to the arrays that a head is fitted to.

Shapes: n labelled galaxies, d features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.tasks.labels import check_labels, encoded_labels, true_labels
from euclidfm.tasks.spaces import choose_space, features_of, spaces_of
from euclidfm.tasks.task import Task

__all__ = ["LabelledSet", "labelled_set", "training_set"]


@dataclass(frozen=True)
class LabelledSet:
    """Galaxies that have a label and a vector.

    Attributes
    ----------
    rows : (n,) array of int
        Rows of the embedding table.
    X : (n, d) array
        Vectors, NaN where a modality is missing.
    y : (n,) array
        Labels in the task's unit, or class numbers.
    classes : tuple of str
        Empty for a regression.
    use : tuple of str
        Names of the vectors: ``joint``, or modalities.
    """

    rows: np.ndarray
    X: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    use: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> LabelledSet:
        """Some of the galaxies."""
        return replace(self, rows=self.rows[rows], X=self.X[rows], y=self.y[rows])

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest label."""
        return float(self.y.min()), float(self.y.max())


def training_set(
    task: Task,
    emb: EmbeddingTable,
    labels: Any,
    *,
    use: tuple[str, ...] = ("auto",),
    seed: int = 0,
) -> LabelledSet:
    """Labelled galaxies of split ``train`` with the vectors to learn from.

    Parameters
    ----------
    task : Task
    emb : EmbeddingTable
    labels : pyarrow or astropy table, pandas frame or mapping
    use : tuple of str
        ``auto`` chooses the joint vectors or those of one modality by cross-validation.
    seed : int
        Draws the galaxies on which the vectors are compared.

    Raises
    ------
    InputError
        If there is nothing to learn from: no galaxy, no label, one class only, a constant.
    """
    rows = np.flatnonzero(emb.split == "train")
    if not len(rows):
        msg = "no galaxy of the embedding table is in split 'train'; embed the training galaxies too"
        raise InputError(msg)
    train = emb.take(rows)
    y, classes = encoded_labels(task, train.object_id, labels)
    if use == ("auto",):
        good = np.isfinite(y) & np.isfinite(train.vectors).any(axis=1)
        check_labels(task, y[good], classes)
        spaces = {name: vectors[good] for name, vectors in spaces_of(train).items()}
        use = (choose_space(spaces, task.forward(y[good]), seed),)
    found = _with_both(rows, features_of(train, use), y, classes, use)
    check_labels(task, found.y, classes)
    return found


def labelled_set(
    task: Task, emb: EmbeddingTable, labels: Any, split: str, use: tuple[str, ...]
) -> LabelledSet:
    """Galaxies of a split that have a value of a regression and the given vectors."""
    rows = np.flatnonzero(emb.split == split)
    here = emb.take(rows)
    y = true_labels(task, (), here.object_id, labels)
    return _with_both(rows, features_of(here, use), y, (), use)


def _with_both(
    rows: np.ndarray, X: np.ndarray, y: np.ndarray, classes: tuple[str, ...], use: tuple[str, ...]
) -> LabelledSet:
    good = np.isfinite(y) & np.isfinite(X).any(axis=1)
    return LabelledSet(rows[good], X[good], y[good], classes, use)
