"""Metrics of a ranking: relevant objects among the first k."""

from __future__ import annotations

import numpy as np

__all__ = ["precision_at_k", "recall_at_k"]


def _hits(score: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Expected number of relevant objects among the first k, ties broken at random."""
    score, relevant = np.asarray(score, float), np.asarray(relevant, float)
    if k < 1:
        msg = f"k must be at least 1, got {k}"
        raise ValueError(msg)
    n = score.shape[-1]
    bad = (np.isnan(score) | np.isnan(relevant)).any(axis=-1)
    if k >= n:
        return np.asarray(np.where(bad, np.nan, relevant.sum(axis=-1)))
    filled = np.where(np.isnan(score), -np.inf, score)
    limit = np.partition(filled, n - k, axis=-1)[..., n - k, None]  # k-th highest score
    above, level = filled > limit, filled == limit
    share = (k - above.sum(axis=-1)) / level.sum(axis=-1)
    hits = (relevant * above).sum(axis=-1) + share * (relevant * level).sum(axis=-1)
    return np.asarray(np.where(bad, np.nan, hits))


def precision_at_k(score: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Fraction of the k highest scores that are relevant.

    Parameters
    ----------
    score : (..., N) array
        Higher is first. Objects that tie at rank k count by their fraction of the remaining ranks, so that
        the order of the input does not matter.
    relevant : (..., N) array of 0 and 1
    k : int
        If k > N, N is used.

    Returns
    -------
    (...) array
        NaN if a score is NaN or there is no object.
    """
    n = np.shape(score)[-1]
    if n == 0:
        return np.full(np.shape(score)[:-1], np.nan)
    return np.asarray(_hits(score, relevant, k) / min(k, n))


def recall_at_k(score: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """Fraction of all relevant objects that are among the k highest scores.

    See `precision_at_k` for the parameters. NaN if nothing is relevant. If not every relevant object is
    labelled, this is the recall of the labelled ones only.
    """
    total = np.asarray(relevant, float).sum(axis=-1)
    if np.shape(score)[-1] == 0:
        return np.full(np.shape(score)[:-1], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, _hits(score, relevant, k) / total, np.nan))
