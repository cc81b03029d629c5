"""A stack: several heads on several sets of features, weighted by their errors on galaxies left out.

A few dozen labels are best used by a line, thousands by curved maps, trees and networks; a stack (Wolpert
1992; Breiman 1996) finds out from the training labels. Each member predicts each training galaxy from a fit
that has not seen it; the weights are not negative, sum to one, and minimise the error of the mixture there.

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
"""Heads on the first view; the others get ``linear`` and ``kernel``."""

EXACT = 2000
"""Galaxies from which on ridges give their leave-one-out predictions instead of refits: the optimism of
choosing a penalty by them has gone."""

NETWORKS = 1000
"""Galaxies from which on networks and trees take part: below, they take most of the time."""


def stack(
    train: Sequence[np.ndarray],
    test: Sequence[np.ndarray],
    y: np.ndarray,
    classes: int = 0,
    seed: int = 0,
) -> np.ndarray:
    """Learn a stack and predict.

    Parameters
    ----------
    train, test : sequence of (n, d) arrays
        Views: sets of features of the same galaxies, the most telling first; NaN where missing.
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
        told = []
        for name in ("linear", "knn", "mlp"):
            head = make_head(name, classes, seed)
            head.fit(A[0], y)
            told.append(head.predict(B[0]))
        return np.asarray(np.mean(told, axis=0))
    left_out, predictions = [], []
    for view in range(len(A)):
        for name in MEMBERS if view == 0 else ("linear", "kernel"):
            if name in ("mlp", "trees") and len(y) < NETWORKS:
                continue
            member = _member(name, A[view], y, B[view], seed)
            if member is not None:
                left_out.append(member[0])
                predictions.append(member[1])
    low, high = y.min(), y.max()
    P = np.clip(np.stack(left_out, axis=1), low, high)
    return np.clip(np.stack(predictions, axis=1), low, high) @ weights_of(P, y)


def weights_of(P: np.ndarray, y: np.ndarray, prior: float = 2.0) -> np.ndarray:
    """Weights of the members: not negative, of sum one, of least smoothed absolute error.

    Parameters
    ----------
    P : (n, m) array
        Predictions of galaxies left out.
    y : (n,) array
    prior : float
        Galaxies' worth of pull towards equal weights.

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
    """Predictions of the training galaxies by fits without them, and of the test galaxies."""
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
    """Perceptrons, one without each fifth; a test galaxy gets the mean of all."""
    from euclidfm.tasks.heads.mlp import MLPHead

    fold = stratified_folds(np.zeros(len(y)), 5, seed)
    out, told = np.empty(len(y)), np.zeros(len(T))
    for k in range(5):
        net = MLPHead(0, seed * 10 + k, ensemble=1)
        net.fit(X[fold != k], y[fold != k])
        out[fold == k] = net.predict(X[fold == k])
        told += net.predict(T) / 5
    return out, told


def _trees(X: np.ndarray, y: np.ndarray, T: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Boosted trees, likewise, each stopped early on its own fifth; None without LightGBM."""
    try:
        import lightgbm as lgb
    except ImportError:
        return None
    n = len(y)
    centre, spread = float(np.median(y)), float(np.std(y)) or 1.0
    parameters = tree_parameters(n, seed, learning_rate=0.06)
    fold = stratified_folds(np.zeros(n), 5, seed)
    target = (y - centre) / spread
    out, told = np.empty(n), np.zeros(len(T))
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
        told += (np.asarray(model.predict(T)) * spread + centre) / 5
    return out, told
