"""Scaling of embeddings, for similarities and outlier scores.

The components of an embedding have very different variances. Without scaling, a few of them dominate
every distance. `fit_scaling` offers:

``standard``  each component minus its mean, over its standard deviation;
``whiten``    principal components, each over its standard deviation: `components` of them,
              or those that carry 0.1% of the largest one's variance or more;
``centre``    minus the mean only;
``none``      as they are;
``auto``      ``whiten`` for the space ``shape``, whose two halves (mean and scatter over the
              symmetries) are whitened separately, ``standard`` for all others.

Shapes: N galaxies, D width of the vectors, P width of the scaled vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.embeddings.table import EmbeddingTable

__all__ = ["Scaling", "ScalingName", "fit_scaling", "principal_components", "vectors_of"]

ScalingName = Literal["auto", "standard", "whiten", "centre", "none"]

_FIT_ROWS = 100_000
_WHITEN_FLOOR = 1e-3
_HALVES = {"shape": 2}
"""Spaces that concatenate several parts, which are whitened separately."""
_SHAPE_COMPONENTS = 96
"""Components of each half of the space ``shape`` (docs/discovery.md describes how it was chosen)."""


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
    """Vectors of the joint space, of one modality or of a further space, (N, D); NaN if there are none.

    Raises
    ------
    InputError
        If the table has no such space.
    """
    if space == "joint":
        return emb.vectors
    have = emb.by_modality | emb.spaces
    if space not in have:
        more = "; `euclidfm embed --symmetries 8` makes it" if space == "shape" else ""
        msg = f"the embeddings have no space {space!r}; they have {', '.join(['joint', *have])}{more}"
        raise InputError(msg)
    return have[space]


def finite_rows(vectors: np.ndarray) -> np.ndarray:
    """(N,) bool: rows without NaN or infinity."""
    return np.asarray(np.isfinite(vectors).all(axis=1))


def fit_scaling(
    vectors: np.ndarray, name: ScalingName = "standard", *, space: str = "joint", components: int = 0
) -> Scaling:
    """Fit a scaling to vectors (at most 100 000 of them, evenly spaced; rows with NaN are left out).

    Parameters
    ----------
    vectors : (N, D) array
    name : {"auto", "standard", "whiten", "centre", "none"}
    space : str
        Space of the vectors; it decides what ``auto`` means.
    components : int
        Components of ``whiten`` (of each half of ``shape``). 0 takes those with at least 0.1% of the
        largest variance, and 96 for ``shape``.

    Raises
    ------
    InputError
        If no row is finite, or the scaling is unknown.
    """
    if components < 0:
        msg = f"components must be 0 or more, got {components}"
        raise InputError(msg)
    halves = _HALVES.get(space, 1)
    if name == "auto":
        name = "standard" if halves == 1 else "whiten"
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
        matrix = _whitening_of_parts(usable - mean, halves, components)
    elif name == "none":
        mean, matrix = np.zeros_like(mean), np.ones_like(mean)
    else:
        msg = f"unknown scaling {name!r}; use auto, standard, whiten, centre or none"
        raise InputError(msg)
    return Scaling(mean.astype(np.float32), matrix.astype(np.float32))


def _whitening_of_parts(centred: np.ndarray, parts: int, components: int) -> np.ndarray:
    """Block-diagonal map that whitens each of the concatenated parts separately."""
    if parts > 1:
        components = components or _SHAPE_COMPONENTS
    width = centred.shape[1] // parts
    blocks = [_whitening(centred[:, p * width : (p + 1) * width], components) for p in range(parts)]
    out = np.zeros((centred.shape[1], sum(b.shape[1] for b in blocks)))
    column = 0
    for p, block in enumerate(blocks):
        out[p * width : (p + 1) * width, column : column + block.shape[1]] = block
        column += block.shape[1]
    return out


def _whitening(centred: np.ndarray, components: int) -> np.ndarray:
    """(D, P) principal axes over the standard deviation along them.

    With a number of components, the axes are those of the standardised vectors.
    """
    spread = centred.std(axis=0) if components else np.ones(centred.shape[1])
    scale = np.where(spread > 1e-8, 1.0 / np.maximum(spread, 1e-8), 0.0)
    scaled = centred * scale
    variance, axes = np.linalg.eigh(scaled.T @ scaled / max(len(scaled) - 1, 1))
    variance, axes = variance[::-1], axes[:, ::-1]  # the largest first
    keep = variance > (1e-8 if components else _WHITEN_FLOOR) * max(float(variance[0]), 1e-30)
    count = min(int(keep.sum()), components or len(keep))
    return np.asarray(scale[:, None] * axes[:, :count] / np.sqrt(variance[:count]))


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
