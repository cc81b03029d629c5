"""Metrics of a task's predictions, as long-form records."""

from __future__ import annotations

from typing import Any

import numpy as np

from euclidfm.core.records import Record, make_record
from euclidfm.metrics import bootstrap_all, finite_pairs
from euclidfm.tasks.task import Task

__all__ = ["evaluate", "method_name"]


def evaluate(
    task: Task,
    prediction: np.ndarray,
    truth: np.ndarray,
    *,
    classes: int = 0,
    resamples: int = 500,
    **identity: Any,
) -> list[Record]:
    """Records of all metrics of a task.

    Parameters
    ----------
    task : Task
    prediction : (n,) values, or (n, C) probabilities
    truth : (n,) labels or class numbers
        Pairs with a NaN are dropped; `n_test` counts those that remain.
    classes : int
        Number of classes C, 0 for a regression.
    resamples : int
        Bootstrap samples.
    **identity
        The other fields of the record: method, inputs, fraction, n_train, seed.
    """
    if classes == 2:
        prediction = prediction[:, 1]
    prediction, truth = finite_pairs(prediction, truth)
    intervals = bootstrap_all(task.metrics(classes), prediction, truth, resamples=resamples)
    return [
        make_record(
            task=task.name, metric=name, value=i.value, low=i.low, high=i.high, n_test=len(truth), **identity
        )
        for name, i in intervals.items()
    ]


def method_name(head: str) -> str:
    """Name of a head in the records: ``probe`` for the linear one, else ``probe-<head>``."""
    return "probe" if head == "linear" else f"probe-{head}"
