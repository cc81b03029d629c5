"""Protocol of heads, and the scaling that they share.

Shapes: n galaxies, d features, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["Head", "Scaler", "one_thread", "one_torch_thread"]


def one_thread() -> AbstractContextManager:
    """Context in which linear algebra runs on one thread.

    The matrices are small and many. On a busy machine, threads that wait for one another took up to a hundred
    times as long as the work itself; on an idle one they gain little.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Context in which torch runs on one thread; see `one_thread`."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Head(Protocol):
    """A regressor or a classifier on scaled features, which can be saved as arrays and JSON."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        """Learn from (n, d) features and (n,) targets (class numbers for a classifier)."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(n,) values of a regressor, (n, C) probabilities of a classifier."""

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and JSON settings from which `restore` rebuilds the head."""

    def restore(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> None:
        """Inverse of `state`."""


@dataclass
class Scaler:
    """Scaling to zero mean and unit variance; NaN becomes 0 (the mean) and a flag column is added.

    Attributes
    ----------
    mean, scale : (d,) arrays
        Of the training galaxies; constant columns have scale 1 and become 0.
    flagged : (g,) array of int
        Columns for which a flag "is missing" is added: one for each group of columns that are missing
        together in the training set (a modality that some galaxies lack).
    """

    mean: np.ndarray
    scale: np.ndarray
    flagged: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray) -> Scaler:
        """Learn the scaling from (n, d) training features."""
        X = np.asarray(X, np.float64)
        seen = np.isfinite(X)
        count = seen.sum(axis=0)
        mean = np.where(seen, X, 0.0).sum(axis=0) / np.maximum(count, 1)
        var = (np.where(seen, X - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count, 1)
        scale = np.sqrt(var)
        scale[scale < 1e-7 * np.maximum(np.abs(mean), 1e-30)] = 1.0
        partial = np.flatnonzero((count > 0) & (count < len(X)))
        _, first = np.unique(seen[:, partial], axis=1, return_index=True)
        return cls(mean=mean, scale=scale, flagged=partial[np.sort(first)])

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Scaled (n, d + g) features in float64, without NaN."""
        X = np.asarray(X, np.float64)
        seen = np.isfinite(X)
        out = np.where(seen, (np.where(seen, X, 0.0) - self.mean) / self.scale, 0.0)
        return np.concatenate([out, (~seen[:, self.flagged]).astype(np.float64)], axis=1)
