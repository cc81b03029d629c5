"""Parameters of LightGBM for the booster and for stacks."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["tree_parameters"]

HUBER = 0.3
"""Residual in standard deviations of the target beyond which the loss is linear."""


def tree_parameters(n: int, seed: int, **more: Any) -> dict[str, Any]:
    """Parameters for `n` training galaxies; with fewer galaxies the trees are smaller."""
    return {
        "objective": "huber",
        "metric": "l1",
        "alpha": HUBER,
        "num_leaves": int(np.clip(n // 30, 4, 31)),
        "min_data_in_leaf": int(np.clip(n // 50, 3, 20)),
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    } | more
