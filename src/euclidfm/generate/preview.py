"""Predictions of the tokens of measured galaxies, to inspect a model during training.

Each token is predicted from the measured tokens before it in the sequence. A masked model predicts each half
of the tokens from the other half. The model never reads its own predictions, so these are no generated
galaxies.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from euclidfm.core.errors import InputError
from euclidfm.generate.complete import Completed
from euclidfm.generate.physical import crop_galaxies, to_physical
from euclidfm.model.config import SCALARS, SED
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.sequence import every_nth
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["predict_tokens"]


@torch.inference_mode()
def predict_tokens(model: FoundationModel, store: GalaxyStore, rows: np.ndarray) -> tuple[Galaxies, Galaxies]:
    """Predict the tokens of some galaxies, in physical units.

    Parameters
    ----------
    model : FoundationModel
    store : GalaxyStore
    rows : (N,) array of int
        Rows of the store.

    Returns
    -------
    measured : Galaxies
        The galaxies of the store, cropped to the size of the model.
    predicted : Galaxies
        The predictions of their tokens.

    Raises
    ------
    InputError
        If the scaling removes the brightness, and the model reads neither SED nor scalars.
    """
    config = model.config
    bands = tuple(b for b in config.image_bands if b in store.info.image_bands)
    measured = crop_galaxies(store.read(rows, bands), config, hide_half=False)
    images = tuple(m.name for m in config.images) if model.tokenizer.keeps_brightness else ()
    to = tuple(m for m in config.modalities if m in (*images, SED, SCALARS))
    if not to:
        msg = "the model's scaling removes the brightness of images, so that its predictions have no unit"
        raise InputError(msg)
    tokens = model.tokenizer(measured, store.info.wavelengths_nm)
    tokens = {m: t.to(model.device) for m, t in tokens.items()}
    value = {m: torch.zeros_like(t.target) for m, t in tokens.items()}
    scale = {m: torch.full_like(t.target, torch.nan) for m, t in tokens.items()}
    made = {m: torch.zeros_like(t.valid) for m, t in tokens.items()}
    for part in range(2 if config.masked else 1):
        masked = every_nth(tokens, part, 2) if config.masked else None
        predictions, targets = model(tokens, masked=masked), model.loss_targets(tokens, masked=masked)
        for m, outputs in predictions.items():
            here = ((targets[m].weight > 0).any(-1) & tokens[m].valid)[..., None]
            location = outputs.float()
            if model.objective.has_likelihood:
                distribution = model.objective.distribution(m, outputs)
                location = distribution.location
                scale[m] = torch.where(here, distribution.scale, scale[m])
            value[m] = torch.where(here, location, value[m])
            made[m] |= here[..., 0]
    shown = {m: replace(t, target=value[m], weight=torch.zeros_like(t.weight)) for m, t in tokens.items()}
    return measured, to_physical(model.tokenizer, measured, Completed(shown, made, scale), to)
