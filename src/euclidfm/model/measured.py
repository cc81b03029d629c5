"""Numbers measured on the images as tokens: which there are, and their scaling.

Shapes: B galaxies, P numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from euclidfm.measure import measure, measure_store, measured_names
from euclidfm.model.config import ModelConfig
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["fit_measured", "scaled_measured"]

SAMPLE = 2000
"""Largest number of training galaxies from which the scaling is fitted."""


def fit_measured(config: ModelConfig, store: GalaxyStore, rows: Sequence[int] | np.ndarray) -> ModelConfig:
    """Keep the measured bands that the store has, and fit the mean and standard deviation of each number.

    Parameters
    ----------
    config : ModelConfig
    store : GalaxyStore
    rows : array of int
        Training galaxies; at most `SAMPLE` of them, evenly spaced, are measured.
    """
    bands = tuple(b for b in config.measured if b in store.info.image_bands)
    if not bands:
        return replace(config, measured=())
    rows = np.asarray(rows)
    few = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int)]
    found = measure_store(store, few, bands, crop=config.crop)
    center, spread = {}, {}
    for name, values in zip(found.names, found.for_models().astype(np.float64).T, strict=True):
        known = values[np.isfinite(values)]
        width = float(known.std()) if len(known) > 1 else 0.0
        center[name] = float(known.mean()) if len(known) else 0.0
        spread[name] = width if width > 1e-6 else 1.0
    return replace(
        config,
        measured=bands,
        measured_uncalibrated=found.uncalibrated,
        measured_center=center,
        measured_spread=spread,
    )


def scaled_measured(config: ModelConfig, galaxies: Galaxies) -> np.ndarray:
    """Standardised measured numbers of a batch, (B, P) float32; NaN where they can't be measured."""
    names = measured_names(config.measured)
    found = measure(
        galaxies, config.measured, crop=config.crop, uncalibrated=config.measured_uncalibrated
    ).for_models()
    center = np.array([config.measured_center.get(n, 0.0) for n in names], np.float32)
    spread = np.array([config.measured_spread.get(n, 1.0) for n in names], np.float32)
    return np.asarray((found - center) / spread)
