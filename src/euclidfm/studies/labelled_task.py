"""The labelled galaxies of one task in a store, and the evaluation of one method on a subset of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.records import Record
from euclidfm.store import GalaxyStore
from euclidfm.studies.methods import PIXELS, Methods
from euclidfm.tasks.baselines.measured import MEASURED_METHODS
from euclidfm.tasks.evaluation import evaluate
from euclidfm.tasks.labels import check_labels, encoded_labels
from euclidfm.tasks.task import Task

__all__ = ["Cell", "LabelledTask", "nested_subsets"]


@dataclass(frozen=True)
class Cell:
    """One fit of the study: a method with its inputs, on one subset of one task's labels."""

    task: str
    method: str
    inputs: str
    fraction: float
    seed: int

    @property
    def key(self) -> str:
        """Name of the cell."""
        return "|".join(map(str, (self.task, self.method, self.inputs, self.fraction, self.seed)))


def nested_subsets(n: int, fractions: tuple[float, ...], seed: int) -> dict[float, np.ndarray]:
    """Rows 0 to n - 1 for each fraction: the first ``round(f n)`` of one random order.

    The rows of a smaller fraction are all among those of a larger one. A subset has at least 5 rows.
    """
    order = np.random.default_rng([seed, 7]).permutation(n)
    return {f: np.sort(order[: min(n, max(5, round(f * n)))]) for f in fractions}


@dataclass
class LabelledTask:
    """Labelled training and test galaxies of a task.

    Attributes
    ----------
    task : Task
    train, test : arrays of int
        Rows of the store.
    y, truth : arrays
        Labels of the training and of the test galaxies, in the task's unit or as class numbers.
    classes : tuple of str
    """

    task: Task
    train: np.ndarray
    test: np.ndarray
    y: np.ndarray
    truth: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(cls, task: Task, store: GalaxyStore, methods: Methods) -> LabelledTask | None:
        """The same galaxies for every method: those with a label and with vectors in every table.

        None if the store has no labels of the task.

        Raises
        ------
        InputError
            If the labels are too few to learn from or to evaluate.
        """
        names = store.index.column_names
        if not any(all(c in names for c in s.columns) for s in task.sources):
            return None
        split, embedded = store.column("split"), np.ones(len(store), bool)
        for inputs in methods.embs:
            embedded &= np.isfinite(methods.spaces(inputs)["joint"]).any(axis=1)
        y, classes = encoded_labels(
            task, store.column("object_id"), store.index, (split == "train") & embedded
        )
        train = np.flatnonzero((split == "train") & np.isfinite(y) & embedded)
        test = np.flatnonzero((split == "test") & np.isfinite(y) & embedded)
        if not len(train) and not len(test):
            return None
        check_labels(task, y[train], classes)
        if not len(test):
            msg = f"no galaxy of split 'test' has a label of task {task.name!r}; nothing to evaluate"
            raise InputError(msg)
        return cls(task, train, test, y[train], y[test], classes)

    def run(self, cell: Cell, methods: Methods, resamples: int) -> list[Record]:
        """Fit the method of a cell to its subset of the labels and evaluate it on all test galaxies."""
        subset = nested_subsets(len(self.train), (cell.fraction,), cell.seed)[cell.fraction]
        y = self.y[subset]
        prediction = self.task.bounded_inverse(
            self._predict(cell, methods, subset), (float(y.min()), float(y.max()))
        )
        return evaluate(
            self.task,
            prediction,
            self.truth,
            classes=len(self.classes),
            resamples=resamples,
            method=cell.method,
            inputs=cell.inputs,
            fraction=cell.fraction,
            n_train=len(subset),
            seed=cell.seed,
        )

    def _predict(self, cell: Cell, methods: Methods, subset: np.ndarray) -> np.ndarray:
        y, classes = self.y[subset], len(self.classes)
        if len(np.unique(y)) < 2:  # a tiny subset of one class: predict chance
            return np.full((len(self.test), classes), 1.0 / max(classes, 1))
        if cell.method in PIXELS:  # read the cutouts of all subsets at once
            rows = np.concatenate([self.train, self.test])
            methods.load_images(cell.inputs, rows, methods.normalise(cell.method))
        if cell.method in MEASURED_METHODS:
            methods.measured(cell.inputs, np.concatenate([self.train, self.test]))
        return methods.predict(
            cell.method,
            cell.inputs,
            self.train[subset],
            self.task.forward(y),
            self.test,
            classes,
            cell.seed,
        )
