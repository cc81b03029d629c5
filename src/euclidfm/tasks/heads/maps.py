"""Feature maps: a linear fit to mapped features is a non-linear fit to the features.

A map is fitted to training features alone. A ridge or a logistic regression follows it, so that maps can be
compared at little cost by leave-one-out errors in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist

__all__ = ["FeatureMap", "candidates"]


@dataclass
class FeatureMap:
    """A feature map.

    Attributes
    ----------
    kind : str
        ``linear``: the features themselves. ``quadratic``: the features, and the squares and products of the
        `leading` principal components. ``kernel``: the features, and the Nystroem features of a Gaussian
        kernel on the principal components (Williams & Seeger 2001). They span the functions of a kernel ridge
        regression, or of a Gaussian process with `centres` inducing points.
    leading : int
        Number of principal components in the non-linear part.
    width : float
        Kernel width in units of the median distance between training galaxies.
    centres : int
        Largest number of Nystroem centres.
    seed : int
        Draws the centres.
    """

    kind: str = "linear"
    leading: int = 12
    width: float = 1.0
    centres: int = 1000
    whiten: float = 0.0
    """Power of their standard deviation by which components are divided before distances are taken. With 0,
    components of small variance count little; with 1, all components count equally."""
    seed: int = 0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """Settings of the map, without its arrays."""
        return {k: v for k, v in self.__dict__.items() if k != "arrays"}

    def fit(self, X: np.ndarray) -> np.ndarray:
        """Fit to (n, d) scaled features; returns their (n, m) mapped features."""
        if self.kind == "linear":
            return X
        rotation, spread = principal_components(X, self.leading)
        self.arrays["rotation"] = (
            rotation / spread**self.whiten if self.kind == "kernel" else rotation / spread
        )
        P = X @ self.arrays["rotation"]
        if self.kind == "kernel":
            rng = np.random.default_rng(self.seed)
            pick = np.sort(rng.permutation(len(P))[: self.centres])
            C = P[pick]
            distance = (
                np.median(cdist(C[:500], C[:500])[np.triu_indices(min(len(C), 500), 1)])
                if len(C) > 1
                else 1.0
            )
            self.arrays["centres"] = C / max(self.width * distance, 1e-12)
            values, vectors = eigh(self._kernel(self.arrays["centres"]))
            good = values > 1e-8 * values[-1]
            self.arrays["unmix"] = vectors[:, good] / np.sqrt(values[good])
            self.arrays["rotation"] = self.arrays["rotation"] / max(self.width * distance, 1e-12)
        return self(X)

    def _kernel(self, P: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(-0.5 * cdist(P, self.arrays["centres"], "sqeuclidean")))

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Map (n, d) scaled features."""
        if self.kind == "linear":
            return X
        P = X @ self.arrays["rotation"]
        if self.kind == "quadratic":
            i, j = np.triu_indices(P.shape[1])
            return np.concatenate([X, P[:, i] * P[:, j]], axis=1)
        curved = self._kernel(P) @ self.arrays["unmix"]  # rows of norm <= 1, as the linear part's
        return np.concatenate([X / np.sqrt(X.shape[1]), curved], axis=1)


def candidates(head: str, seed: int, few: bool = False) -> list[FeatureMap]:
    """Maps among which a head chooses by cross-validation on the training labels."""
    if head == "linear":
        return [FeatureMap(kind="linear")]
    if few:  # for heads whose trials are iterative fits
        quadratic = FeatureMap(kind="quadratic", leading=10)
        kernel = FeatureMap(kind="kernel", leading=16, width=1.4, whiten=0.5, seed=seed)
        return [FeatureMap(kind="linear"), quadratic, kernel]
    kernels = [
        FeatureMap(kind="kernel", leading=k, width=w, whiten=h, seed=seed)
        for k, h in ((16, 0.5), (64, 0.0))
        for w in (0.7, 1.4, 2.8)
    ]
    quadratics = [FeatureMap(kind="quadratic", leading=k) for k in (6, 14)]
    if head == "quadratic":
        return quadratics
    if head == "kernel":
        return kernels[::-1]  # the smoothest first: it is used with too few labels to choose
    return [FeatureMap(kind="linear"), *quadratics, *kernels]


def principal_components(X: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(d, k) directions and (k,) standard deviations of the k leading components, with fixed signs."""
    values, vectors = eigh(X.T @ X / max(len(X), 1))
    order = np.argsort(values)[::-1][: max(1, min(k, len(X) - 1, X.shape[1]))]
    spread = np.sqrt(np.maximum(values[order], 0.0))
    keep = spread > 1e-6 * max(spread[0], 1e-30)
    directions = vectors[:, order[keep]]
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    return directions * signs, spread[keep]
