"""Metrics of classification from probabilities.

Binary functions take ``(probability of the positive class, truth)`` of shape (..., N), truth
being 0 or 1, and work on the last axis. The decision threshold is p >= 0.5. A NaN in either
gives NaN, as does a metric that is undefined because a class (or a prediction) is absent.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from euclidfm.metrics.points import Metric

__all__ = [
    "BINARY",
    "MULTICLASS",
    "accuracy",
    "area_under_roc",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "class_balance",
    "f1",
    "false_positive_rate",
    "log_loss",
    "precision",
    "recall",
    "recall_of",
]

THRESHOLD = 0.5


def _counts(p: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """True positives, false positives, false negatives, true negatives, as (...) floats."""
    p, t = np.asarray(p, float), np.asarray(t, float)
    bad = (np.isnan(p) | np.isnan(t)).any(axis=-1)
    predicted, real = p >= THRESHOLD, t == 1
    out = [(a & b).sum(axis=-1).astype(float) for a in (predicted, ~predicted) for b in (real, ~real)]
    tp, fp, fn, tn = (np.where(bad, np.nan, x) for x in out)
    return tp, fp, fn, tn


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(b > 0, a / b, np.nan))


def class_balance(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Fraction of the truth that is positive, which is the precision of a random selection."""
    tp, fp, fn, tn = _counts(p, t)
    return _ratio(tp + fn, tp + fp + fn + tn)


def accuracy(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Fraction of correct predictions, ``(TP + TN) / N``."""
    tp, fp, fn, tn = _counts(p, t)
    return _ratio(tp + tn, tp + fp + fn + tn)


def balanced_accuracy(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Mean of the recalls of the two classes; 0.5 for a constant prediction."""
    tp, fp, fn, tn = _counts(p, t)
    return (_ratio(tp, tp + fn) + _ratio(tn, tn + fp)) / 2.0


def precision(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Purity, ``TP / (TP + FP)``; NaN without predicted positives."""
    tp, fp, _, _ = _counts(p, t)
    return _ratio(tp, tp + fp)


def recall(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Completeness, ``TP / (TP + FN)``; NaN without positives."""
    tp, _, fn, _ = _counts(p, t)
    return _ratio(tp, tp + fn)


def f1(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall, ``2 TP / (2 TP + FP + FN)``."""
    tp, fp, fn, _ = _counts(p, t)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def false_positive_rate(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Fraction of the negatives that are predicted positive, ``FP / (FP + TN)``."""
    _, fp, _, tn = _counts(p, t)
    return _ratio(fp, fp + tn)


def brier(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Brier score, ``mean (p - t)^2`` (Brier 1950, binary form): 0 best, 0.25 for p = 0.5."""
    d = (np.asarray(p, float) - np.asarray(t, float)) ** 2
    return np.asarray(d.mean(axis=-1)) if d.shape[-1] else np.full(d.shape[:-1], np.nan)


def log_loss(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Mean negative log likelihood in nats, probabilities clipped to [1e-7, 1 - 1e-7]."""
    p = np.clip(np.asarray(p, float), 1e-7, 1 - 1e-7)
    t = np.asarray(t, float)
    d = -(t * np.log(p) + (1 - t) * np.log1p(-p))
    return np.asarray(d.mean(axis=-1)) if d.shape[-1] else np.full(d.shape[:-1], np.nan)


def area_under_roc(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: probability that a positive outranks a negative; ties count half.

    ``AUC = (sum of the positives' ranks - n1 (n1 + 1) / 2) / (n1 n0)`` with mid-ranks
    (Mann & Whitney 1947). NaN if a class is absent.
    """
    p, t = np.asarray(p, float), np.asarray(t, float)
    if p.shape[-1] == 0:
        return np.full(p.shape[:-1], np.nan)
    bad = (np.isnan(p) | np.isnan(t)).any(axis=-1)
    positive = t == 1
    ranks = rankdata(np.where(np.isnan(p), 0.0, p), axis=-1)
    n1 = positive.sum(axis=-1).astype(float)
    n0 = p.shape[-1] - n1
    u = (ranks * positive).sum(axis=-1) - n1 * (n1 + 1) / 2
    return np.asarray(np.where(bad, np.nan, _ratio(u, n1 * n0)))


def average_precision(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Average precision, ``sum_k (R_k - R_{k-1}) P_k`` over the distinct thresholds, in decreasing order.

    There is no interpolation, and equal scores are included together. A random ranking gives the class
    balance. NaN without positives.
    """
    p, t = np.asarray(p, float), np.asarray(t, float)
    if p.shape[-1] == 0:
        return np.full(p.shape[:-1], np.nan)
    bad = (np.isnan(p) | np.isnan(t)).any(axis=-1)
    order = np.argsort(-np.where(np.isnan(p), 0.0, p), axis=-1, kind="stable")
    score = np.take_along_axis(p, order, -1)
    hits = np.take_along_axis((t == 1).astype(float), order, -1)
    n = p.shape[-1]
    # Last position of the group of equal scores that each position belongs to.
    ends = np.ones(score.shape, bool)
    ends[..., :-1] = score[..., :-1] != score[..., 1:]
    position = np.where(ends, np.arange(n), n)
    last = np.minimum.accumulate(position[..., ::-1], axis=-1)[..., ::-1].clip(0, n - 1)
    found = np.take_along_axis(hits.cumsum(axis=-1), last, -1)
    ap = _ratio((hits * found / (last + 1.0)).sum(axis=-1), hits.sum(axis=-1))
    return np.asarray(np.where(bad, np.nan, ap))


BINARY: dict[str, Metric] = {
    "auc": area_under_roc,
    "average_precision": average_precision,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "fpr": false_positive_rate,
    "brier": brier,
    "log_loss": log_loss,
    "class_balance": class_balance,
}
"""Metrics of a binary classifier by name, each ``(p, truth) -> number``."""


def _multiclass_accuracy(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    right = np.asarray(p).argmax(axis=-1) == np.asarray(t)
    return np.asarray(_or_nan(right.astype(float), p).mean(axis=-1))


def _multiclass_balanced(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    right = _or_nan((np.asarray(p).argmax(axis=-1) == np.asarray(t)).astype(float), p)
    recalls = []
    for c in range(np.asarray(p).shape[-1]):
        here = np.asarray(t) == c
        recalls.append(_ratio((right * here).sum(axis=-1), here.sum(axis=-1).astype(float)))
    stacked = np.stack(recalls)
    seen = np.isfinite(stacked)
    mean = _ratio(np.where(seen, stacked, 0.0).sum(axis=0), seen.sum(axis=0).astype(float))
    return np.asarray(np.where(np.isnan(right).any(axis=-1), np.nan, mean))


def recall_of(c: int) -> Metric:
    """Recall of one of several classes, ``((..., N, C) probabilities, (..., N) classes)``; NaN without it.

    An object is of the class with the largest probability.
    """

    def recall_of_class(p: np.ndarray, t: np.ndarray) -> np.ndarray:
        right = _or_nan((np.asarray(p).argmax(axis=-1) == np.asarray(t)).astype(float), p)
        here = np.asarray(t) == c
        return _ratio((right * here).sum(axis=-1), here.sum(axis=-1).astype(float))

    return recall_of_class


def _multiclass_log_loss(p: np.ndarray, t: np.ndarray) -> np.ndarray:
    mine = np.take_along_axis(np.asarray(p, float), np.asarray(t).astype(int)[..., None], -1)[..., 0]
    return np.asarray(-np.log(np.clip(mine, 1e-7, 1.0)).mean(axis=-1))


def _or_nan(value: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(np.asarray(p, float)).any(axis=-1), np.nan, value)


MULTICLASS: dict[str, Metric] = {
    "accuracy": _multiclass_accuracy,
    "balanced_accuracy": _multiclass_balanced,
    "log_loss": _multiclass_log_loss,
}
"""Metrics of more than two classes, each ``((..., N, C) probabilities, (..., N) class numbers)``;
balanced accuracy is the mean recall over the classes that occur."""
