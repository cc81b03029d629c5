"""Results in the long form: one record for each number, the same for studies, probes and discovery."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.files import read_json

__all__ = ["Record", "make_record", "read_records", "summarise"]

Record = dict[str, Any]
"""``{task, method, inputs, fraction, n_train, n_test, seed, metric, value, low, high}``;
`low` and `high` are the 68% bootstrap interval over test galaxies."""


def make_record(
    *,
    task: str,
    metric: str,
    value: float,
    low: float,
    high: float,
    n_test: int,
    method: str = "",
    inputs: str = "",
    fraction: float | None = 1.0,
    n_train: int = 0,
    seed: int = 0,
    **more: Any,
) -> Record:
    """One record, with its fields in the usual order.

    Parameters
    ----------
    task, metric : str
    value, low, high : float
        The number and its 68% bootstrap interval.
    n_train, n_test : int
        Number of training labels and of test galaxies.
    method : str
        What predicted, such as ``probe`` or ``booster``.
    inputs : str
        What the method was given, such as ``VIS+NISP+SED``.
    fraction : float or None
        Fraction of the training labels that was used.
    seed : int
    **more
        Further fields, added at the end.
    """
    identity = {"task": task, "method": method, "inputs": inputs, "fraction": fraction}
    size = {"n_train": n_train, "n_test": n_test, "seed": seed}
    return {**identity, **size, "metric": metric, "value": value, "low": low, "high": high, **more}


def read_records(path: str | Path) -> list[Record]:
    """Records of a JSON file; null becomes NaN."""
    return [{k: float("nan") if v is None else v for k, v in r.items()} for r in read_json(path)]


def summarise(records: Iterable[Mapping[str, Any]]) -> list[Record]:
    """Mean and scatter over the repeats of each task, method, inputs, fraction and metric.

    Returns
    -------
    list of dict
        `value` is the mean over seeds; `scatter` their standard deviation (NaN for one);
        `low` and `high` the means of the bootstrap limits (the uncertainty due to the finite test
        set); `repeats` their number.
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
