"""Heads: what turns a vector into a redshift, a mass or a class."""

from __future__ import annotations

from euclidfm.core.errors import InputError
from euclidfm.tasks.heads.base import Head, Scaler

__all__ = ["HEADS", "Head", "Scaler", "make_head"]

HEADS = ("linear", "auto", "mlp", "knn")
"""``linear``: ridge or logistic regression; ``auto``: the same on the features or on a curved
map of them, whichever cross-validates best; ``mlp``: a small perceptron; ``knn``: neighbours."""


def make_head(name: str, classes: int = 0, seed: int = 0) -> Head:
    """A head that has not learnt yet.

    Parameters
    ----------
    name : {"linear", "auto", "mlp", "knn"}
        For regressions also ``quadratic`` and ``kernel``: one kind of curved map, for stacks.
    classes : int
        Number of classes, 0 for a regressor.
    seed : int

    Raises
    ------
    InputError
        If there is no such head.
    """
    if name in ("linear", "auto", "quadratic", "kernel"):
        if classes and name in ("quadratic", "kernel"):
            msg = f"the {name} head is for numbers; take the auto head for classes"
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
        from euclidfm.tasks.heads.mlp import MLPHead

        return MLPHead(classes, seed)
    msg = f"there is no head {name!r}; choose one of {', '.join(HEADS)}"
    raise InputError(msg)
