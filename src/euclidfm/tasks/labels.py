"""Reading of a task's labels from a table, for given objects.

Shapes: N objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.tables import column_for, column_names
from euclidfm.tasks.task import Task

__all__ = ["check_labels", "encoded_labels", "read_labels", "true_labels"]

MINIMUM = 5
"""Smallest number of labelled training galaxies from which a head is fitted."""


def read_labels(task: Task, object_id: np.ndarray, table: Any, *, against: str = "") -> np.ndarray:
    """Labels of the given objects, matched by `object_id`.

    Parameters
    ----------
    task : Task
    object_id : (N,) array of int64
    table : pyarrow or astropy table, pandas frame or mapping
        With the columns ``object_id`` and those of one of the task's sources.
    against : str
        Use the source that reads this column instead of the first possible one.

    Returns
    -------
    (N,) array
        Numbers (NaN = unknown) or strings ("" = unknown).

    Raises
    ------
    InputError
        If columns are missing, an id stands twice, or a label is out of its range.
    """
    source = task.source(column_names(table), against)
    columns = {c: _tidy(column_for(object_id, table, c)) for c in source.columns}
    return task.labels_from(source, columns)


def encoded_labels(
    task: Task, object_id: np.ndarray, table: Any, train: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as numbers, and the names of the classes.

    Parameters
    ----------
    task, object_id, table
        As for `read_labels`.
    train : (N,) array of bool, optional
        Objects whose labels define the classes; default all.

    Returns
    -------
    y : (N,) float array
        Values, or class numbers; NaN = unknown.
    classes : tuple of str
        Empty for a regression.
    """
    y = read_labels(task, object_id, table)
    if task.kind == "regression":
        return y.astype(float), ()
    classes = task.classes_of(y if train is None else y[train])
    return task.encode(y, classes).astype(float), classes


def true_labels(
    task: Task, classes: Sequence[str], object_id: np.ndarray, table: Any, *, against: str = ""
) -> np.ndarray:
    """Labels as (N,) floats to evaluate against: values, or numbers of the given classes; NaN = unknown."""
    y = read_labels(task, object_id, table, against=against)
    return task.encode(y, classes) if classes else y.astype(float)


def check_labels(task: Task, y: np.ndarray, classes: Sequence[str] = ()) -> None:
    """Check that a head can learn from (n,) known labels.

    Raises
    ------
    InputError
        If there is no label, there are too few, or all are equal.
    """
    if not len(y):
        columns = " or ".join(" + ".join(s.columns) for s in task.sources)
        msg = (
            f"no training galaxy has a label of task {task.name!r} ({columns}); "
            "check that the object_id of labels and embeddings agree and that values are finite"
        )
        raise InputError(msg)
    if len(y) < MINIMUM:
        msg = f"task {task.name!r} has {len(y)} labelled training galaxies; at least {MINIMUM} are needed"
        raise InputError(msg)
    if len(np.unique(y)) < 2:
        what = f"all of class {classes[int(y[0])]!r}" if classes else f"all equal to {y[0]:g}"
        msg = f"the {len(y)} training labels of task {task.name!r} are {what}; there is nothing to learn"
        raise InputError(msg)


def _tidy(values: np.ndarray) -> np.ndarray:
    """Convert objects that are all numbers, booleans or None to floats; in text, None becomes ""."""
    if values.dtype.kind != "O":
        return values.astype(np.float64)
    missing = np.array([v is None or (isinstance(v, str) and v.strip() in ("", "--")) for v in values])
    known = values[~missing]
    if all(isinstance(v, bool | int | float | np.generic) and not isinstance(v, np.str_) for v in known):
        out = np.full(len(values), np.nan)
        out[~missing] = known.astype(np.float64)
        return out
    return np.array(["" if m else str(v) for v, m in zip(values, missing, strict=True)], dtype=object)
