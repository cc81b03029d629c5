"""What a model foresees of measured galaxies, token by token: for a look at it while it trains.

Each token is predicted from the measured ones before it in the chain (a masked model: from the other half),
so these are not generated galaxies: the model never reads its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from euclidfm.core.errors import InputError
from euclidfm.generate.complete import Completed
from euclidfm.generate.run import cropped, physical
from euclidfm.model import FoundationModel, tokenize
from euclidfm.model.config import SCALARS, SED
from euclidfm.model.sequence import every
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["foreseen"]


@torch.inference_mode()
def foreseen(model: FoundationModel, store: GalaxyStore, rows: np.ndarray) -> tuple[Galaxies, Galaxies]:
    """Galaxies as measured, cropped, and as the model foresees their tokens, in physical units.

    Raises
    ------
    InputError
        If the model's scaling threw the brightness away and it has neither SED nor scalars.
    """
    config = model.config
    bands = tuple(b for b in config.image_bands if b in store.info.image_bands)
    measured = cropped(store.read(rows, bands), config, hide_half=False)
    images = tuple(m.name for m in config.images) if config.image_scaling == "asinh" else ()
    to = tuple(m for m in config.modalities if m in (*images, SED, SCALARS))
    if not to:
        msg = f"the model's scaling {config.image_scaling!r} threw fluxes away, so it can't be shown"
        raise InputError(msg)
    waves = store.info.wavelengths_nm
    tokens = {m: t.to(model.device) for m, t in tokenize(config, measured, waves).items()}
    value = {m: torch.zeros_like(t.target) for m, t in tokens.items()}
    scale = {m: torch.full_like(t.target, torch.nan) for m, t in tokens.items()}
    made = {m: torch.zeros_like(t.valid) for m, t in tokens.items()}
    for part in range(2 if model.masked else 1):
        hidden = every(tokens, part, 2) if model.masked else None
        raw, asked = model(tokens, hidden=hidden), model.asked(tokens, hidden=hidden)
        for m, numbers in raw.items():
            here = ((asked[m].weight > 0).any(-1) & tokens[m].valid)[..., None]
            told = numbers.float()
            if config.objective == "likelihood":
                distribution = model.distribution(m, numbers)
                told = distribution.location
                scale[m] = torch.where(here, distribution.scale, scale[m])
            value[m] = torch.where(here, told, value[m])
            made[m] |= here[..., 0]
    shown = {m: replace(t, target=value[m], weight=torch.zeros_like(t.weight)) for m, t in tokens.items()}
    return measured, physical(config, measured, Completed(shown, made, scale), to)
