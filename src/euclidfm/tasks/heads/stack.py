"""A stack: several heads on several sets of features, weighted by their cross-validated errors.

With a few dozen labels a linear head is best; with thousands, non-linear maps, trees and networks are. A
stack (Wolpert 1992; Breiman 1996) weights them by the training labels. Each member predicts each training
galaxy by a fit without it. The weights are not negative, sum to one, and minimise the error of these
predictions.

Shapes: n galaxies, d features of a view, m members, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.logistic import stratified_folds
from euclidfm.tasks.heads.make import make_head
from euclidfm.tasks.heads.ridge import RidgeHead
from euclidfm.tasks.heads.trees import tree_parameters

__all__ = ["MEMBERS", "stack", "weights_of"]

MEMBERS = ("linear", "quadratic", "kernel", "knn", "mlp", "trees")
"""Heads on the first view; the other views get ``linear`` and ``kernel``."""

EXACT = 2000
"""With at least so many galaxies, ridges use their leave-one-out predictions instead of refits: the bias from
choosing the penalty by them is then negligible."""

NETWORKS = 1000
"""With at least so many galaxies, networks and trees take part; below, they would take most of the time."""


def stack(
    train: Sequence[np.ndarray],
    test: Sequence[np.ndarray],
    y: np.ndarray,
    classes: int = 0,
    seed: int = 0,
) -> np.ndarray:
    """Fit a stack and predict.

    Parameters
    ----------
    train, test : sequence of (n, d) arrays
        Views: sets of features of the same galaxies, the most informative first; NaN where missing.
    y : (n,) array
        Values, or class numbers.
    classes : int
        0 for a regression. Classifiers (linear, neighbours, perceptron) are averaged, not weighted.
    seed : int

    Returns
    -------
    (n,) values or (n, C) probabilities
    """
    scalers = [Scaler.of(v) for v in train]
    A, B = ([s(v) for s, v in zip(scalers, views, strict=True)] for views in (train, test))
    if classes:
        predicted = []
        for name in ("linear", "knn", "mlp"):
            head = make_head(name, classes, seed)
            head.fit(A[0], y)
            predicted.append(head.predict(B[0]))
        return np.asarray(np.mean(predicted, axis=0))
    cross_validated, predictions = [], []
    for view in range(len(A)):
        for name in MEMBERS if view == 0 else ("linear", "kernel"):
            if name in ("mlp", "trees") and len(y) < NETWORKS:
                continue
            member = _member(name, A[view], y, B[view], seed)
            if member is not None:
                cross_validated.append(member[0])
                predictions.append(member[1])
    low, high = y.min(), y.max()
    P = np.clip(np.stack(cross_validated, axis=1), low, high)
    return np.clip(np.stack(predictions, axis=1), low, high) @ weights_of(P, y)


def weights_of(P: np.ndarray, y: np.ndarray, prior: float = 2.0) -> np.ndarray:
    """Weights of the members: not negative, with sum one, minimising a smoothed absolute error.

    Parameters
    ----------
    P : (n, m) array
        Cross-validated predictions.
    y : (n,) array
    prior : float
        Strength of the pull towards equal weights, in galaxies.

    Returns
    -------
    (m,) array
    """
    m = P.shape[1]
    if m == 1:
        return np.ones(1)
    residual = P - y[:, None]
    unit = 1.4826 * np.median(np.abs(residual.mean(axis=1))) + 1e-12
    R, n = residual / unit, len(y)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        r = R @ w
        root = np.sqrt(1.0 + r**2)  # |r| beyond a standard deviation, a parabola within
        pull = w - 1.0 / m
        value = (root - 1.0).sum() + 0.5 * prior * (pull**2).sum()
        return float(value) / n, ((r / root) @ R + prior * pull) / n

    start = np.full(m, 1.0 / m)
    sum_is_one = {"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones(m)}
    found = minimize(loss, start, jac=True, bounds=[(0.0, 1.0)] * m, constraints=[sum_is_one], method="SLSQP")
    w = np.clip(found.x, 0.0, None) if np.isfinite(found.x).all() else start
    return np.asarray(w / w.sum())


def _member(
    name: str, X: np.ndarray, y: np.ndarray, T: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Cross-validated predictions of the training galaxies, and predictions of the test galaxies."""
    if name == "trees":
        return _trees(X, y, T, seed)
    if name == "mlp":
        return _bag(X, y, T, seed)
    if name != "knn" and len(y) >= EXACT:
        exact = RidgeHead(name, seed)
        exact.fit(X, y)
        return y - exact.residuals, exact.predict(T)
    head = make_head(name, 0, seed)
    head.fit(X, y)
    fold = stratified_folds(np.zeros(len(y)), 10 if 50 <= len(y) < 300 else 5, seed)
    out = np.empty(len(y))
    for k in np.unique(fold):
        part = make_head(name, 0, seed)
        part.fit(X[fold != k], y[fold != k])
        out[fold == k] = part.predict(X[fold == k])
    return out, head.predict(T)


def _bag(X: np.ndarray, y: np.ndarray, T: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Perceptrons, one without each fifth of the galaxies; test galaxies get the mean of all."""
    from euclidfm.tasks.heads.mlp import MLPHead

    fold = stratified_folds(np.zeros(len(y)), 5, seed)
    out, mean = np.empty(len(y)), np.zeros(len(T))
    for k in range(5):
        net = MLPHead(0, seed * 10 + k, ensemble=1)
        net.fit(X[fold != k], y[fold != k])
        out[fold == k] = net.predict(X[fold == k])
        mean += net.predict(T) / 5
    return out, mean


def _trees(X: np.ndarray, y: np.ndarray, T: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Boosted trees in the same way, each stopped early on its own fifth; None without LightGBM."""
    try:
        import lightgbm as lgb
    except ImportError:
        return None
    n = len(y)
    centre, spread = float(np.median(y)), float(np.std(y)) or 1.0
    parameters = tree_parameters(n, seed, learning_rate=0.06)
    fold = stratified_folds(np.zeros(n), 5, seed)
    target = (y - centre) / spread
    out, mean = np.empty(n), np.zeros(len(T))
    for k in range(5):
        a, b = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        known = lgb.Dataset(X[a], target[a], free_raw_data=False)
        model = lgb.train(
            parameters,
            known,
            num_boost_round=800,
            valid_sets=[lgb.Dataset(X[b], target[b], reference=known)],
            callbacks=[lgb.early_stopping(30, verbose=False)],
        )
        out[b] = np.asarray(model.predict(X[b])) * spread + centre
        mean += (np.asarray(model.predict(T)) * spread + centre) / 5
    return out, mean
