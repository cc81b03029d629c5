"""Which vectors a probe reads: the joint ones, or those of the one modality that says most.

At a few dozen labels the vectors of an image only add noise to what the photometry says of a
redshift; at thousands they help. So the choice is made on the training labels, by the
leave-one-out error of a ridge, as the penalty is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.ridge import ridge

__all__ = ["choose_space", "spaces_of"]

MOST = 1000
"""Galaxies on which the spaces are compared."""


def spaces_of(emb: EmbeddingTable) -> dict[str, np.ndarray]:
    """The joint vectors and, where there are several, those of each modality."""
    apart = emb.by_modality if len(emb.by_modality) > 1 else {}
    return {"joint": emb.vectors, **apart}


def choose_space(spaces: Mapping[str, np.ndarray], y: np.ndarray, seed: int = 0) -> str:
    """Name of the space of least leave-one-out error.

    Parameters
    ----------
    spaces : dict of str to (n, d) array
        Vectors of the training galaxies; NaN where a galaxy has none.
    y : (n,) array
        Targets; for classes their numbers, each against the rest.
    seed : int
        Of the draw of at most `MOST` galaxies.
    """
    if len(spaces) == 1:
        return next(iter(spaces))
    rows = np.sort(np.random.default_rng(seed).permutation(len(y))[:MOST])
    classes = np.unique(y) if len(np.unique(y)) <= 10 else None
    targets = [y[rows]] if classes is None else [(y[rows] == c).astype(float) for c in classes[1:]]
    errors = {}
    for name, vectors in spaces.items():
        features = Scaler.of(vectors[rows])(vectors[rows])
        errors[name] = sum(ridge(features, t).loss for t in targets)
    return min(errors, key=lambda name: errors[name])
