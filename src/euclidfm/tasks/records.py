"""Long-form results: one record a number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from euclidfm.metrics import bootstrap_all, finite_pairs
from euclidfm.tasks.task import Task

__all__ = ["Record", "evaluate", "summarise"]

Record = dict[str, Any]
"""``{task, method, inputs, fraction, n_train, n_test, seed, metric, value, low, high}``;
`low` and `high` are the 68% bootstrap interval over test galaxies."""


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
        Pairs with NaN in either are left out; `n_test` counts those that remain.
    classes : int
        Number of classes C of a classification.
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
        {
            "task": task.name,
            "method": identity.get("method", ""),
            "inputs": identity.get("inputs", ""),
            "fraction": identity.get("fraction", 1.0),
            "n_train": identity.get("n_train", 0),
            "n_test": len(truth),
            "seed": identity.get("seed", 0),
            "metric": name,
            "value": i.value,
            "low": i.low,
            "high": i.high,
        }
        for name, i in intervals.items()
    ]


def summarise(records: Iterable[Mapping[str, Any]]) -> list[Record]:
    """Mean and scatter over the repeats of each task, method, inputs, fraction and metric.

    Returns
    -------
    list of dict
        `value` is the mean over seeds; `scatter` their standard deviation (NaN for one);
        `low` and `high` the means of the bootstrap limits (what the finite test set leaves
        open); `repeats` their number.
    """
    groups: dict[tuple, list[Mapping[str, Any]]] = defaultdict(list)
    for r in records:
        groups[(r["task"], r["method"], r["inputs"], r["fraction"], r["metric"])].append(r)
    out = []
    for (task, method, inputs, fraction, metric), rs in groups.items():
        columns = {
            k: np.array([np.nan if r[k] is None else r[k] for r in rs], float)
            for k in ("value", "low", "high")
        }
        out.append(
            {
                "task": task,
                "method": method,
                "inputs": inputs,
                "fraction": fraction,
                "n_train": rs[0]["n_train"],
                "n_test": rs[0]["n_test"],
                "repeats": len(rs),
                "metric": metric,
                **{k: float(v.mean()) for k, v in columns.items()},
                "scatter": float(columns["value"].std(ddof=1)) if len(rs) > 1 else float("nan"),
            }
        )
    return out
