"""k nearest neighbours by exact search, with k chosen by leave-one-out error."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["NeighboursHead"]

NUMBERS = (1, 2, 3, 5, 8, 12, 20, 30)


class NeighboursHead:
    """Weighted median (regression) or vote (classes) of the k nearest training galaxies.

    Weights are 1 / distance, with Euclidean distances in scaled features. A mean would fall between the two
    solutions of a colour degeneracy; a median does not.

    Parameters
    ----------
    classes : int
        0 for a regressor.
    """

    def __init__(self, classes: int = 0) -> None:
        self.classes = classes
        self.k = 1
        self.features = np.empty((0, 0))
        self.targets = np.empty(0)

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        """Store the training set; choose k by its leave-one-out mean absolute (log) error."""
        self.features, self.targets = X.astype(np.float32), np.asarray(y, np.float64)
        rows = np.random.default_rng(0).permutation(len(y))[:1500]
        index, distance = self.search(X[rows], max(NUMBERS) + 1)
        index, distance = index[:, 1:], distance[:, 1:]  # the first is the galaxy itself
        losses = {}
        for k in (k for k in NUMBERS if k <= index.shape[1]):
            p = self._combine(index[:, :k], distance[:, :k])
            if self.classes:
                mine = p[np.arange(len(rows)), self.targets[rows].astype(int)]
                losses[k] = -np.log(np.maximum(mine, 1e-3)).mean()
            else:
                losses[k] = np.abs(p - self.targets[rows]).mean()
        self.k = min(losses, key=lambda k: losses[k]) if losses else 1

    def search(self, X: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(n, k) training rows nearest to each galaxy, nearest first, and their distances."""
        k = min(k, len(self.features))
        norms = (self.features**2).sum(axis=1)
        index, distance = [], []
        for start in range(0, len(X), 1024):
            q = X[start : start + 1024].astype(np.float32)
            d2 = np.maximum(norms - 2 * q @ self.features.T + (q**2).sum(axis=1)[:, None], 0.0)
            near = np.argpartition(d2, k - 1, axis=1)[:, :k]
            own = np.take_along_axis(d2, near, 1)
            order = np.lexsort((near, own), axis=1)
            index.append(np.take_along_axis(near, order, 1))
            distance.append(np.sqrt(np.take_along_axis(own, order, 1)))
        return np.concatenate(index), np.concatenate(distance)

    def _combine(self, index: np.ndarray, distance: np.ndarray) -> np.ndarray:
        weight = 1.0 / np.maximum(distance.astype(np.float64), 1e-6)
        values = self.targets[index]
        if self.classes:
            hot = np.stack([(weight * (values == c)).sum(axis=1) for c in range(self.classes)], axis=1)
            return np.asarray(hot / hot.sum(axis=1, keepdims=True))
        order = np.argsort(values, axis=1, kind="stable")
        values, weight = np.take_along_axis(values, order, 1), np.take_along_axis(weight, order, 1)
        cumulative = weight.cumsum(axis=1) - 0.5 * weight
        half = 0.5 * weight.sum(axis=1)
        right = (cumulative < half[:, None]).sum(axis=1).clip(1, max(values.shape[1] - 1, 1))
        if values.shape[1] == 1:
            return np.asarray(values[:, 0])
        row = np.arange(len(values))
        c0, c1 = cumulative[row, right - 1], cumulative[row, right]
        t = np.clip((half - c0) / np.maximum(c1 - c0, 1e-12), 0.0, 1.0)
        return np.asarray(values[row, right - 1] * (1 - t) + values[row, right] * t)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(n,) values or (n, C) weighted fractions of the neighbours."""
        return self._combine(*self.search(X, self.k))

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and settings."""
        return {"features": self.features, "targets": self.targets}, {"k": self.k, "classes": self.classes}

    def restore(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self.features, self.targets = arrays["features"], arrays["targets"]
        self.k, self.classes = settings["k"], settings["classes"]
