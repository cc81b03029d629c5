"""Vectors that a head reads: the joint ones, those of given modalities, or the best single choice.

With a few dozen labels the vectors of an image add only noise to the information of the photometry about a
redshift; with thousands of labels they help. The choice is made on the training labels, by the leave-one-out
error of a ridge regression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.embeddings.table import IMAGES, MEASURED, PHOTOMETRY, EmbeddingTable
from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.ridge import ridge

__all__ = [
    "blocks_of",
    "choose_space",
    "features_of",
    "inputs_of",
    "is_photometric",
    "spaces_of",
    "widths_of",
]

SED, NUMBERS = "SED", ("SED", "SCALARS", "MEASURED")
"""Modalities that are not images."""

MOST = 1000
"""Largest number of galaxies on which the spaces are compared."""


def is_photometric(block: str) -> bool:
    """Whether a block stems from the SED."""
    return block in (PHOTOMETRY, SED)


def blocks_of(emb: EmbeddingTable) -> tuple[str, ...]:
    """Names of the blocks that a fusion may combine, for `features_of`.

    The photometry, the measured numbers, the images (their summary, or else the vectors of all image
    modalities together), and the vectors of each other modality.
    """
    images = [m for m in emb.by_modality if m not in NUMBERS]
    found = [s for s in (PHOTOMETRY, MEASURED) if s in emb.spaces]
    found += [IMAGES] if IMAGES in emb.spaces else ["+".join(images)] if images else []
    return (*found, *(m for m in emb.by_modality if m in NUMBERS))


def spaces_of(emb: EmbeddingTable) -> dict[str, np.ndarray]:
    """The joint vectors and, if there are several, those of each modality and the image summaries."""
    apart = emb.by_modality if len(emb.by_modality) > 1 else {}
    return {"joint": emb.vectors, **apart, **_images(emb)}


def _images(emb: EmbeddingTable) -> dict[str, np.ndarray]:
    """The image summaries, if the table has them."""
    return {IMAGES: emb.spaces[IMAGES]} if IMAGES in emb.spaces else {}


def choose_space(spaces: Mapping[str, np.ndarray], y: np.ndarray, seed: int = 0) -> str:
    """Name of the space with the smallest leave-one-out error.

    Parameters
    ----------
    spaces : dict of str to (n, d) array
        Vectors of the training galaxies; NaN where a galaxy has none.
    y : (n,) array
        Targets, or class numbers; each class is compared with the others.
    seed : int
        Draws at most `MOST` galaxies.
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


def features_of(emb: EmbeddingTable, use: Sequence[str]) -> np.ndarray:
    """(N, d) vectors of the named spaces (``joint``, modalities, further spaces), concatenated in this order.

    A name such as ``VIS+NISP`` stands for several modalities.

    Raises
    ------
    InputError
        If the table lacks a space, or no name is given.
    """
    known = emb.by_modality | emb.spaces | {"joint": emb.vectors}
    parts = []
    for name in (part for block in use for part in ([block] if block in known else block.split("+"))):
        if name not in known:
            have = ", ".join(["joint", *emb.by_modality, *emb.spaces])
            msg = f"the embedding table has no vectors {name!r}; it has {have}"
            raise InputError(msg)
        parts.append(known[name])
    if not parts:
        msg = "name at least one kind of vectors to use: joint, or a modality"
        raise InputError(msg)
    return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def widths_of(emb: EmbeddingTable, use: Sequence[str]) -> list[tuple[str, int]]:
    """Blocks by name, and how many numbers `features_of` gives for each."""
    return [(name, features_of(emb, (name,)).shape[1]) for name in use]


def inputs_of(emb: EmbeddingTable, use: Sequence[str]) -> str:
    """Modalities from which the vectors were made, such as ``VIS+NISP+SED``."""
    if tuple(use) in (("joint",), ("auto",)):
        return "+".join(emb.info.get("modalities") or emb.by_modality) or "embedding"
    return "+".join(use)
