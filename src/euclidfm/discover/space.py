"""The space that similarity and strangeness are measured in: scaled embeddings.

The numbers of an embedding have very different spreads; without scaling, a handful of
them decides every distance. `fit_scaling` removes that, in one of three ways:

``standard``  each number minus its mean, over its standard deviation;
``whiten``    principal components, each over its standard deviation, down to the
              components that carry 0.1% of the largest one's variance;
``centre``    minus the mean only.

Shapes: N galaxies, D width of the vectors, P width of the scaled vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.errors import InputError

__all__ = ["Scaling", "ScalingName", "fit_scaling", "principal_components", "vectors_of"]

ScalingName = Literal["standard", "whiten", "centre"]

_FIT_ROWS = 100_000
_WHITEN_FLOOR = 1e-3


@dataclass(frozen=True)
class Scaling:
    """An affine map of embeddings.

    Attributes
    ----------
    mean : (D,) float32
    matrix : (D,) or (D, P) float32
        Factors, or a full matrix for principal components.
    """

    mean: np.ndarray
    matrix: np.ndarray

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Scaled vectors, (N, P) float32."""
        centred = np.asarray(vectors, np.float32) - self.mean
        return centred * self.matrix if self.matrix.ndim == 1 else centred @ self.matrix

    def unit(self, vectors: np.ndarray) -> np.ndarray:
        """Scaled vectors of length one, so that a dot product is a cosine."""
        scaled = self(vectors)
        return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)


def vectors_of(emb: EmbeddingTable, space: str = "joint") -> np.ndarray:
    """Vectors of the joint space or of one modality, (N, D); rows of NaN where there are none.

    Raises
    ------
    InputError
        If the table has no such space.
    """
    if space == "joint":
        return emb.vectors
    if space not in emb.by_modality:
        msg = f"the embeddings have no space {space!r}; they have {', '.join(['joint', *emb.by_modality])}"
        raise InputError(msg)
    return emb.by_modality[space]


def finite_rows(vectors: np.ndarray) -> np.ndarray:
    """(N,) bool: rows without NaN or infinity."""
    return np.asarray(np.isfinite(vectors).all(axis=1))


def fit_scaling(vectors: np.ndarray, name: ScalingName = "standard") -> Scaling:
    """Measure a scaling on vectors (at most 100 000 of them, evenly taken; rows with NaN are left out)."""
    usable = vectors[finite_rows(vectors)]
    usable = usable[:: max(1, -(-len(usable) // _FIT_ROWS))].astype(np.float64)
    if not len(usable):
        msg = "no galaxy has an embedding in this space"
        raise InputError(msg)
    mean = usable.mean(axis=0)
    spread = usable.std(axis=0)
    if name == "centre":
        matrix = np.ones_like(mean)
    elif name == "standard":
        matrix = np.where(spread > 1e-8, 1.0 / np.maximum(spread, 1e-8), 0.0)
    elif name == "whiten":
        matrix = _whitening(usable - mean)
    else:
        msg = f"unknown scaling {name!r}; use standard, whiten or centre"
        raise InputError(msg)
    return Scaling(mean.astype(np.float32), matrix.astype(np.float32))


def _whitening(centred: np.ndarray) -> np.ndarray:
    variance, axes = np.linalg.eigh(centred.T @ centred / max(len(centred) - 1, 1))
    keep = variance > _WHITEN_FLOOR * variance.max()
    return np.asarray(axes[:, keep] / np.sqrt(variance[keep]))


def principal_components(vectors: np.ndarray, count: int) -> np.ndarray:
    """First `count` principal components of standardised, finite vectors: (N, <= count) float32.

    The signs are fixed (the largest weight of each axis is positive), so that a map
    does not flip from one machine to another.
    """
    scaled = fit_scaling(vectors)(vectors).astype(np.float64)
    _, axes = np.linalg.eigh(scaled.T @ scaled)
    axes = axes[:, ::-1][:, :count]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.asarray(scaled @ (axes * signs), np.float32)
