"""Gradient-boosted trees on any features, strong with a hundred labels too."""

from __future__ import annotations

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.tasks.heads.logistic import stratified_folds
from euclidfm.tasks.heads.trees import tree_parameters

__all__ = ["boosted_trees"]


def boosted_trees(a: np.ndarray, y: np.ndarray, b: np.ndarray, classes: int = 0, seed: int = 0) -> np.ndarray:
    """Boosted trees (LightGBM) learnt from features `a` (n, d), for galaxies of features `b` (m, d).

    NaN stays NaN. The trees are small, with few galaxies per leaf, and the number of rounds is chosen by
    five-fold cross-validation, so that the baseline is also strong with a hundred labels.

    Returns
    -------
    (m,) values or (m, C) probabilities

    Raises
    ------
    InputError
        If LightGBM is not installed.
    """
    try:
        import lightgbm as lgb
    except ImportError:
        msg = "the booster needs LightGBM; install it with `pip install euclidfm[science]`"
        raise InputError(msg) from None
    n = len(y)
    parameters = tree_parameters(
        n,
        seed,
        learning_rate=0.05,
        min_data_in_bin=1 if n < 500 else 3,
        num_threads=1 if n < 20_000 else 0,  # small trees: threads would only wait
    )
    if classes:
        parameters |= {
            "objective": "multiclass" if classes > 2 else "binary",
            "metric": "multi_logloss" if classes > 2 else "binary_logloss",
        }
        del parameters["alpha"]
    if classes > 2:
        parameters["num_class"] = classes
    centre, spread = (0.0, 1.0) if classes else (float(np.median(y)), float(np.std(y)) or 1.0)
    target = (y - centre) / spread
    fold = stratified_folds(y if classes else np.zeros(n), 5, seed)
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(5)]
    tried = lgb.cv(
        parameters,
        lgb.Dataset(a, target, free_raw_data=False),
        num_boost_round=1500,
        folds=splits,
        callbacks=[lgb.early_stopping(50, verbose=False)],
    )
    rounds = max(1, len(next(iter(tried.values()))))
    model = lgb.train(parameters, lgb.Dataset(a, target), num_boost_round=rounds)
    p = np.asarray(model.predict(b), float)
    if classes == 2:
        return np.stack([1.0 - p, p], axis=1)
    return p if classes else p * spread + centre
