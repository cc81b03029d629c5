"""A probe on images that is taught by photometry: labels for unlabelled training galaxies that have an SED.

A teacher learns the few labels from the photometry. It labels the unlabelled training galaxies. The student,
which sees images alone, learns from the true labels and from the teacher's, whose weight follows from the
teacher's left-out error. The student is kept only if its left-out error on the labelled galaxies is smaller
by more than a standard error than that of a probe which was not taught. In each fold neither teacher nor
student knows the labels of the galaxies that are left out.

Shapes: n labelled and u unlabelled galaxies, k numbers of the student's blocks, p of the photometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from euclidfm.embeddings.table import PHOTOMETRY
from euclidfm.tasks.fusion.head import FittedFusion, FusionHead, fit_fusion
from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.logistic import stratified_folds

__all__ = ["Lesson", "fit_taught"]

FOLDS = 5
MOST = 3000
"""Largest number of unlabelled galaxies."""

FEWEST = 20
"""Smallest number of labelled galaxies with photometry from which a teacher learns."""

Blocks = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Lesson:
    """What teaching changed.

    Attributes
    ----------
    error, error_without : float
        Mean absolute left-out error on the learnt scale, with and without a teacher.
    standard_error : float
        Of the paired difference.
    weight : float
        Weight of a taught label; a true one has weight one.
    unlabelled : int
        Galaxies that the teacher labelled.
    used : bool
    """

    error: float
    error_without: float
    standard_error: float
    weight: float
    unlabelled: int
    used: bool

    def row(self) -> dict[str, Any]:
        """The lesson as JSON."""
        return asdict(self)


def fit_taught(
    blocks: Blocks,
    X: np.ndarray,
    photometry: np.ndarray,
    y: np.ndarray,
    more: np.ndarray,
    more_photometry: np.ndarray,
    seed: int = 0,
) -> tuple[FittedFusion, Lesson | None]:
    """Fit a fusion of images for a regression, taught if that lowers its left-out error.

    Parameters
    ----------
    blocks : sequence of (str, int)
        Blocks of the student.
    X, photometry : (n, k) and (n, p) arrays
        Numbers of the labelled galaxies; NaN where missing.
    y : (n,) array
        Targets on the learnt scale.
    more, more_photometry : (u, k) and (u, p) arrays
        Numbers of unlabelled *training* galaxies.
    seed : int
        Deals the folds and draws at most `MOST` unlabelled galaxies.

    Returns
    -------
    FittedFusion
    Lesson, optional
        None if there are too few galaxies with photometry.
    """
    plain = fit_fusion(blocks, X, y, seed=seed)
    known = np.flatnonzero(_seen(photometry))
    pool = np.flatnonzero(_seen(more_photometry) & np.isfinite(more).any(axis=1))
    if len(known) < FEWEST or len(pool) < FEWEST:
        return plain, None
    pool = np.sort(np.random.default_rng([seed, 31]).permutation(pool)[:MOST])
    more, more_photometry = more[pool], more_photometry[pool]
    fold = stratified_folds(np.zeros(len(y)), FOLDS, seed)
    left = {name: np.full(len(y), np.nan) for name in ("plain", "teacher", "taught")}
    for k in range(FOLDS):
        a, b = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        left["plain"][b] = fit_fusion(blocks, X[a], y[a], seed=seed).predict(X[b])
        left["teacher"][b] = _teacher(photometry[a], y[a], seed).predict(photometry[b])
    weight = _weight(left["plain"] - y, left["teacher"] - y)
    for k in range(FOLDS):
        a, b = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        taught = _teacher(photometry[a], y[a], seed).predict(more_photometry)
        left["taught"][b] = _student(blocks, X[a], y[a], more, taught, weight, seed).predict(X[b])
    lesson = _lesson(np.abs(left["taught"] - y), np.abs(left["plain"] - y), weight, len(more))
    if not lesson.used:
        return plain, lesson
    taught = _teacher(photometry, y, seed).predict(more_photometry)
    return _student(blocks, X, y, more, taught, weight, seed), lesson


def _seen(photometry: np.ndarray) -> np.ndarray:
    """Whether any flux of each galaxy was measured."""
    return np.asarray(np.isfinite(photometry[:, : photometry.shape[1] // 2]).any(axis=1))


def _teacher(photometry: np.ndarray, y: np.ndarray, seed: int) -> FittedFusion:
    rows = _seen(photometry)
    return fit_fusion([(PHOTOMETRY, photometry.shape[1])], photometry[rows], y[rows], seed=seed)


def _student(
    blocks: Blocks,
    X: np.ndarray,
    y: np.ndarray,
    more: np.ndarray,
    taught: np.ndarray,
    weight: float,
    seed: int,
) -> FittedFusion:
    head = FusionHead(blocks, seed=seed)
    both = np.concatenate([X, more])
    case = np.concatenate([np.ones(len(y)), np.full(len(more), weight)])
    head.fit(both, np.concatenate([y, np.clip(taught, y.min(), y.max())]), case)
    return FittedFusion(Scaler.of(head.numbers(both)), head)


def _weight(student: np.ndarray, teacher: np.ndarray) -> float:
    """Weight of a taught label: the scatter that images leave over the same plus the teacher's own.

    A taught label differs from the student's prediction by both scatters (variances s^2 and t^2), a true one
    by the first: the weight by inverse variance is ``s^2 / (s^2 + t^2)``.
    """
    s, t = (1.4826 * np.nanmedian(np.abs(r)) for r in (student, teacher))
    return float(s**2 / max(s**2 + t**2, 1e-300))


def _lesson(error: np.ndarray, without: np.ndarray, weight: float, unlabelled: int) -> Lesson:
    gain = (without - error)[np.isfinite(error) & np.isfinite(without)]
    scatter = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    return Lesson(
        error=float(np.nanmean(error)),
        error_without=float(np.nanmean(without)),
        standard_error=scatter,
        weight=weight,
        unlabelled=unlabelled,
        used=bool(gain.mean() > scatter),
    )
