"""Baselines on the photometry alone; the gain over them is due to images and pre-training.

Shapes: n galaxies, K bands, C classes; fluxes in µJy, NaN = not measured.
"""

from __future__ import annotations

import numpy as np

from euclidfm.tasks.baselines.boosting import boosted_trees
from euclidfm.tasks.baselines.photometry import (
    AsinhMagnitudes,
    fill_missing,
    gaussian_of,
    quadratic_features,
    tree_features,
)
from euclidfm.tasks.heads.make import fit_head
from euclidfm.tasks.heads.stack import stack

__all__ = [
    "booster", "colours_ridge", "knn_photometry", "photometry_auto", "photometry_features",
    "photometry_probe", "photometry_stack",
]  # fmt: skip

Photometry = tuple[np.ndarray, np.ndarray]
"""(n, K) fluxes and their errors, µJy."""


def colours_ridge(
    train: Photometry, y: np.ndarray, test: Photometry, classes: int = 0, seed: int = 0
) -> np.ndarray:
    """Quadratic ridge (logistic for classes) on magnitudes and colours.

    The features are the mean asinh magnitude and adjacent colours with all their squares and products.
    Missing bands are replaced by their expectation given the others. The penalty is chosen by leave-one-out
    or cross-validation.

    Returns
    -------
    (n,) values or (n, C) probabilities
    """
    a, b = _magnitudes(train, test)
    return fit_head("linear", quadratic_features(a), y, classes, seed).predict(quadratic_features(b))


def knn_photometry(
    train: Photometry, y: np.ndarray, test: Photometry, classes: int = 0, seed: int = 0
) -> np.ndarray:
    """Nearest neighbours (k chosen) in standardised asinh magnitudes and adjacent colours."""
    a, b = _magnitudes(train, test)
    a, b = (np.concatenate([m.mean(axis=1, keepdims=True), m[:, :-1] - m[:, 1:]], axis=1) for m in (a, b))
    return fit_head("knn", a, y, classes, seed).predict(b)


def photometry_probe(
    train: Photometry, y: np.ndarray, test: Photometry, classes: int = 0, seed: int = 0
) -> np.ndarray:
    """The linear head of the embedding probes on the raw photometry."""
    return _head_on_photometry("linear", train, y, test, classes, seed)


def photometry_auto(
    train: Photometry, y: np.ndarray, test: Photometry, classes: int = 0, seed: int = 0
) -> np.ndarray:
    """The ``auto`` head of the embedding probes on the raw photometry."""
    return _head_on_photometry("auto", train, y, test, classes, seed)


def photometry_stack(
    train: Photometry, y: np.ndarray, test: Photometry, classes: int = 0, seed: int = 0
) -> np.ndarray:
    """The stack of ``probe-stack`` on the raw photometry alone; it shows the gain from the embedding."""
    a, b = photometry_features(train, test)
    return stack([a], [b], y, classes, seed)


def _head_on_photometry(
    name: str, train: Photometry, y: np.ndarray, test: Photometry, classes: int, seed: int
) -> np.ndarray:
    """A head on magnitudes, colours and flags of missing bands."""
    a, b = photometry_features(train, test)
    return fit_head(name, a, y, classes, seed).predict(b)


def photometry_features(train: Photometry, test: Photometry) -> tuple[np.ndarray, np.ndarray]:
    """Mean asinh magnitude, adjacent colours and flags of missing bands, of training and test galaxies."""
    a, b = _magnitudes(train, test)
    features = []
    for m, (flux, _) in ((a, train), (b, test)):
        mean = m.mean(axis=1, keepdims=True)
        features.append(np.concatenate([mean, m[:, :-1] - m[:, 1:], np.isnan(flux).astype(float)], axis=1))
    return features[0], features[1]


def _magnitudes(train: Photometry, test: Photometry) -> tuple[np.ndarray, np.ndarray]:
    scale = AsinhMagnitudes.of(*train)
    m = scale.magnitudes(train[0])
    mean, covariance = gaussian_of(m)
    return fill_missing(m, mean, covariance), fill_missing(scale.magnitudes(test[0]), mean, covariance)


def booster(
    train: Photometry, y: np.ndarray, test: Photometry, classes: int = 0, seed: int = 0
) -> np.ndarray:
    """Gradient-boosted trees (LightGBM) on asinh magnitudes, colours and errors; NaN stays NaN.

    Raises
    ------
    InputError
        If LightGBM is not installed.
    """
    scale = AsinhMagnitudes.of(*train)
    return boosted_trees(tree_features(scale, *train), y, tree_features(scale, *test), classes, seed)
