"""Linear heads of fine-tuning: the probe, and a more strongly regularised head used while blocks train.

Shapes: n galaxies, d = M D numbers of the joint embedding, C outputs (classes, or one value).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.tasks.heads.base import Head, Scaler
from euclidfm.tasks.heads.logistic import LogisticHead, fit_softmax
from euclidfm.tasks.heads.ridge import RidgeHead, ridge
from euclidfm.tasks.spaces import choose_space

__all__ = ["LinearStart", "as_probe_head"]

_STRONG = np.logspace(-1.0, 1.0, 5)
"""Penalties of the strongly regularised head, in units of the number of galaxies. They suppress directions in
which standardised features have a smaller variance than this."""


@dataclass
class LinearStart:
    """A linear head on the joint embedding: ``scaler(x) @ weights + bias``."""

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
        cls, X: np.ndarray, y: np.ndarray, classes: int, seed: int, parts: int, strong: bool = False
    ) -> LinearStart:
        """Fit a linear head to the joint vectors or to those of the best single modality.

        Parameters
        ----------
        X : (n, d) joint embeddings
        y : (n,) targets or class numbers
        classes : int
        seed : int
        parts : int
            Number M of modalities whose vectors are concatenated in X.
        strong : bool
            Regularise so strongly that small changes of X change the output little.
        """
        scaler = Scaler.of(X)
        span = _chosen_span(X, y, seed, parts)
        features = scaler(X)[:, span]
        fit = _strong_weights if strong else _probe_weights
        own, bias = fit(features, y, classes, seed)
        weights = np.zeros((X.shape[1], classes or 1))
        weights[span] = own
        return cls(scaler, weights, bias)


def _chosen_span(X: np.ndarray, y: np.ndarray, seed: int, parts: int) -> slice:
    """Columns of the joint vectors, or of the one modality, with the smallest leave-one-out error."""
    width = X.shape[1] // parts
    spans = {"joint": slice(0, X.shape[1])}
    if parts > 1:
        spans |= {str(i): slice(i * width, (i + 1) * width) for i in range(parts)}
    spans = {k: s for k, s in spans.items() if np.ptp(X[:, s], axis=0).any()} or spans
    return spans[choose_space({k: X[:, s] for k, s in spans.items()}, y, seed)]


def _strong_weights(
    features: np.ndarray, y: np.ndarray, classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(m, C) weights and (C,) bias of the strongly regularised head."""
    if classes:
        found = fit_softmax(features, y, classes, float(_STRONG[0]) * len(y))
        return found[:-1], found[-1].copy()
    fit = ridge(features, y, _STRONG * len(y))
    return fit.weights[:, None], np.array([fit.intercept])


def _probe_weights(
    features: np.ndarray, y: np.ndarray, classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(m, C) weights and (C,) bias of the linear probe."""
    if not classes:
        head = RidgeHead("linear", seed)
        head.fit(features, y)
        return head.weights[:, None], np.array([head.intercept])
    logistic = LogisticHead("linear", classes, seed)
    logistic.fit(features, y)
    if classes > 2:
        return logistic.weights[:-1], logistic.weights[-1].copy()
    score = logistic.weights[:-1]  # one score; the first class has none
    return np.stack([np.zeros_like(score), score], axis=1), np.array([0.0, logistic.weights[-1]])


def as_probe_head(head: LinearStart, classes: int) -> Head:
    """The same head in the form that probes use."""
    if not classes:
        ridge = RidgeHead("linear")
        ridge.weights, ridge.intercept = head.weights[:, 0], float(head.bias[0])
        return ridge
    logistic = LogisticHead("linear", classes)
    both = np.concatenate([head.weights, head.bias[None]])
    logistic.weights = both[:, 1] - both[:, 0] if classes == 2 else both
    return logistic
