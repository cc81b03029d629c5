"""A small store of mock galaxies, and embeddings that contain their properties."""

import numpy as np

from euclidfm.core.bands import resolve_bands
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.store import Column, Galaxies, GalaxyStore, StoreInfo, StoreWriter

SED = ("g", "VIS", "Y", "H")
IMAGES = ("VIS", "H")
SIZE = 16


def make_world(path, n=500, seed=0):
    """Store and embeddings; pixels, photometry and vectors depend on redshift, mass and class."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.1, 2.0, n)
    mass = 9.0 + rng.normal(0, 0.5, n) + 0.5 * z
    featured = rng.random(n) < 0.5
    star = rng.random(n) < 0.15
    lam = np.array([0.48, 0.72, 1.08, 1.77])
    mag = 33.0 - 1.0 * mass[:, None] + 3.0 * np.log1p(z)[:, None] * (1.0 - lam) + rng.normal(0, 0.03, (n, 4))
    mag[star] = 20 + 0.5 * lam
    flux = 10 ** (0.4 * (23.9 - mag))
    fluxerr = np.full_like(flux, 0.02)
    flux += rng.normal(0, 0.02, flux.shape)
    flux[rng.random(flux.shape) < 0.03] = np.nan
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    width = np.where(star, 1.0, np.where(featured, 3.5, 2.0))[:, None, None]
    shape = np.exp(-0.5 * (x**2 + y**2) / width**2)
    shape /= shape.sum(axis=(1, 2), keepdims=True)
    k = {"VIS": 1, "H": 3}
    images = {
        b: (np.nan_to_num(flux[:, i])[:, None, None] * shape + rng.normal(0, 0.002, shape.shape)).astype(
            np.float32
        )
        for b, i in k.items()
    }
    split = rng.choice(["train", "validation", "test"], n, p=[0.6, 0.1, 0.3])
    gz = np.where(featured, rng.uniform(0.5, 0.95, n), rng.uniform(0.05, 0.5, n))
    galaxies = Galaxies(
        object_id=-(10**17) - np.arange(n) * 1001,
        ra=rng.uniform(60, 61, n),
        dec=rng.uniform(-50, -49, n),
        tile=np.zeros(n, np.int64),
        split=split,
        images=images,
        masks={b: np.zeros((n, SIZE, SIZE), bool) for b in IMAGES},
        noise={b: np.full(n, 0.002, np.float32) for b in IMAGES},
        flux=flux.astype(np.float32),
        fluxerr=fluxerr.astype(np.float32),
        sed_bands=SED,
        columns={
            "z_spec": np.where(star | (rng.random(n) < 0.2), np.nan, z),
            "log_mass": np.where(star, np.nan, mass),
            "gz_smooth": np.where(star, np.nan, 0.98 * (1 - gz)),
            "gz_featured": np.where(star, np.nan, 0.98 * gz),
            "kind": np.where(star, "star", "galaxy").astype(object),
        },
    )
    info = StoreInfo(
        image_bands=IMAGES,
        image_size=SIZE,
        sed_bands=tuple(resolve_bands(SED)),
        columns=(
            Column(name="z_spec"),
            Column(name="log_mass"),
            Column(name="gz_smooth"),
            Column(name="gz_featured"),
            Column(name="kind", type="string", role="truth"),
        ),
    )
    with StoreWriter(path, info) as writer:
        writer.add(galaxies)
    hidden = np.stack([np.log1p(z), mass - 10, featured, star, *rng.normal(size=(4, n))], axis=1)
    vectors = np.tanh(hidden @ rng.normal(0, 0.4, (8, 24))) + 0.02 * rng.normal(size=(n, 24))
    by = {"VIS": vectors[:, :12].astype(np.float32), "SED": vectors[:, 12:].astype(np.float32)}
    by["VIS"][rng.random(n) < 0.1] = np.nan
    emb = EmbeddingTable(
        object_id=galaxies.object_id,
        ra=galaxies.ra,
        dec=galaxies.dec,
        split=split,
        vectors=vectors.astype(np.float32),
        by_modality=by,
        info={"modalities": ["VIS", "SED"], "model": "test"},
    )
    return GalaxyStore.open(path), emb
