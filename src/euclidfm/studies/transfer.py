"""What a probe loses on galaxies unlike those it learned from, and what brings it back.

A probe learns on a *source* sample and is judged on a *target*: another depth, another survey, or
fainter galaxies than those with labels. Besides the plain probe stand one whose source
galaxies are drawn by importance weights, one that saw altered source galaxies (more noise,
dimmed), one with a few labels of the target added, and one that learned on the target itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.records import Record
from euclidfm.tasks.evaluation import evaluate
from euclidfm.tasks.heads import Scaler, make_head
from euclidfm.tasks.task import Task

__all__ = ["Sample", "importance_draw", "transfer"]

MOST_WEIGHT = 20.0
"""Largest importance weight, in units of the mean: a few galaxies must not carry all."""


@dataclass(frozen=True)
class Sample:
    """Labelled galaxies.

    Attributes
    ----------
    X : (n, d) array
        Vectors, NaN where there is none.
    y : (n,) array
        Labels in the task's unit.
    """

    X: np.ndarray
    y: np.ndarray

    def take(self, rows: np.ndarray) -> Sample:
        """Some of them."""
        return Sample(self.X[rows], self.y[rows])

    def __add__(self, other: Sample) -> Sample:
        """Both together."""
        return Sample(np.concatenate([self.X, other.X]), np.concatenate([self.y, other.y]))


def importance_draw(source: np.ndarray, target: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """Rows of the source drawn so that they resemble the target (which needs no labels).

    A logistic classifier tells target from source in the leading 16 components; the odds are the density
    ratio that covariate shift asks for (Shimodaira 2000; Sugiyama et al. 2012), cut at 20
    times their mean.

    Parameters
    ----------
    source, target : (n, d) and (m, d) arrays
    seed : int

    Returns
    -------
    rows : (n,) array of int
        Drawn with replacement by weight.
    effective : float
        Kish's effective number of source galaxies, ``(sum w)^2 / sum w^2``.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    both = np.concatenate([source, target])
    scaled = Scaler.of(both)(both)
    parts = PCA(min(16, *scaled.shape), random_state=seed).fit_transform(scaled)
    of_target = np.arange(len(both)) >= len(source)
    judge = LogisticRegression(max_iter=500, class_weight="balanced").fit(parts, of_target)
    weight = np.exp(np.clip(judge.decision_function(parts[: len(source)]), -30, 30))
    weight = np.minimum(weight, MOST_WEIGHT * weight.mean())
    weight /= weight.sum()
    rows = np.random.default_rng([seed, 31]).choice(len(source), len(source), p=weight)
    return np.sort(rows), float(1.0 / np.square(weight).sum())


def transfer(
    task: Task,
    source: Sample,
    target: Sample,
    *,
    local: Sample | None = None,
    altered: Mapping[str, Sample] | None = None,
    few: int = 100,
    head: str = "linear",
    seed: int = 0,
    resamples: int = 500,
    **identity: Any,
) -> list[Record]:
    """Judge on the target what was learned on the source.

    Parameters
    ----------
    task : Task
        A regression.
    source, target : Sample
    local : Sample, optional
        Labelled galaxies like the target's, none of them in it: the best that could be had.
    altered : dict of str to Sample, optional
        Source galaxies made like the target's (``noise added``); they join the source.
    few : int
        Labels of `local` that join the source in ``few labels``.
    head : str
    seed, resamples : int
    **identity
        Further fields of the records (source, target, inputs, ...).

    Returns
    -------
    list of Record
        ``method`` is how the probe was trained: ``as it is``, ``weighted``, the names of `altered`, ``few
        labels``, ``local labels``; n_train counts labels, for ``weighted`` the effective number.

    Raises
    ------
    InputError
        If the source or the target is empty, or the task is a classification.
    """
    if task.kind != "regression":
        msg = f"task {task.name!r} has classes; transfer is measured on regressions"
        raise InputError(msg)
    if not len(source.y) or not len(target.y):
        msg = f"task {task.name!r} has no labels in the source or the target; nothing to transfer"
        raise InputError(msg)
    rows, effective = importance_draw(source.X, target.X, seed)
    training = {"as it is": (source, len(source.y)), "weighted": (source.take(rows), round(effective))}
    training |= {name: (source + s, len(source.y)) for name, s in (altered or {}).items()}
    if local is not None:
        some = local.take(np.random.default_rng([seed, 37]).permutation(len(local.y))[:few])
        repeats = max(1, len(source.y) // (4 * max(len(some.y), 1)))  # a fifth of the training weight
        joined = source
        for _ in range(repeats):
            joined = joined + some
        training["few labels"] = (joined, len(source.y) + len(some.y))
        training["local labels"] = (local, len(local.y))
    records: list[Record] = []
    for method, (sample, n_train) in training.items():
        scaler = Scaler.of(sample.X)
        fitted = make_head(head, 0, seed)
        fitted.fit(scaler(sample.X), task.forward(sample.y))
        limits = task.forward(np.array([sample.y.min(), sample.y.max()]))
        p = task.inverse(np.clip(fitted.predict(scaler(target.X)), *limits))
        found = evaluate(task, p, target.y, resamples=resamples, method=method, n_train=n_train, seed=seed)
        records += [{**r, **identity} for r in found]
    return records
