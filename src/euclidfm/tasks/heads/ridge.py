"""Regression head: ridge regression; penalty and feature map minimise exact leave-one-out errors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from euclidfm.tasks.heads.base import one_thread
from euclidfm.tasks.heads.leverage import Directions
from euclidfm.tasks.heads.maps import FeatureMap, candidates

__all__ = ["RidgeFit", "RidgeHead", "ridge"]

PENALTIES = np.logspace(-8.0, 3.0, 34)
"""Penalties that are tried, in units of the mean eigenvalue of the features' scatter matrix."""

CHOICE = 1000
"""Largest number of galaxies on which maps are compared; the chosen map is fitted to all galaxies."""

FEW = 50
"""With fewer galaxies only the linear map is used. They are too few to compare maps: with 22 labels of a mock
sky the map with the smallest error had twice the scatter of the linear one on the test set."""

HUBER = 1.345
"""Residual in units of the robust width beyond which the loss is linear (Huber 1964)."""


@dataclass
class RidgeFit:
    """Result of `ridge`: weights, intercept, chosen penalty and leave-one-out residuals."""

    weights: np.ndarray
    intercept: float
    penalty: float
    residuals: np.ndarray
    loss: float


def ridge(
    F: np.ndarray, y: np.ndarray, penalties: np.ndarray | None = None, case: np.ndarray | None = None
) -> RidgeFit:
    """Ridge regression with the penalty of smallest leave-one-out error.

    Minimises ``sum_i c_i (y_i - b - f_i.w)^2 + a |w|^2``. The leave-one-out residuals follow
    from one fit (Allen 1974), ``r_i / (1 - h_i)`` with the leverages
    ``h_i = c_i (1 / sum c + f_i.(F'CF + a)^-1 f_i)``, F centred on its weighted mean; the
    intercept is not penalised. `euclidfm.tasks.heads.leverage` computes both parts without cancellation.

    Parameters
    ----------
    F : (n, m) array
        Features.
    y : (n,) array
    penalties : (p,) array, optional
        Default `PENALTIES` times the mean eigenvalue.
    case : (n,) array, optional
        Positive weights c of the galaxies; default 1.

    Returns
    -------
    RidgeFit
        `loss` is the mean absolute leave-one-out residual. The mean square would be dominated by a few
        wrong redshifts; the median would be misled by fits that nearly interpolate.
    """
    c = np.ones(len(F)) if case is None else case
    centre, mean = c @ F / c.sum(), c @ y / c.sum()
    root = np.sqrt(c)
    A, target = (F - centre) * root[:, None], (y - mean) * root
    found = Directions.of(A, root / np.linalg.norm(root))
    values, U = found.values, found.U
    if penalties is None:
        penalties = PENALTIES * max(values.mean() if len(values) else 1.0, 1e-300)
    best = None
    for a in penalties:
        remaining, share = found.residuals(target, float(a))
        residual = remaining / share / root
        loss = float(np.abs(residual).mean())
        if best is None or loss < best[0]:
            best = (loss, float(a), residual)
    assert best is not None
    loss, a, residual = best
    w = A.T @ (U @ ((U.T @ target) / (values + a)))
    return RidgeFit(weights=w, intercept=float(mean - centre @ w), penalty=a, residuals=residual, loss=loss)


class RidgeHead:
    """Ridge regression with the feature map and the penalty of smallest leave-one-out error.

    Parameters
    ----------
    head : {"linear", "auto", "quadratic", "kernel"}
        Maps that are tried: the features alone, also non-linear maps, or one kind of these.
    seed : int
        Draws the centres of kernel maps and the galaxies on which maps are compared.
    robust : bool
        Re-weight twice by Huber's rule, which reduces the effect of wrong labels and outliers.
    """

    def __init__(self, head: str = "linear", seed: int = 0, robust: bool = True) -> None:
        self.head, self.seed, self.robust = head, seed, robust
        self.map = FeatureMap()
        self.weights = np.empty(0)
        self.intercept = 0.0
        self.residuals = np.empty(0)
        self.tried: list[dict[str, Any]] = []

    def fit(self, X: np.ndarray, y: np.ndarray, case: np.ndarray | None = None) -> None:
        """Learn from (n, d) scaled features and (n,) targets; `case` are (n,) positive weights."""
        with one_thread():
            self._fit(X, y, case)

    def _fit(self, X: np.ndarray, y: np.ndarray, case: np.ndarray | None) -> None:
        self.map = self._choose_map(X, y)
        F = self.map.fit(X)
        result = ridge(F, y, case=case)
        if self.robust and len(y) > 20:
            for _ in range(2):
                size = np.abs(result.residuals)
                k = HUBER * 1.4826 * np.median(size) + 1e-300
                robust = np.minimum(1.0, k / np.maximum(size, 1e-300))
                result = ridge(F, y, case=robust if case is None else robust * case)
        self.weights, self.intercept, self.residuals = result.weights, result.intercept, result.residuals

    def _choose_map(self, X: np.ndarray, y: np.ndarray) -> FeatureMap:
        """The map of smallest leave-one-out error on at most `CHOICE` galaxies, not yet fitted.

        A non-linear map has to be better than the linear one by a standard error of the paired difference:
        with few labels the smallest of many noisy errors is small by chance.
        """
        maps = candidates(self.head, self.seed)
        self.tried = []
        if len(maps) == 1 or len(y) < FEW:
            return maps[0]
        rows = np.random.default_rng(self.seed).permutation(len(y))[:CHOICE]
        errors = []
        for m in maps:
            trial = replace(m, centres=min(m.centres, CHOICE // 2), arrays={})
            result = ridge(trial.fit(X[rows]), y[rows])
            errors.append(np.abs(result.residuals))
            self.tried.append({**m.settings(), "penalty": result.penalty, "loss": result.loss})
        best = int(np.argmin([t["loss"] for t in self.tried]))
        gain = errors[0] - errors[best]
        return maps[best] if gain.mean() > gain.std() / np.sqrt(len(gain)) else maps[0]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(n,) values."""
        return np.asarray(self.map(X) @ self.weights + self.intercept)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and settings."""
        arrays = {"weights": self.weights, "residuals": self.residuals, **self.map.arrays}
        return arrays, {"intercept": self.intercept, "map": self.map.settings(), "tried": self.tried}

    def restore(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> None:
        """Inverse of `state`."""
        own = dict(arrays)
        self.weights, self.residuals = own.pop("weights"), own.pop("residuals")
        self.map = FeatureMap(**settings["map"], arrays=own)
        self.intercept, self.tried = settings["intercept"], settings["tried"]
