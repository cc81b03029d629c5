"""Linear heads of fine-tuning: the probe, and a gentler one for blocks to learn under.

Shapes: n galaxies, d = M D numbers of the joint embedding, C outputs (classes, or one value).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.tasks.heads import Head, Scaler
from euclidfm.tasks.heads.logistic import LogisticHead, fit_softmax
from euclidfm.tasks.heads.ridge import RidgeHead, ridge
from euclidfm.tasks.spaces import choose_space

__all__ = ["LinearStart", "as_probe_head"]

_GENTLE = np.logspace(-1.0, 1.0, 5)
"""Penalties of the gentle head, in units of the number of galaxies: directions in which standardised features
have less variance than this say little."""


@dataclass
class LinearStart:
    """A linear head on the joint embedding, and how its target is scaled: ``scaled(x) @ weights + bias``."""

    scaler: Scaler
    weights: np.ndarray
    """(d, C) on standardised features."""
    bias: np.ndarray
    """(C,)"""

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """(n, C) values or logits of (n, d) joint embeddings."""
        return np.asarray(self.scaler(X) @ self.weights + self.bias)

    @classmethod
    def fit(
        cls, X: np.ndarray, y: np.ndarray, classes: int, seed: int, parts: int, gentle: bool = False
    ) -> LinearStart:
        """The linear probe of the joint vectors, or of the one modality that says most.

        Parameters
        ----------
        X : (n, d) joint embeddings
        y : (n,) targets or class numbers
        classes : int
        seed : int
        parts : int
            Modalities M that stand side by side in X.
        gentle : bool
            Penalise so strongly that small changes of X matter little.
        """
        width = X.shape[1] // parts
        spans = {"joint": slice(0, X.shape[1])}
        if parts > 1:
            spans |= {str(i): slice(i * width, (i + 1) * width) for i in range(parts)}
        spans = {k: s for k, s in spans.items() if np.ptp(X[:, s], axis=0).any()} or spans
        span = spans[choose_space({k: X[:, s] for k, s in spans.items()}, y, seed)]
        scaler = Scaler.of(X)
        features = scaler(X)[:, span]
        weights = np.zeros((X.shape[1], classes or 1))
        if gentle and classes:
            found = fit_softmax(features, y, classes, float(_GENTLE[0]) * len(y))
            weights[span] = found[:-1]
            return cls(scaler, weights, found[-1].copy())
        if gentle:
            fit = ridge(features, y, _GENTLE * len(y))
            weights[span, 0] = fit.weights
            return cls(scaler, weights, np.array([fit.intercept]))
        if not classes:
            head = RidgeHead("linear", seed)
            head.fit(features, y)
            weights[span, 0] = head.weights
            return cls(scaler, weights, np.array([head.intercept]))
        logistic = LogisticHead("linear", classes, seed)
        logistic.fit(features, y)
        if classes == 2:  # one score; the first class has none
            weights[span, 1] = logistic.weights[:-1]
            return cls(scaler, weights, np.array([0.0, logistic.weights[-1]]))
        weights[span] = logistic.weights[:-1]
        return cls(scaler, weights, logistic.weights[-1].copy())


def as_probe_head(head: LinearStart, classes: int) -> Head:
    """The same head as a probe knows it."""
    if not classes:
        ridge = RidgeHead("linear")
        ridge.weights, ridge.intercept = head.weights[:, 0], float(head.bias[0])
        return ridge
    logistic = LogisticHead("linear", classes)
    both = np.concatenate([head.weights, head.bias[None]])
    logistic.weights = both[:, 1] - both[:, 0] if classes == 2 else both
    return logistic
