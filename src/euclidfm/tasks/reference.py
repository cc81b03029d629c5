"""Distance of a galaxy from the training galaxies of a probe, which extrapolates far from them.

Shapes: n galaxies, d features, k directions, m training galaxies that are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from euclidfm.core.errors import InputError
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.tasks.heads.maps import principal_components

__all__ = ["Reference", "distances", "provenance"]

MOST = 2000
"""Largest number of training galaxies that are stored (0.2 MB)."""
DIRECTIONS = 24
"""Largest number of principal components in which distances are measured."""
NEIGHBOURS = 5


@dataclass
class Reference:
    """Training galaxies in whitened principal components, and their distances from one another.

    The distance of a galaxy is the mean distance to its five nearest training galaxies, in units of the
    median distance of the training galaxies themselves, each measured without itself.

    Attributes
    ----------
    rotation : (d, k) float32
        Features to components of unit variance.
    points : (m, k) float32
    own : (m,) float32
        Distances of the training galaxies themselves, in increasing order.
    """

    rotation: np.ndarray
    points: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, S: np.ndarray, seed: int = 0) -> Reference:
        """Fit to the (n, d) scaled features of the training galaxies; at most 2000 of these are stored.

        The number of components is at most n / 10 and at most 24. With more, they would overfit the few
        training galaxies, and every other galaxy would seem far away.
        """
        directions, spread = principal_components(S, min(DIRECTIONS, max(1, len(S) // 10)))
        rotation = (directions / spread).astype(np.float32)
        rows = np.sort(np.random.default_rng([seed, 17]).permutation(len(S))[:MOST])
        points = (S[rows] @ rotation).astype(np.float32)
        own = np.concatenate([_nearest(points[i : i + 256], points, 1) for i in range(0, len(points), 256)])
        middle = float(np.median(own)) or 1.0
        return cls(rotation / np.float32(middle), points / np.float32(middle), np.sort(own / middle))

    def __call__(self, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance and percentile of galaxies that are not among the training ones.

        Parameters
        ----------
        S : (n, d) array
            Scaled features; a row of NaN stays NaN.

        Returns
        -------
        distance : (n,) array
            1 is the median of the training galaxies.
        percentile : (n,) array
            Percentage of the training galaxies that are nearer to the others.
        """
        distance, known = np.full(len(S), np.nan), np.isfinite(S).all(axis=1)
        if known.any():
            distance[known] = _nearest(S[known] @ self.rotation, self.points, 0)
        percentile = 100.0 * np.searchsorted(self.own, distance) / len(self.own)
        return distance, np.where(known, percentile, np.nan)


def _nearest(X: np.ndarray, points: np.ndarray, skip: int) -> np.ndarray:
    """(n,) mean distance to the nearest points, without the `skip` nearest (the galaxy itself)."""
    k = min(NEIGHBOURS + skip, len(points))
    near = np.sort(np.partition(cdist(X, points), k - 1, axis=1)[:, :k], axis=1)[:, skip:]
    return np.asarray(near.mean(axis=1))


def distances(
    reference: Reference | None, standardised: Callable[[np.ndarray], np.ndarray], X: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance and percentile of (n, d) features as a probe reads them; NaN for a galaxy without any.

    Raises
    ------
    InputError
        If the probe was stored without its training galaxies.
    """
    if reference is None:
        msg = "the probe was stored without its training galaxies, by an older version; fit it again"
        raise InputError(msg)
    S = standardised(X)
    S[~np.isfinite(X).any(axis=1)] = np.nan
    return reference(S)


def provenance(train: EmbeddingTable) -> dict[str, Any]:
    """Origin of the embeddings that a probe learns from, and the modalities of its training galaxies.

    Returns
    -------
    dict
        `embeddings`: the entries of the table's info that JSON can hold. `had`: fraction of the training
        galaxies that have each modality.
    """
    info = {k: v for k, v in train.info.items() if isinstance(v, str | int | float | bool | list)}
    had = {m: float(np.isfinite(v).any(axis=1).mean()) for m, v in train.by_modality.items()}
    return {"embeddings": info, "had": had}
