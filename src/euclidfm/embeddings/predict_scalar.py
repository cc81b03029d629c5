"""Prediction of a scalar that a galaxy's store may lack, by the model alone.

A model that was pre-trained with scalars (`ModelConfig.scalars`), known for some galaxies only, such as the
redshift of mock galaxies, predicts them for the others. The scalar stands last in the sequence, after all
that the galaxy has. Its own value is never read, where the store has one.

Shapes: N galaxies, n scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.model.config import SCALARS, SED
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.scaling import check_images
from euclidfm.model.sequence import random_orders
from euclidfm.model.tokens import ModalityTokens, Tokens
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["predict_scalar", "with_part"]


@torch.inference_mode()
def predict_scalar(
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
    """Location and scale of the model's distribution of one of its scalars.

    Parameters
    ----------
    model : FoundationModel
        With the likelihood objective, predicting the next token.
    store : GalaxyStore
    name : str
        One of the model's scalars.
    sed_bands : sequence of str, optional
        Bands of the SED that the model may read; default all. Where the galaxies that know the scalar have
        fewer bands than the others, give those: predictions go astray with a band that the model never read
        beside the scalar.
    orders : int
        Random orders of the SED bands over which the predictions are averaged. A model that was trained in
        random order predicts better so than in any single order.
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
    if not model.objective.has_likelihood or config.masked:
        msg = "only a model with --model.objective likelihood that predicts the next token predicts a scalar"
        raise InputError(msg)
    at = config.scalars.index(name)
    bands = tuple(b for b in config.image_bands if b in store.info.image_bands)
    check_images(config, store, bands)
    out, rows = [], store.rows()
    for galaxies in store.batches(rows, batch, bands):
        tokens = model.tokenizer(galaxies, store.info.wavelengths_nm)
        tokens[SCALARS] = _only_scalar(tokens, at)
        if sed_bands is not None and SED in tokens:
            tokens[SED] = _only_bands(tokens, galaxies, sed_bands)
        known = torch.stack([t.valid.any(dim=1) for m, t in tokens.items() if m != SCALARS]).any(0)
        tokens = {m: t.to(model.device) for m, t in tokens.items()}
        found = _averaged(model, tokens, at, orders, seed)
        found[~known] = torch.nan
        out.append(found.numpy())
        progress(sum(map(len, out)), len(rows))
    spread, centre = config.scalar_spread.get(name, 1.0), config.scalar_center.get(name, 0.0)
    values = np.concatenate(out) if out else np.empty((0, 2))
    return values * spread + np.array([centre, 0.0])


def _only_scalar(tokens: Tokens, at: int) -> ModalityTokens:
    """Scalar tokens of which one exists, without its value."""
    scalars = tokens[SCALARS]
    only = torch.zeros_like(scalars.valid)
    only[:, at] = True
    return replace(
        scalars,
        features=torch.zeros_like(scalars.features),
        target=torch.zeros_like(scalars.target),
        weight=only[..., None].float(),
        valid=only,
    )


def _only_bands(tokens: Tokens, galaxies: Galaxies, bands: Sequence[str]) -> ModalityTokens:
    """SED tokens of some bands."""
    keep = torch.tensor([b in bands for b in galaxies.sed_bands])
    sed = tokens[SED]
    return replace(sed, valid=sed.valid & keep, weight=sed.weight * keep[:, None])


def _averaged(model: FoundationModel, tokens: Tokens, at: int, orders: int, seed: int) -> Tensor:
    """(B, 2) mean location, and geometric mean of the scale, over orders with the scalars last."""
    names = model.config.modalities
    rank = torch.tensor([[int(m == SCALARS) * len(names) for m in names]])
    rank = (rank + torch.arange(len(names))).argsort(1).argsort(1)
    galaxies = len(tokens[SCALARS].valid)
    order = rank.expand(galaxies, -1).to(model.device)
    mean = torch.zeros(galaxies, device=model.device)
    log_scale = torch.zeros_like(mean)
    for number in range(orders):
        shuffle = random_orders(tokens, seed * 1000 + number, (SED,))["shuffle"]
        d = model.objective.distribution(SCALARS, model(tokens, order, shuffle)[SCALARS])
        mean = mean + d.location[:, at, 0] / orders
        log_scale = log_scale + d.scale[:, at, 0].log() / orders
    return torch.stack([mean, log_scale.exp()], dim=1).cpu().double()


def with_part(emb: EmbeddingTable, name: str, vectors: np.ndarray) -> EmbeddingTable:
    """The table with one more part: vectors (N, d) beside those of the modalities, and in the joint ones."""
    vectors = vectors.astype(np.float32)
    return replace(
        emb,
        vectors=np.concatenate([emb.vectors, vectors], axis=1),
        by_modality={**emb.by_modality, name: vectors},
    )
