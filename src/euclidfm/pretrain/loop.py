"""The training loop.

Every random choice is a function of (seed, step), so that a run that was killed continues
exactly as if it had not been. Started by ``torchrun``, it trains with one process a device (DDP);
the processes share each global batch, and the loss is normalised over all of them, so the result
does not depend on their number but for rounding.
"""

from __future__ import annotations

import csv
import logging
import math
import os
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from euclidfm.errors import InputError
from euclidfm.files import plain, read_json, versions, write_json, write_yaml
from euclidfm.model import FoundationModel, ModelConfig, Tokens, tokenize
from euclidfm.model.chain import every
from euclidfm.model.config import SED, fit_scaling
from euclidfm.pretrain import checkpoint
from euclidfm.pretrain.augment import Chances, draw, drop_at_random, hide, prefixes, ranks
from euclidfm.progress import Progress, silent
from euclidfm.store import GalaxyStore
from euclidfm.store.stream import Stream

__all__ = ["PretrainConfig", "pretrain"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """How to pre-train."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The model; its scaling is fitted on the store's training split."""
    steps: int = 1000
    """Optimiser steps."""
    batch: int = 64
    """Galaxies a step, over all processes."""
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    min_lr: float = 0.05
    """Last learning rate over the peak (cosine)."""
    warmup: float = 0.05
    """Share of the steps with a rising learning rate."""
    weight_decay: float = 0.05
    """Decoupled decay of matrices; norms, biases and embeddings have none."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    random_order: bool = True
    """Modalities in random order, and SED bands too; else the order of the config."""
    drop_modality: float = 0.15
    """Chance that a modality is withheld from a galaxy."""
    drop_band: float = 0.1
    """Chance that an SED band is withheld from a galaxy."""
    turn: bool = True
    """Turn and mirror images at random."""
    shuffle_patches: float = 0.0
    """Chance that a galaxy's patches are read in random order, so that any part completes the rest."""
    hide: float = 0.5
    """Share of the tokens that a masked model has to predict."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """``auto``: bf16 autocast on a GPU or a CPU with bf16 matrix units, else fp32."""
    validate_every: int = 200
    """Steps between validations (at most 512 galaxies)."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    keep: int = 2
    """Checkpoints to keep."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every", "checkpoint_every", "keep"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, got {getattr(self, name)}"
                raise InputError(msg)


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
    resolved = asdict(config) | {"model": asdict(scaled), "store": str(store.path)}
    _claim(out, resolved, world)
    torch.manual_seed(config.seed)
    model = FoundationModel(scaled).to(world.device)
    optimizer = _optimizer(model, config)
    meta = checkpoint.load_newest(out / "checkpoints", model, optimizer)
    step = int(meta["step"]) if meta else 0
    wrapped = DistributedDataParallel(model) if world.size > 1 else model
    losses_of = _LossModule(model, wrapped)
    records = _RunLog(out / "log.csv", step, list(scaled.modalities), write=world.rank == 0)
    bands = tuple(b for b in scaled.image_bands if b in store.info.image_bands)
    stream = Stream(store, rows, config.batch, config.seed, world.rank, world.size, bands=bands)
    waves = {b.name: b.wavelength_nm for b in store.info.sed_bands}
    held_out = _plain_tokens(store, scaled, store.rows("validation")[:512], bands, waves, world.device)
    precision = _precision(config, world.device)
    begun = time.monotonic()
    batches = stream.forever(step)
    while step < config.steps:
        galaxies = next(batches)
        chances = draw(
            config.seed, step, config.batch, len(scaled.modalities), len(waves), _slots(scaled, len(waves))
        )
        chances = chances.share(world.rank, world.size, len(galaxies))
        tokens = tokenize(scaled, galaxies, waves, chances.turn.numpy() if config.turn else None)
        tokens = drop_at_random(tokens, chances, config.drop_modality, config.drop_band)
        rate = _learning_rate(config, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, parts = losses_of.train_step(config, tokens, chances, world, precision)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        if not torch.isfinite(norm):
            msg = (
                f"the loss or its gradient is not finite at step {step} (loss {float(loss):.3g}); "
                f"the last checkpoint in {out / 'checkpoints'} is good: continue it with a lower lr"
            )
            raise InputError(msg)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        last = step == config.steps
        seen = min(len(rows), config.batch) * step
        if step % 10 == 0 or last:
            rows_out = {"step": step, "galaxies": seen, "seconds": time.monotonic() - begun, "lr": rate}
            rows_out |= {"loss": float(loss), "grad_norm": float(norm)}
            rows_out |= {f"loss_{m}": v for m, v in parts.items()}
            if held_out and (step % config.validate_every == 0 or last):
                rows_out |= _validate(model, held_out, config, precision)
            records.add(rows_out)
            progress(seen, config.steps * min(len(rows), config.batch), f"loss {float(loss):.3f}")
        if world.rank == 0 and (step % config.checkpoint_every == 0 or last):
            records.flush()
            checkpoint.save(
                out / "checkpoints", step, model, optimizer, {"store": str(store.path)}, config.keep
            )
    records.flush()
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


class _LossModule:
    """One forward and backward pass; under DDP through the wrapper, so that gradients are shared."""

    def __init__(self, model: FoundationModel, wrapped: torch.nn.Module) -> None:
        self.model, self.wrapped = model, wrapped

    def train_step(
        self, config: PretrainConfig, tokens: Tokens, chances: Chances, world: World, precision: Any
    ) -> tuple[Tensor, dict[str, float]]:
        device = world.device
        chances = chances.to(device)
        tokens = {m: t.to(device) for m, t in tokens.items()}
        how = _reading(config, tokens, chances)
        with _autocast(device, precision):
            predictions = self.wrapped(tokens, **how)
        sums = self.model.loss_sums(predictions, self.model.asked(tokens, **how))
        counts = torch.stack([n for _, n in sums.values()])
        if world.size > 1:
            dist.all_reduce(counts)
        total = torch.zeros((), device=device)
        parts = {}
        for (name, (value, _)), count in zip(sums.items(), counts, strict=True):
            mean = value / count.clamp(min=1e-6)
            parts[name] = mean.detach()
            total = total + config.model.loss_weights.get(name, 1.0) * mean
        # DDP averages gradients over processes; the counts are already global
        torch.autograd.backward(total * world.size)
        reported = torch.stack([total.detach(), *parts.values()])
        if world.size > 1:
            dist.all_reduce(reported)
        return reported[0], dict(zip(parts, reported[1:].tolist(), strict=True))


def _reading(config: PretrainConfig, tokens: Tokens, chances: Chances) -> dict[str, Any]:
    """How the galaxies of a step are read: orders, prefix, hidden tokens."""
    how: dict[str, Any] = {}
    if config.random_order:
        how |= {"order": chances.order, "shuffle": ranks(tokens, chances, config.shuffle_patches)}
    if config.model.attention == "prefix":
        how["prefix"] = prefixes(tokens, chances)
    if config.model.predict == "masked":
        how["hidden"] = hide(tokens, chances, config.hide)
    return how


def _slots(model: ModelConfig, bands: int) -> int:
    """Tokens of a galaxy that has everything."""
    sizes = {m.name: (model.crop // m.patch) ** 2 for m in model.images} | {SED: bands}
    return sum(sizes.get(name, 0) for name in model.modalities)


def _optimizer(model: FoundationModel, config: PretrainConfig) -> torch.optim.AdamW:
    matrices = [p for p in model.transformer.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), fused=True)


def _learning_rate(config: PretrainConfig, step: int) -> float:
    """Linear warm-up, then a cosine to ``min_lr * lr``."""
    warm = max(1, round(config.warmup * config.steps))
    if step < warm:
        return config.lr * (step + 1) / warm
    progress = (step - warm) / max(1, config.steps - warm)
    return config.lr * (config.min_lr + (1 - config.min_lr) * 0.5 * (1 + math.cos(math.pi * progress)))


def _precision(config: PretrainConfig, device: torch.device) -> torch.dtype:
    if config.precision != "auto":
        return torch.bfloat16 if config.precision == "bf16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if "amx_bf16" in _cpu_flags() else torch.float32


def _cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _autocast(device: torch.device, precision: torch.dtype) -> Any:
    return torch.autocast(device.type, dtype=precision) if precision != torch.float32 else nullcontext()


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
        with _autocast(model.device, precision):
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


class _RunLog:
    """``log.csv``: one row every few steps; rows beyond a resumed step are dropped."""

    def __init__(self, path: Path, step: int, modalities: list[str], write: bool) -> None:
        self.path, self.write = path, write
        self.fields = ["step", "galaxies", "seconds", "lr", "loss", "grad_norm", "val_loss"]
        self.fields += [f"loss_{m}" for m in modalities] + [f"val_{m}" for m in modalities]
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="") as f:
                self.rows = [r for r in csv.DictReader(f) if int(r["step"]) <= step]

    def add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def flush(self) -> None:
        if not self.write:
            return
        aside = self.path.with_suffix(".csv.partial")
        with aside.open("w", newline="") as f:
            writer = csv.DictWriter(f, self.fields)
            writer.writeheader()
            writer.writerows(self.rows)
        aside.replace(self.path)


@dataclass(frozen=True)
class World:
    """The processes that train together; a single one unless ``torchrun`` started us."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def join(cls) -> World:
        """Read torchrun's environment and join the group."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        local = int(os.environ.get("LOCAL_RANK", "0"))
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        if size > 1:
            dist.init_process_group("nccl" if cuda else "gloo")
            return cls(dist.get_rank(), dist.get_world_size(), device)
        return cls(0, 1, device)

    def leave(self) -> None:
        """Leave the group."""
        if self.size > 1:
            dist.destroy_process_group()
