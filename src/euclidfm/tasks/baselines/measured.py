"""Baselines on numbers measured on the images (`euclidfm.measure`), without a network.

Shapes: n training galaxies, m test galaxies, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from euclidfm.measure import Measurements
from euclidfm.tasks.baselines.boosting import boosted_trees
from euclidfm.tasks.baselines.photometric import colours_ridge
from euclidfm.tasks.baselines.photometry import AsinhMagnitudes, tree_features

__all__ = ["MEASURED_METHODS"]

Method = Callable[[Measurements, np.ndarray, np.ndarray, np.ndarray, int, int], np.ndarray]
"""From measurements, training rows, their targets, test rows, number of classes and seed to predictions."""


def _apertures_ridge(
    m: Measurements, train: np.ndarray, y: np.ndarray, test: np.ndarray, classes: int, seed: int
) -> np.ndarray:
    """Quadratic ridge (logistic for classes) on aperture magnitudes and their colours."""
    flux, error = _seen(m, train)
    return colours_ridge((flux[train], error[train]), y, (flux[test], error[test]), classes, seed)


def _apertures_booster(
    m: Measurements, train: np.ndarray, y: np.ndarray, test: np.ndarray, classes: int, seed: int
) -> np.ndarray:
    """Boosted trees on aperture magnitudes, colours and errors."""
    flux, error = _seen(m, train)
    features = tree_features(AsinhMagnitudes.of(flux[train], error[train]), flux, error)
    return boosted_trees(features[train], y, features[test], classes, seed)


def _morphology_booster(
    m: Measurements, train: np.ndarray, y: np.ndarray, test: np.ndarray, classes: int, seed: int
) -> np.ndarray:
    """Boosted trees on size, ellipticity, concentration, asymmetry, Gini coefficient and M20."""
    return boosted_trees(m.shapes[train], y, m.shapes[test], classes, seed)


def _seen(m: Measurements, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes and errors in the apertures that some training galaxy has."""
    flux, error = m.apertures
    here = np.isfinite(flux[train]).any(axis=0)
    return flux[:, here], error[:, here]


MEASURED_METHODS: dict[str, Method] = {
    "apertures-ridge": _apertures_ridge,
    "apertures-booster": _apertures_booster,
    "morphology-booster": _morphology_booster,
}
"""Methods by name. Rows are those of the measurements."""
