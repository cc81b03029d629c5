"""Principal components of the pixels: the performance of a linear method on the images alone.

It is a lower bound for embeddings: a model that is no better has learnt nothing from the images.
"""

from __future__ import annotations

import numpy as np

from euclidfm.tasks.heads.base import one_thread
from euclidfm.tasks.heads.make import fit_head

__all__ = ["pixels_pca"]

COMPONENTS = 64
MOST = 1000
"""Largest number of galaxies from which the components are computed."""


def pixels_pca(
    images: np.ndarray, y: np.ndarray, test: np.ndarray, classes: int = 0, seed: int = 0
) -> np.ndarray:
    """Ridge (logistic for classes) on the leading 64 components of (n, B, S, S) images.

    Parameters and result are those of `euclidfm.tasks.baselines.cnn.cnn`. The components are computed from
    at most 1000 of the labelled galaxies; their number is at most half that of these galaxies.
    """
    rows = np.sort(np.random.default_rng([seed, 23]).permutation(len(images))[:MOST])
    sample = images[rows].reshape(len(rows), -1).astype(np.float32)
    centre = sample.mean(axis=0)
    with one_thread():  # from the Gram matrix, since there are fewer galaxies than pixels
        values, vectors = np.linalg.eigh((sample - centre) @ (sample - centre).T)
        keep = np.argsort(values)[::-1][: min(COMPONENTS, max(1, len(rows) // 2))]
        basis = (sample - centre).T @ (vectors[:, keep] / np.sqrt(np.maximum(values[keep], 1e-12)))
        a, b = (_project(x, centre, basis) for x in (images, test))
    return fit_head("linear", a, y, classes, seed).predict(b)


def _project(images: np.ndarray, centre: np.ndarray, basis: np.ndarray) -> np.ndarray:
    parts = [
        (images[i : i + 512].reshape(len(images[i : i + 512]), -1).astype(np.float32) - centre) @ basis
        for i in range(0, len(images), 512)
    ]
    return np.concatenate(parts) if parts else np.empty((0, basis.shape[1]), np.float32)
