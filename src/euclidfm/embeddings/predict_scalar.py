"""What a model expects of a scalar of each galaxy that it has not been shown.

A model that was pre-trained with scalars (`ModelConfig.scalars`), known for some galaxies only, such as
the redshift of mock galaxies, predicts them for the others. The scalar stands last in the chain, after all
that the galaxy has; its own value, where the store has one, is never read.

Shapes: N galaxies, n scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.model import FoundationModel, tokenize
from euclidfm.model.config import SCALARS, SED
from euclidfm.model.sequence import random_orders
from euclidfm.store import GalaxyStore

__all__ = ["foresee", "with_part"]


@torch.inference_mode()
def foresee(
    model: FoundationModel,
    store: GalaxyStore,
    name: str,
    *,
    sed_bands: Sequence[str] | None = None,
    orders: int = 4,
    batch: int = 512,
    seed: int = 0,
    progress: Progress = silent,
) -> np.ndarray:
    """The model's location and scale of one of its scalars.

    Parameters
    ----------
    model : FoundationModel
        With the likelihood objective, reading one token after the other.
    store : GalaxyStore
    name : str
        One of the model's scalars.
    sed_bands : sequence of str, optional
        Bands of the SED that the model may see; default all. Where the galaxies that know the scalar have
        fewer bands than the others, give those: with a band that it never saw beside the scalar a model
        guesses wildly.
    orders : int
        Random orders of the SED bands over which the answers are averaged: a model that was trained in
        random order answers better than in any one of them.
    batch : int
        Galaxies at a time.
    seed : int
        Of the orders.
    progress : callable, optional

    Returns
    -------
    (N, 2) array
        Mean and scale in the scalar's unit, in the order of the store; NaN for a galaxy that has none of
        the model's other modalities.

    Raises
    ------
    InputError
        If the model has no such scalar, or no likelihood, or is a masked one.
    """
    config = model.config
    if name not in config.scalars:
        have = ", ".join(config.scalars) or "none"
        msg = f"the model has no scalar {name!r}; it has {have}"
        raise InputError(msg)
    if config.objective != "likelihood" or config.predict != "next":
        msg = "a scalar is foreseen by a model with --model.objective likelihood that predicts the next token"
        raise InputError(msg)
    info = store.info
    waves = info.wavelengths_nm
    bands = tuple(b for b in config.image_bands if b in info.image_bands)
    at = config.scalars.index(name)
    rank = torch.tensor([[int(m == SCALARS) * len(config.modalities) for m in config.modalities]])
    rank = (rank + torch.arange(len(config.modalities))).argsort(1).argsort(1)
    out, rows = [], store.rows()
    for galaxies in store.batches(rows, batch, bands):
        tokens = tokenize(config, galaxies, waves)
        blank = tokens[SCALARS]
        only = torch.zeros_like(blank.valid)
        only[:, at] = True
        tokens[SCALARS] = replace(
            blank,
            features=torch.zeros_like(blank.features),
            target=torch.zeros_like(blank.target),
            weight=only[..., None].float(),
            valid=only,
        )
        if sed_bands is not None and SED in tokens:
            seen = torch.tensor([b in sed_bands for b in galaxies.sed_bands])
            sed = tokens[SED]
            tokens[SED] = replace(sed, valid=sed.valid & seen, weight=sed.weight * seen[:, None])
        known = torch.stack([t.valid.any(dim=1) for m, t in tokens.items() if m != SCALARS]).any(0)
        tokens = {m: t.to(model.device) for m, t in tokens.items()}
        order = rank.expand(len(galaxies), -1).to(model.device)
        mean = torch.zeros(len(galaxies), device=model.device)
        log_scale = torch.zeros_like(mean)
        for turn in range(orders):
            shuffle = random_orders(tokens, seed * 1000 + turn, (SED,))["shuffle"]
            said = model.distribution(SCALARS, model(tokens, order, shuffle)[SCALARS])
            mean = mean + said.location[:, at, 0] / orders
            log_scale = log_scale + said.scale[:, at, 0].log() / orders
        found = torch.stack([mean, log_scale.exp()], dim=1).cpu().double()
        found[~known] = torch.nan
        out.append(found.numpy())
        progress(sum(map(len, out)), len(rows))
    spread, centre = config.scalar_spread.get(name, 1.0), config.scalar_center.get(name, 0.0)
    values = np.concatenate(out) if out else np.empty((0, 2))
    return values * spread + np.array([centre, 0.0])


def with_part(emb: EmbeddingTable, name: str, vectors: np.ndarray) -> EmbeddingTable:
    """The table with one more part: vectors (N, d) beside those of the modalities, and in the joint ones."""
    vectors = vectors.astype(np.float32)
    return replace(
        emb,
        vectors=np.concatenate([emb.vectors, vectors], axis=1),
        by_modality={**emb.by_modality, name: vectors},
    )
