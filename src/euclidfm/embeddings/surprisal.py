"""Surprisal: how improbable each token of a galaxy is for the model, and so *where* a galaxy is odd.

A model with the likelihood objective predicts a distribution of each value. The distribution is narrow for a
faint patch and wide for a bright core, so that the surprisal -ln p mostly measures brightness. The *excess*
subtracts the entropy H of the distribution::

    excess = mean over the token's measured values of ( -ln p(value) - H )      [nats]

Its mean over the model's own draws is zero, for faint and bright patches alike. A value above zero is less
probable than the model expected. The excess is averaged over several orders of the sequence, since a token
can be improbable alone and probable once another band is known.

Shapes: B galaxies, n tokens of a modality, S patches along the side of a cutout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.model.config import SED
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.scaling import check_images
from euclidfm.model.sequence import every_nth, random_orders
from euclidfm.model.tokens import Tokens, drop_modalities
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["SurpriseMap", "surprise_of", "surprise_table"]

_PARTS = 4
"""A masked model predicts the tokens in so many parts, one after the other."""


@dataclass(frozen=True)
class SurpriseMap:
    """Excess surprisal of the parts of one galaxy.

    Attributes
    ----------
    object_id : int
    patches : dict of str to (S, S) float32
        Excess by image modality; first row as in the cutout. NaN where there are no pixels.
    sed : dict of str to float
        Excess by band; NaN where there is no flux.
    """

    object_id: int
    patches: dict[str, np.ndarray]
    sed: dict[str, float]


def surprise_of(
    model: FoundationModel,
    galaxies: Galaxies,
    *,
    modalities: tuple[str, ...] | None = None,
    draws: int = 8,
    seed: int = 0,
    wavelengths_nm: dict[str, float] | None = None,
) -> list[SurpriseMap]:
    """Map the excess surprisal of some galaxies.

    Parameters
    ----------
    model : FoundationModel
        Trained with the likelihood objective.
    galaxies : Galaxies
    modalities : tuple of str, optional
        Modalities that the model may read; default all.
    draws : int
        Orders of the sequence to average over.
    seed : int
        Of those orders.
    wavelengths_nm : dict, optional
        Wavelength of SED bands; default the table of bands.

    Returns
    -------
    list of SurpriseMap
        In the order of `galaxies`.

    Raises
    ------
    InputError
        If the model has no likelihood.
    """
    tokens = {m: t.to(model.device) for m, t in model.tokenizer(galaxies, wavelengths_nm).items()}
    if modalities is not None:
        tokens = drop_modalities(tokens, modalities)
    excess = _excess(model, tokens, draws, seed)
    grids = {m.name: _raster(model, m.name, excess[m.name]) for m in model.config.images}
    bands = galaxies.sed_bands
    points = excess.get(SED, np.full((len(galaxies), len(bands)), np.nan))
    return [
        SurpriseMap(
            int(galaxies.object_id[i]),
            {m: grid[i].reshape(round(grid.shape[1] ** 0.5), -1) for m, grid in grids.items()},
            {b: float(points[i, k]) for k, b in enumerate(bands)},
        )
        for i in range(len(galaxies))
    ]


def surprise_table(
    model: FoundationModel,
    store: GalaxyStore,
    *,
    modalities: tuple[str, ...] | None = None,
    split: str | None = None,
    draws: int = 4,
    batch: int = 128,
    seed: int = 0,
    progress: Progress = silent,
) -> pa.Table:
    """Excess surprisal of every token of every galaxy of a store.

    Parameters
    ----------
    model : FoundationModel
    store : GalaxyStore
    modalities : tuple of str, optional
        Modalities that the model may read; default all.
    split : str, optional
        Only this split.
    draws, seed : as in `surprise_of`
    batch : int
        Galaxies at a time.
    progress : callable, optional

    Returns
    -------
    pyarrow.Table
        object_id and, for each modality, a list column ``surprise_<modality>``: excess by patch in
        raster order, or by SED band of the store. Rows in the order of the store's index.
    """
    keep = modalities or model.config.modalities
    rows = np.sort(store.rows(split))
    bands = tuple(
        b for m in model.config.images if m.name in keep for b in m.bands if b in store.info.image_bands
    )
    check_images(model.config, store, bands)
    waves = store.info.wavelengths_nm
    parts: dict[str, list[np.ndarray]] = {m: [] for m in keep}
    done = 0
    for number, galaxies in enumerate(store.batches(rows, batch, bands)):
        tokens = {m: t.to(model.device) for m, t in model.tokenizer(galaxies, waves).items()}
        excess = _excess(model, drop_modalities(tokens, keep), draws, seed + number)
        for m in keep:
            parts[m].append(_raster(model, m, excess[m]))
        done += len(galaxies)
        progress(done, len(rows))
    columns: dict[str, Any] = {"object_id": store.index.column("object_id").take(pa.array(rows))}
    for m, values in parts.items():
        joined = np.concatenate(values) if values else np.empty((0, 1), np.float32)
        columns[f"surprise_{m}"] = pa.FixedSizeListArray.from_arrays(
            pa.array(joined.reshape(-1), pa.float32()), joined.shape[1]
        )
    return pa.table(columns)


@torch.inference_mode()
def _excess(model: FoundationModel, tokens: Tokens, draws: int, seed: int) -> dict[str, np.ndarray]:
    """(B, n) mean excess of each token over several orders, in the order of the tokens."""
    if not model.objective.has_likelihood:
        msg = "this model has no likelihood, so no surprisal: pre-train with --model.objective likelihood"
        raise InputError(msg)
    total = {m: torch.zeros(t.valid.shape, device=t.valid.device) for m, t in tokens.items()}
    count = {m: torch.zeros_like(v) for m, v in total.items()}
    parts = range(_PARTS) if model.config.masked else (None,)
    for draw in range(1 if model.config.masked else draws):
        how = {} if model.config.masked else random_orders(tokens, seed=seed * 1009 + draw)
        for part in parts:
            masked = None if part is None else every_nth(tokens, part, _PARTS)
            targets = model.loss_targets(tokens, **how, masked=masked)
            predictions = model(tokens, **how, masked=masked)
            for m, d in model.objective.distributions(predictions, tokens).items():
                here = (targets[m].weight > 0) & tokens[m].valid[..., None]
                nats = torch.where(here, -d.log_density(tokens[m].target) - d.entropy(), 0.0).sum(-1)
                values = here.sum(-1)
                total[m] += nats / values.clamp(min=1)
                count[m] += values > 0
    return {
        m: torch.where(count[m] > 0, total[m] / count[m].clamp(min=1), torch.nan).cpu().numpy()
        for m in tokens
    }


def _raster(model: FoundationModel, modality: str, values: np.ndarray) -> np.ndarray:
    """Tokens of an image modality from the order of the sequence to raster order; others as they are."""
    image = next((m for m in model.config.images if m.name == modality), None)
    if image is None:
        return values
    out = np.empty_like(values)
    out[:, model.tokenizer.patch_order(model.config.crop // image.patch)] = values
    return out
