"""Galaxies whose colours give the redshift, beside vectors of a pretended model."""

import numpy as np

from euclidfm.embeddings.table import EmbeddingTable

BANDS = 5


def sky(n=400, seed=0, tell=0.0):
    """Fluxes whose colours give the redshift, and vectors that tell `tell` of what colours leave open."""
    rng = np.random.default_rng(seed)
    z, open_part = rng.uniform(0.1, 1.5, n), rng.normal(0, 0.1, n)
    colour = z + open_part
    slope = np.linspace(-1, 1, BANDS)
    flux = 10 ** (
        rng.normal(1.5, 0.3, n)[:, None] + 0.5 * np.outer(colour, slope) + 0.2 * np.outer(colour**2, slope**2)
    )
    error = 0.02 * flux + 0.01
    vectors = rng.normal(size=(n, 30))
    vectors[:, 0] += tell * open_part / 0.1
    photometry = np.concatenate([flux, error], axis=1)
    return photometry.astype(np.float32), vectors.astype(np.float32), np.log1p(z)


def table(photometry, vectors, split=None):
    n = len(vectors)
    sed = photometry[:, :BANDS].copy()
    return EmbeddingTable(
        object_id=np.arange(n),
        ra=np.zeros(n),
        dec=np.zeros(n),
        split=np.resize(["train", "train", "validation", "test"], n) if split is None else split,
        vectors=np.nan_to_num(np.concatenate([vectors, sed], axis=1)),
        by_modality={"VIS": vectors, "SED": sed},
        spaces={"photometry": photometry},
        info={"modalities": ["VIS", "SED"]},
    )
