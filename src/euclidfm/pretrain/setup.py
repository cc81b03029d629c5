"""Everything that a pre-training run needs before its first step."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from euclidfm.core.errors import InputError
from euclidfm.core.run_folder import ModelFolder
from euclidfm.model.checkpoint import build
from euclidfm.model.device import choose_precision, compile_blocks
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.readout import READOUT
from euclidfm.model.scaling import fit_scaling
from euclidfm.model.tokens import Tokens
from euclidfm.pretrain import checkpoint
from euclidfm.pretrain.batches import TrainingBatch, plain_batches, training_batches
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.distributed import DistributedContext
from euclidfm.pretrain.ema import ExponentialMovingAverage
from euclidfm.pretrain.log import TrainingLog
from euclidfm.pretrain.optimizers import make_optimizers
from euclidfm.pretrain.run_dir import check_run_dir
from euclidfm.pretrain.sharding import shard_model
from euclidfm.pretrain.step import TrainingStep
from euclidfm.store import GalaxyStore

__all__ = ["Run", "setup"]

log = logging.getLogger(__name__)

VALIDATION_GALAXIES = 512
"""Galaxies of the validation split that are used: eight batches of the default size."""


@dataclass
class Run:
    """State of a pre-training run."""

    config: PretrainConfig
    store: GalaxyStore
    out: Path
    """Run folder."""
    distributed: DistributedContext
    rows: np.ndarray
    """(N,) training galaxies."""
    model: FoundationModel
    parameters: int
    """Number of parameters of the model."""
    optimizers: list[torch.optim.Optimizer]
    ema: ExponentialMovingAverage
    first_step: int
    """Steps already taken, by the checkpoint that the run continues from."""
    training_step: TrainingStep
    precision: torch.dtype
    log: TrainingLog
    batches: Iterator[TrainingBatch]
    """Training batches from `first_step` on."""
    validation: list[Tokens]
    """Batches of the validation split; empty if the store has none."""
    started: float = field(default_factory=time.monotonic)

    def is_due(self, step: int, every: int) -> bool:
        """Whether something that is done every so many steps, and at the last, is due after `step` steps."""
        return step % every == 0 or step == self.config.steps

    def galaxies_seen(self, steps: int) -> int:
        """Galaxies in so many steps."""
        return min(len(self.rows), self.config.batch) * steps

    @property
    def seconds(self) -> float:
        """Seconds since the setup."""
        return time.monotonic() - self.started


def setup(config: PretrainConfig, store: GalaxyStore, out: Path, distributed: DistributedContext) -> Run:
    """Prepare a run: scaling, run folder, model, optimisers, newest checkpoint, log, batches.

    Parameters
    ----------
    config : PretrainConfig
    store : GalaxyStore
    out : path
        Run folder, new or of a run with the same settings.
    distributed : DistributedContext

    Raises
    ------
    InputError
        If the store lacks what the model needs, or `out` holds a run with other settings.
    """
    rows = _training_rows(config, store)
    scaled = fit_scaling(config.model, store, rows)
    missing = [m for m in config.model.modalities if m not in scaled.modalities]
    if missing:
        log.warning("store %s has no %s: the model is made without", store.path, ", ".join(missing))
    settings = asdict(config) | {"model": asdict(scaled), "store": str(store.path)}
    check_run_dir(out, settings, write=distributed.is_main)

    torch.manual_seed(config.seed)
    model: FoundationModel = build(scaled)
    parameters = model.parameter_count()
    if config.parallel == "fsdp" and distributed.world_size > 1:
        shard_model(model, distributed)
    else:
        model.to(distributed.device)
    optimizers = make_optimizers(model, config)
    ema = ExponentialMovingAverage(model, config.ema)
    first_step = checkpoint.resume(ModelFolder(out).checkpoints, model, optimizers, ema)
    distributed.check_same_step(first_step)
    if config.compile:
        compile_blocks(model)

    losses = (*scaled.modalities, *((READOUT,) if scaled.has_image_encoder else ()))
    precision = choose_precision(config.precision, distributed.device)
    validation_rows = store.rows("validation")[:VALIDATION_GALAXIES]
    return Run(
        config=config,
        store=store,
        out=out,
        distributed=distributed,
        rows=rows,
        model=model,
        parameters=parameters,
        optimizers=optimizers,
        ema=ema,
        first_step=first_step,
        training_step=TrainingStep(model, config, precision, distributed),
        precision=precision,
        log=TrainingLog(out, first_step, losses, settings, config.log_to, distributed.is_main),
        batches=training_batches(config, model.tokenizer, store, rows, distributed, first_step),
        validation=plain_batches(store, model.tokenizer, validation_rows, distributed.device),
    )


def _training_rows(config: PretrainConfig, store: GalaxyStore) -> np.ndarray:
    """(N,) rows of the training split, or `config.galaxies` of them."""
    rows = store.rows("train")
    if not len(rows):
        msg = f"store {store.path} has no galaxies in the training split; ingest with larger split_fractions"
        raise InputError(msg)
    if 0 < config.galaxies < len(rows):
        rows = np.sort(np.random.default_rng(config.seed).permutation(rows)[: config.galaxies])
    return rows
