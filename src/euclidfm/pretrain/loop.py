"""The training loop.

Every random choice is a function of (seed, step), so that a run that was killed continues
exactly as if it had not been. Started by ``torchrun``, it trains with one process a device (DDP);
the processes share each global batch, and the loss is normalised over all of them, so the result
does not depend on their number but for rounding.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from euclidfm.errors import InputError
from euclidfm.files import plain, read_json, versions, write_json, write_yaml
from euclidfm.model import FoundationModel, ModelConfig, Tokens, tokenize
from euclidfm.model.chain import every
from euclidfm.model.config import fit_scaling
from euclidfm.pretrain import checkpoint
from euclidfm.pretrain.augment import draw, drop_at_random
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.guards import check_finite, memory_guard
from euclidfm.pretrain.optimizers import Average, learning_rate, optimizers
from euclidfm.pretrain.runlog import RunLog
from euclidfm.pretrain.step import Stepper, autocast, choose_precision, slots
from euclidfm.pretrain.world import World
from euclidfm.progress import Progress, silent
from euclidfm.store import GalaxyStore
from euclidfm.store.stream import Stream

__all__ = ["PretrainConfig", "pretrain"]

log = logging.getLogger(__name__)


def pretrain(
    config: PretrainConfig, store_path: str | Path, out: str | Path, progress: Progress = silent
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

    Returns
    -------
    FoundationModel
        Also written to `out`, with ``config.yaml``, ``log.csv`` and ``run.json``.

    Raises
    ------
    InputError
        If the store lacks what the model needs, or `out` belongs to another run.
    """
    world = World.join()
    try:
        return _pretrain(config, GalaxyStore.open(store_path), Path(out), world, progress)
    finally:
        world.leave()


def _pretrain(
    config: PretrainConfig, store: GalaxyStore, out: Path, world: World, progress: Progress
) -> FoundationModel:
    rows = store.rows("train")
    if not len(rows):
        msg = f"store {store.path} has no galaxies in the training split; ingest with larger split_fractions"
        raise InputError(msg)
    scaled = fit_scaling(config.model, store, rows)
    absent = [m for m in config.model.modalities if m not in scaled.modalities]
    if absent:
        log.warning("store %s has no %s: the model is made without", store.path, ", ".join(absent))
    resolved = asdict(config) | {"model": asdict(scaled), "store": str(store.path)}
    _claim(out, resolved, world)
    torch.manual_seed(config.seed)
    model = FoundationModel(scaled).to(world.device)
    every_optimizer, average = optimizers(model, config), Average(model, config.ema)
    meta = checkpoint.load_newest(out / "checkpoints", model, every_optimizer, average)
    step = int(meta["step"]) if meta else 0
    stepper = Stepper(model, world)
    records = RunLog(
        out / "log.csv", step, list(scaled.modalities), write=world.rank == 0, tensorboard=config.tensorboard
    )
    bands = tuple(b for b in scaled.image_bands if b in store.info.image_bands)
    stream = Stream(store, rows, config.batch, config.seed, world.rank, world.size, bands=bands)
    waves = {b.name: b.wavelength_nm for b in store.info.sed_bands}
    held_out = _plain_tokens(store, scaled, store.rows("validation")[:512], bands, waves, world.device)
    precision = choose_precision(config, world.device)
    begun = time.monotonic()
    batches = stream.forever(step)
    while step < config.steps:
        galaxies = next(batches)
        chances = draw(
            config.seed, step, config.batch, len(scaled.modalities), len(waves), slots(scaled, len(waves))
        )
        chances = chances.share(world.rank, world.size, len(galaxies))
        tokens = tokenize(scaled, galaxies, waves, chances.turn.numpy() if config.turn else None)
        tokens = drop_at_random(tokens, chances, config.drop_modality, config.drop_band)
        rate = learning_rate(config, step)
        for group in (g for o in every_optimizer for g in o.param_groups):
            group["lr"] = rate
        with memory_guard(config, step, out):
            loss, parts = stepper.backward(config, tokens, chances, precision)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
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
                    rows_out |= _validate(model, held_out, config, precision)
                    if config.keep_best and world.rank == 0 and rows_out["val_loss"] < lowest:
                        model.fit_typical(
                            _plain_tokens(store, scaled, rows[:512], bands, waves, world.device)
                        )
                        model.save(out / "best", {"store": str(store.path), "steps": step})
            records.add(rows_out)
            progress(seen, config.steps * min(len(rows), config.batch), f"loss {float(loss):.3f}")
        if world.rank == 0 and (step % config.checkpoint_every == 0 or last):
            records.flush()
            about = {"store": str(store.path)}
            checkpoint.save(
                out / "checkpoints", step, model, every_optimizer, about, config.keep, average.weights
            )
    records.flush()
    average.put()
    model.eval().fit_typical(_plain_tokens(store, scaled, rows[:512], bands, waves, world.device))
    if world.rank == 0:
        spent = time.monotonic() - begun
        run = {
            "steps": step,
            "galaxies": min(len(rows), config.batch) * step,
            "seconds": spent,
            "parameters": model.parameter_count(),
            "processes": world.size,
            "precision": str(precision),
            "versions": versions(),
            "seed": config.seed,
        }
        write_json(out / "run.json", run)
        model.save(out, {"store": str(store.path), "release": store.info.release, "steps": step})
    return model


def _plain_tokens(
    store: GalaxyStore,
    config: ModelConfig,
    rows: np.ndarray,
    bands: tuple[str, ...],
    waves: dict[str, float],
    device: torch.device,
) -> list[Tokens]:
    """Tokens of some galaxies, in batches, nothing withheld or turned."""
    batches = store.batches(rows, 128, bands)
    return [{m: t.to(device) for m, t in tokenize(config, g, waves).items()} for g in batches]


@torch.no_grad()
def _validate(
    model: FoundationModel, held_out: list[Tokens], config: PretrainConfig, precision: torch.dtype
) -> dict[str, float]:
    """Validation loss in the default order, with nothing withheld."""
    sums = {m: torch.zeros(2) for m in model.config.modalities}
    for tokens in held_out:
        how: dict[str, Any] = {"hidden": every(tokens, 0, 2)} if model.masked else {}
        with autocast(model.device, precision):
            predictions = model(tokens, **how)
        for m, pair in model.loss_sums(predictions, model.asked(tokens, **how)).items():
            sums[m] += torch.stack(pair).cpu()
    means = {m: float(s[0] / s[1].clamp(min=1e-6)) for m, s in sums.items()}
    total = sum(config.model.loss_weights.get(m, 1.0) * v for m, v in means.items())
    return {"val_loss": total} | {f"val_{m}": v for m, v in means.items()}


def _claim(out: Path, resolved: dict[str, Any], world: World) -> None:
    """Make the run folder ours: a new one, or one of the same config."""
    card = out / "config.json"
    if card.exists():
        before = _with_defaults(read_json(card))
        changed = [k for k, v in plain(resolved).items() if before.get(k) != v]
        if changed:
            msg = (
                f"{out} holds a run with other settings ({', '.join(changed)}); "
                f"choose another folder or remove it"
            )
            raise InputError(msg)
    elif world.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        write_yaml(out / "config.yaml", resolved)
        write_json(card, resolved)


def _with_defaults(card: dict[str, Any]) -> dict[str, Any]:
    """A run's config with the defaults of the settings that came after it."""
    model = plain(ModelConfig()) | card.get("model", {})
    return plain(PretrainConfig()) | card | {"model": model}
