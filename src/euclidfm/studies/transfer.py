"""Transfer of a probe to galaxies unlike its training galaxies, and ways to improve it.

A probe learns on a *source* sample and is evaluated on a *target* sample: another depth, another survey, or
galaxies fainter than the labelled ones. The plain probe is compared with one whose source galaxies are drawn
by importance weights, one that also learns from altered source galaxies (more noise, dimmed), one with a few
labels of the target added, and one that learns on the target itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.records import Record
from euclidfm.tasks.evaluation import evaluate
from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.make import fit_head
from euclidfm.tasks.task import Task

__all__ = ["LabelledVectors", "importance_draw", "transfer"]

MOST_WEIGHT = 20.0
"""Largest importance weight in units of the mean, so that a few galaxies do not dominate."""


@dataclass(frozen=True)
class LabelledVectors:
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

    def take(self, rows: np.ndarray) -> LabelledVectors:
        """Some of them."""
        return LabelledVectors(self.X[rows], self.y[rows])

    def __add__(self, other: LabelledVectors) -> LabelledVectors:
        """Both together."""
        return LabelledVectors(np.concatenate([self.X, other.X]), np.concatenate([self.y, other.y]))


def importance_draw(source: np.ndarray, target: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """Rows of the source drawn so that they resemble the target, whose labels are not needed.

    A logistic classifier separates target and source in the leading 16 principal components. Its odds are the
    density ratio that corrects for covariate shift (Shimodaira 2000; Sugiyama et al. 2012). They are clipped
    at 20 times their mean.

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
    classifier = LogisticRegression(max_iter=500, class_weight="balanced").fit(parts, of_target)
    weight = np.exp(np.clip(classifier.decision_function(parts[: len(source)]), -30, 30))
    weight = np.minimum(weight, MOST_WEIGHT * weight.mean())
    weight /= weight.sum()
    rows = np.random.default_rng([seed, 31]).choice(len(source), len(source), p=weight)
    return np.sort(rows), float(1.0 / np.square(weight).sum())


def transfer(
    task: Task,
    source: LabelledVectors,
    target: LabelledVectors,
    *,
    local: LabelledVectors | None = None,
    altered: Mapping[str, LabelledVectors] | None = None,
    few: int = 100,
    head: str = "linear",
    seed: int = 0,
    resamples: int = 500,
    **identity: Any,
) -> list[Record]:
    """Fit probes on the source in several ways and evaluate them on the target.

    Parameters
    ----------
    task : Task
        A regression.
    source, target : LabelledVectors
    local : LabelledVectors, optional
        Labelled galaxies of the target's population, disjoint from it; they give the best possible result.
    altered : dict of str to LabelledVectors, optional
        Source galaxies altered to resemble the target, by name (``noise added``); they are added to the
        source.
    few : int
        Number of labels of `local` that are added to the source in ``few labels``.
    head : str
    seed, resamples : int
    **identity
        Further fields of the records (source, target, inputs, ...).

    Returns
    -------
    list of Record
        ``method`` names the training: ``as it is``, ``weighted``, the names of `altered`, ``few labels``,
        ``local labels``. ``n_train`` is the number of labels; for ``weighted`` it is the effective number.

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
    records: list[Record] = []
    for method, (train, n_train) in _training(source, target, local, altered or {}, few, seed).items():
        fitted = fit_head(head, train.X, task.forward(train.y), 0, seed)
        limits = (float(train.y.min()), float(train.y.max()))
        p = task.bounded_inverse(fitted.predict(target.X), limits)
        found = evaluate(task, p, target.y, resamples=resamples, method=method, n_train=n_train, seed=seed)
        records += [{**r, **identity} for r in found]
    return records


def _training(
    source: LabelledVectors,
    target: LabelledVectors,
    local: LabelledVectors | None,
    altered: Mapping[str, LabelledVectors],
    few: int,
    seed: int,
) -> dict[str, tuple[LabelledVectors, int]]:
    """Training galaxies and number of labels by method."""
    labels = len(source.y)
    rows, effective = importance_draw(source.X, target.X, seed)
    out = {"as it is": (source, labels), "weighted": (source.take(rows), round(effective))}
    out |= {name: (source + more, labels) for name, more in altered.items()}
    if local is not None:
        some = local.take(np.random.default_rng([seed, 37]).permutation(len(local.y))[:few])
        joined = source
        for _ in range(max(1, labels // (4 * max(len(some.y), 1)))):  # a fifth of the training weight
            joined = joined + some
        out["few labels"] = (joined, labels + len(some.y))
        out["local labels"] = (local, len(local.y))
    return out
