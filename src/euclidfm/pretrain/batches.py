"""Token batches: of a training step, with its augmentations, and of galaxies without any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from euclidfm.measure import measured_names
from euclidfm.model.config import MEASURED, SCALARS, SED, ModelConfig
from euclidfm.model.readout import readout_targets
from euclidfm.model.tokenizer import Tokenizer
from euclidfm.model.tokens import ModalityTokens, Tokens
from euclidfm.pretrain.augment import AugmentationDraws, draw_augmentations, drop_modalities
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.distributed import DistributedContext
from euclidfm.store import GalaxyStore
from euclidfm.store.loader import Stream

__all__ = ["TrainingBatch", "plain_batches", "training_batches"]

PLAIN_BATCH = 128
"""Galaxies in a batch without augmentations."""


class TrainingBatch(NamedTuple):
    """A process's share of the batch of a step."""

    tokens: Tokens
    """With dropped modalities and random symmetries."""
    draws: AugmentationDraws
    """Their random numbers, and those of the order, the prefix and the masks."""
    readout: ModalityTokens | None
    """Targets of the image encoder, from the SED before anything was dropped; None without an encoder."""


def training_batches(
    config: PretrainConfig,
    tokenizer: Tokenizer,
    store: GalaxyStore,
    rows: np.ndarray,
    distributed: DistributedContext,
    first_step: int,
) -> Iterator[TrainingBatch]:
    """Yield this process's share of the batch of each step, without end.

    Parameters
    ----------
    config : PretrainConfig
    tokenizer : Tokenizer
        Of the model.
    store : GalaxyStore
    rows : (N,) array of int
        Training galaxies.
    distributed : DistributedContext
    first_step : int
        Step of the first batch. Each batch depends on the seed and its step alone.

    Yields
    ------
    TrainingBatch
    """
    rank, world_size = distributed.rank, distributed.world_size
    stream = Stream(
        store, rows, config.batch, config.seed, rank, world_size, bands=_image_bands(tokenizer, store)
    )
    wavelengths, model = store.info.wavelengths_nm, tokenizer.config
    bands, modalities, scalars = len(wavelengths), len(model.modalities), len(model.scalars)
    slots = _tokens_per_galaxy(model, bands)
    for step, galaxies in enumerate(stream.forever(first_step), first_step):
        draws = draw_augmentations(config.seed, step, config.batch, modalities, bands, slots, scalars)
        draws = draws.split(rank, world_size, len(galaxies))
        symmetry = draws.symmetry.numpy() if config.random_symmetry else None
        tokens = tokenizer(galaxies, wavelengths, symmetry)
        readout = readout_targets(model, tokens)
        yield TrainingBatch(
            drop_modalities(tokens, draws, config.drop_modality, config.drop_band), draws, readout
        )


def plain_batches(
    store: GalaxyStore, tokenizer: Tokenizer, rows: np.ndarray, device: torch.device
) -> list[Tokens]:
    """Tokens of some galaxies, in batches, without augmentations."""
    wavelengths = store.info.wavelengths_nm
    batches = store.batches(rows, PLAIN_BATCH, _image_bands(tokenizer, store))
    return [{m: t.to(device) for m, t in tokenizer(g, wavelengths).items()} for g in batches]


def _image_bands(tokenizer: Tokenizer, store: GalaxyStore) -> tuple[str, ...]:
    """Image bands of the model that the store has."""
    return tuple(b for b in tokenizer.config.image_bands if b in store.info.image_bands)


def _tokens_per_galaxy(model: ModelConfig, bands: int) -> int:
    """Tokens of a galaxy that has everything, with this number of SED bands."""
    sizes = {m.name: (model.crop // m.patch) ** 2 for m in model.images}
    sizes |= {SED: bands, SCALARS: len(model.scalars), MEASURED: len(measured_names(model.measured))}
    return sum(sizes.get(name, 0) for name in model.modalities)
