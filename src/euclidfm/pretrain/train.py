"""The training loop.

Every random choice is a function of (seed, step), so that a run that was killed continues
exactly as if it had not been. Started by ``torchrun``, it trains with one process a device (DDP or
FSDP); the processes share each global batch, and the loss is normalised over all of them, so the
result does not depend on their number but for rounding.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import distributed as dist

from euclidfm.core.errors import InputError
from euclidfm.core.files import versions, write_json
from euclidfm.core.progress import Progress, silent
from euclidfm.model import FoundationModel, tokenize
from euclidfm.model.compiled import compile_blocks
from euclidfm.model.config import fit_scaling
from euclidfm.model.precision import choose_precision
from euclidfm.pretrain import checkpoint
from euclidfm.pretrain.augment import draw, drop_at_random
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.distributed import World
from euclidfm.pretrain.guards import check_finite, memory_guard
from euclidfm.pretrain.log import RunLog
from euclidfm.pretrain.optimizers import Average, learning_rate, optimizers
from euclidfm.pretrain.run_dir import claim
from euclidfm.pretrain.sharding import agree, shard, unsharded, whole, whole_model
from euclidfm.pretrain.step import Stepper, slots
from euclidfm.pretrain.validate import plain_tokens, validate
from euclidfm.store import GalaxyStore
from euclidfm.store.loader import Stream

__all__ = ["PretrainConfig", "pretrain"]

log = logging.getLogger(__name__)

Picture = Callable[[FoundationModel, Path], None]


def pretrain(
    config: PretrainConfig,
    store_path: str | Path,
    out: str | Path,
    progress: Progress = silent,
    picture: Picture | None = None,
) -> FoundationModel:
    """Pre-train a model on the training split of a store.

    Parameters
    ----------
    config : PretrainConfig
    store_path : path
    out : path
        Run folder; if it holds checkpoints of the same config, training continues.
    progress : callable, optional
        ``progress(done, total, what)`` in galaxies.
    picture : callable, optional
        ``picture(model, path)`` draws what a model foresees, every ``config.sample_every`` steps
        (`euclidfm.commands.model.training_pictures` makes one).

    Returns
    -------
    FoundationModel
        Also written to `out`, with ``config.yaml``, ``log.csv`` and ``run.json``.

    Raises
    ------
    InputError
        If the store lacks what the model needs, or `out` belongs to another run.
    """
    if config.sample_every and picture is None:
        msg = "sample_every needs something that draws: give pretrain a picture, or set it to 0"
        raise InputError(msg)
    world = World.join()
    try:
        return _pretrain(config, GalaxyStore.open(store_path), Path(out), world, progress, picture)
    finally:
        world.leave()


def _pretrain(
    config: PretrainConfig,
    store: GalaxyStore,
    out: Path,
    world: World,
    progress: Progress,
    picture: Picture | None,
) -> FoundationModel:
    rows = store.rows("train")
    if not len(rows):
        msg = f"store {store.path} has no galaxies in the training split; ingest with larger split_fractions"
        raise InputError(msg)
    if 0 < config.galaxies < len(rows):
        rows = np.sort(np.random.default_rng(config.seed).permutation(rows)[: config.galaxies])
    scaled = fit_scaling(config.model, store, rows)
    absent = [m for m in config.model.modalities if m not in scaled.modalities]
    if absent:
        log.warning("store %s has no %s: the model is made without", store.path, ", ".join(absent))
    resolved = asdict(config) | {"model": asdict(scaled), "store": str(store.path)}
    claim(out, resolved, world)
    torch.manual_seed(config.seed)
    model = FoundationModel(scaled)
    parameters = model.parameter_count()
    sharded = config.parallel == "fsdp" and world.size > 1
    if sharded:
        shard(model, world)
    else:
        model.to(world.device)
    every_optimizer, average = optimizers(model, config), Average(model, config.ema)
    meta = checkpoint.load_newest(out / "checkpoints", model, every_optimizer, average)
    step = int(meta["step"]) if meta else 0
    agree(world, step)
    if config.compile:
        compile_blocks(model)
    stepper = Stepper(model, world)
    records = RunLog(
        out / "log.csv",
        step,
        list(scaled.modalities),
        write=world.rank == 0,
        tensorboard=config.tensorboard,
        wandb=resolved if config.wandb else None,
    )
    bands = tuple(b for b in scaled.image_bands if b in store.info.image_bands)
    stream = Stream(store, rows, config.batch, config.seed, world.rank, world.size, bands=bands)
    waves = store.info.wavelengths_nm
    held_out = plain_tokens(store, scaled, store.rows("validation")[:512], world.device)
    precision = choose_precision(config.precision, world.device)
    begun = time.monotonic()
    batches = stream.forever(step)
    while step < config.steps:
        galaxies = next(batches)
        chances = draw(
            config.seed,
            step,
            config.batch,
            len(scaled.modalities),
            len(waves),
            slots(scaled, len(waves)),
            len(scaled.scalars),
        )
        chances = chances.share(world.rank, world.size, len(galaxies))
        tokens = tokenize(scaled, galaxies, waves, chances.turn.numpy() if config.turn else None)
        tokens = drop_at_random(tokens, chances, config.drop_modality, config.drop_band)
        rate = learning_rate(config, step)
        for group in (g for o in every_optimizer for g in o.param_groups):
            group["lr"] = rate
        with memory_guard(config, step, out):
            loss, parts = stepper.backward(config, tokens, chances, precision)
        norm = whole(torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip))
        check_finite(norm, loss, step, out)
        for o in every_optimizer:
            o.step()
            o.zero_grad(set_to_none=True)
        average.update(step)
        step += 1
        last = step == config.steps
        seen = min(len(rows), config.batch) * step
        if step % 10 == 0 or last:
            rows_out = {"step": step, "galaxies": seen, "seconds": time.monotonic() - begun, "lr": rate}
            rows_out |= {"loss": float(loss), "grad_norm": float(norm)}
            rows_out |= {f"loss_{m}": v for m, v in parts.items()}
            if held_out and (step % config.validate_every == 0 or last):
                lowest = records.lowest("val_loss")
                with average.used():
                    with unsharded(model):
                        rows_out |= validate(model, held_out, config, precision)
                    better = config.keep_best and rows_out["val_loss"] < lowest
                    if _all_do(better, world) if sharded else better and world.rank == 0:
                        with unsharded(model):
                            model.fit_typical(plain_tokens(store, scaled, rows[:512], world.device))
                        best = whole_model(model, keep=world.rank == 0)
                        if best is not None:
                            best.save(out / "best", {"store": str(store.path), "steps": step})
            records.add(rows_out)
            progress(seen, config.steps * min(len(rows), config.batch), f"loss {float(loss):.3f}")
        if picture is not None and config.sample_every and (step % config.sample_every == 0 or last):
            with average.used():
                shown = whole_model(model, keep=world.rank == 0)
                if shown is not None:
                    (out / "samples").mkdir(exist_ok=True)
                    picture(shown, out / "samples" / f"step-{step:08d}.png")
        if (world.rank == 0 or sharded) and (step % config.checkpoint_every == 0 or last):
            records.flush()
            about, where, write = {"store": str(store.path)}, out / "checkpoints", world.rank == 0
            checkpoint.save(where, step, model, every_optimizer, about, config.keep, average.weights, write)
    records.close()
    average.put()
    with unsharded(model.eval()):
        model.fit_typical(plain_tokens(store, scaled, rows[:512], world.device))
    trained = whole_model(model)
    assert trained is not None
    if world.rank == 0:
        spent = time.monotonic() - begun
        run = {
            "steps": step,
            "galaxies": min(len(rows), config.batch) * step,
            "seconds": spent,
            "parameters": parameters,
            "processes": world.size,
            "precision": str(precision),
            "versions": versions(),
            "seed": config.seed,
        }
        write_json(out / "run.json", run)
        trained.save(out, {"store": str(store.path), "release": store.info.release, "steps": step})
    return trained


def _all_do(decision: bool, world: World) -> bool:
    """What the first process decides."""
    told = torch.tensor(int(decision), device=world.device)
    dist.broadcast(told, 0)
    return bool(told)
