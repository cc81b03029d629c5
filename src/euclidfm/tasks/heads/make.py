"""Choice of a head by name, and the fit of a head together with the scaling of its features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.tasks.heads.base import Head, Scaler

__all__ = ["FUSION", "HEADS", "FittedHead", "fit_head", "make_head"]

FUSION = "fusion"
"""Name of the head that combines blocks (`euclidfm.tasks.fusion`)."""

HEADS = (FUSION, "linear", "auto", "mlp", "knn")
"""``fusion``: blocks of numbers, chosen and weighted by leave-one-out errors. ``linear``: ridge or logistic
regression. ``auto``: the same on the features or on a non-linear map of them, chosen by cross-validation.
``mlp``: a small perceptron. ``knn``: nearest neighbours."""


@dataclass
class FittedHead:
    """A head with the scaling of its features."""

    scaler: Scaler
    head: Head

    @property
    def width(self) -> int:
        """Numbers of a galaxy that it reads."""
        return len(self.scaler.mean)

    def standardised(self, X: np.ndarray) -> np.ndarray:
        """(n, m) scaled features, 0 where missing."""
        return self.scaler(X)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(n,) values on the learnt scale, or (n, C) probabilities, from (n, d) features."""
        return self.head.predict(self.scaler(X))


def fit_head(name: str, X: np.ndarray, y: np.ndarray, classes: int = 0, seed: int = 0) -> FittedHead:
    """Scale the features, make a head and fit it.

    Parameters
    ----------
    name : str
        As for `make_head`.
    X : (n, d) array
        Training features; NaN where missing.
    y : (n,) array
        Targets on the learnt scale, or class numbers.
    classes : int
        Number of classes, 0 for a regression.
    seed : int
    """
    scaler, head = Scaler.of(X), make_head(name, classes, seed)
    head.fit(scaler(X), y)
    return FittedHead(scaler, head)


def make_head(name: str, classes: int = 0, seed: int = 0) -> Head:
    """A head that is not fitted yet.

    Parameters
    ----------
    name : {"linear", "auto", "mlp", "knn"}
        For regressions also ``quadratic`` and ``kernel``: one kind of non-linear map, for stacks.
    classes : int
        Number of classes, 0 for a regression.
    seed : int

    Raises
    ------
    InputError
        If there is no such head.
    """
    if name in ("linear", "auto", "quadratic", "kernel"):
        if classes and name in ("quadratic", "kernel"):
            msg = f"the {name} head is a regressor; use the auto head for classes"
            raise InputError(msg)
        if classes:
            from euclidfm.tasks.heads.logistic import LogisticHead

            return LogisticHead(name, classes, seed)
        from euclidfm.tasks.heads.ridge import RidgeHead

        return RidgeHead(name, seed)
    if name == "knn":
        from euclidfm.tasks.heads.neighbours import NeighboursHead

        return NeighboursHead(classes)
    if name == "mlp":
        from euclidfm.tasks.heads.mlp import MLPHead  # needs torch

        return MLPHead(classes, seed)
    msg = f"there is no head {name!r}; choose one of {', '.join(HEADS)}"
    raise InputError(msg)
