"""Density of a label given the features: a point regressor and the distribution of its residuals.

Shapes: n galaxies, d scaled features, k principal components, G grid points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from euclidfm.tasks.density.mixture import MixtureConfig, MixtureDensityNetwork
from euclidfm.tasks.heads.ridge import RidgeHead

__all__ = ["CHUNK", "ResidualDensity"]

CHUNK = 1024
"""Galaxies whose densities are computed at a time."""


@dataclass
class ResidualDensity:
    """p(t | x): the ``auto`` regressor predicts t, a mixture-density network the distribution of its errors.

    Attributes
    ----------
    point : RidgeHead
    mixture : MixtureDensityNetwork
        Learnt from the leave-one-out residuals of `point`. It sees the leading principal components of the
        features and the point prediction.
    rotation : (d, k) array
        Scaled features to principal components of unit variance.
    scale : sequence of float
        Mean and standard deviation of the point predictions.
    """

    point: RidgeHead
    mixture: MixtureDensityNetwork
    rotation: np.ndarray
    scale: Sequence[float]

    @classmethod
    def fit(
        cls, S: np.ndarray, t: np.ndarray, rotation: np.ndarray, config: MixtureConfig | None, seed: int
    ) -> ResidualDensity:
        """Learn from (n, d) scaled features and (n,) targets."""
        point, mixture = RidgeHead("auto", seed), MixtureDensityNetwork(config, seed)
        point.fit(S, t)
        predicted = t - point.residuals
        found = cls(point, mixture, rotation, [float(predicted.mean()), float(predicted.std()) or 1.0])
        mixture.fit(found._network_features(S, predicted), point.residuals)
        return found

    def __call__(self, S: np.ndarray, t_grid: np.ndarray) -> np.ndarray:
        """(n, G) densities of t on a common grid, from (n, d) scaled features."""
        predicted = self.point.predict(S)
        out = np.empty((len(S), len(t_grid)))
        for start in range(0, len(S), CHUNK):
            rows = slice(start, start + CHUNK)
            F = self._network_features(S[rows], predicted[rows])
            out[rows] = self.mixture.density(F, t_grid - predicted[rows, None])
        return out

    def _network_features(self, S: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Components and scaled point prediction, clipped to 6 standard deviations."""
        scaled = (predicted - self.scale[0]) / self.scale[1]
        return np.clip(np.concatenate([S @ self.rotation, scaled[:, None]], axis=1), -6.0, 6.0)
