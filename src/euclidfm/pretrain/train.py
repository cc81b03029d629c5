"""Pre-training.

Every random choice is a function of (seed, step), so a run that was killed continues exactly. ``torchrun``
starts one process a device (DDP or FSDP). The processes share each global batch and the loss is normalised
over all of it, so the result depends on their number by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.core.files import versions, write_json
from euclidfm.core.progress import Progress, silent
from euclidfm.core.run_folder import ModelFolder
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.pooling import fit_modality_means
from euclidfm.pretrain import checkpoint
from euclidfm.pretrain.batches import plain_batches
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.distributed import DistributedContext
from euclidfm.pretrain.guards import check_finite, memory_guard
from euclidfm.pretrain.optimizers import apply_gradients, clip_gradients, set_learning_rate
from euclidfm.pretrain.setup import Run, setup
from euclidfm.pretrain.sharding import full_model, unsharded
from euclidfm.pretrain.step import validate
from euclidfm.store import GalaxyStore

__all__ = ["pretrain"]

LOG_EVERY = 10
"""Steps between rows of log.csv."""
MEAN_GALAXIES = 512
"""Training galaxies whose mean embeddings stand in for an absent modality."""

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
        Run folder; if it holds a run with the same settings, that run continues from its newest checkpoint.
    progress : callable, optional
        ``progress(done, total, what)`` in galaxies.
    picture : callable, optional
        ``picture(model, path)`` draws a model's predictions; needed if ``config.log_to`` has ``pictures``
        (`euclidfm.commands.model.training_pictures` makes one).

    Returns
    -------
    FoundationModel
        Also written to `out`, with ``config.yaml``, ``log.csv``, ``run.json``, ``checkpoints/`` and, in
        ``best/``, the model of the lowest validation loss.

    Raises
    ------
    InputError
        If the store lacks what the model needs, `out` holds a run with other settings, the loss is not finite
        or memory runs out.
    """
    if "pictures" in config.log_to and picture is None:
        msg = "log_to has pictures, so pretrain needs a function that draws them: give it `picture`"
        raise InputError(msg)
    distributed = DistributedContext.initialise()
    try:
        run = setup(config, GalaxyStore.open(store_path), Path(out), distributed)
        train(run, progress, picture)
        return finish(run)
    finally:
        distributed.close()


def train(run: Run, progress: Progress, picture: Picture | None) -> None:
    """Train from the first step to the last."""
    config = run.config
    for step in range(run.first_step, config.steps):
        batch = next(run.batches)
        lr = set_learning_rate(run.optimizers, config, step)
        with memory_guard(config, step, run.out):
            loss, loss_by_modality = run.training_step.forward_backward(batch)
        gradient_norm = clip_gradients(run.model)
        check_finite(gradient_norm, loss, step, run.out)
        apply_gradients(run.optimizers)
        run.ema.update(step)

        done = step + 1
        row = {"step": done, "galaxies": run.galaxies_seen(done), "seconds": run.seconds, "lr": lr}
        row |= {"loss": float(loss), "grad_norm": float(gradient_norm)}
        row |= {f"loss_{m}": v for m, v in loss_by_modality.items()}
        validated = run.is_due(done, config.validate_every)
        if validated and run.validation:
            row |= validate_and_keep_best(run, done)
        if validated or run.is_due(done, LOG_EVERY):
            run.log.add(row)
            progress(run.galaxies_seen(done), run.galaxies_seen(config.steps), f"loss {row['loss']:.3f}")
        if validated and picture is not None and "pictures" in config.log_to:
            draw_picture(run, done, picture)
        if run.is_due(done, config.checkpoint_every):
            save_checkpoint(run, done)


def validate_and_keep_best(run: Run, step: int) -> dict[str, float]:
    """Validate the average weights; if the loss is the lowest so far, write the model to ``best/``."""
    with run.ema.applied():
        with unsharded(run.model):
            losses = validate(run.model, run.validation, run.precision)
        if run.distributed.broadcast(losses["val_loss"] < run.log.lowest("val_loss")):
            best = model_with_means(run, keep=run.distributed.is_main)
            if best is not None:
                best.save(ModelFolder(run.out).best, {"store": str(run.store.path), "steps": step})
    return losses


def draw_picture(run: Run, step: int, picture: Picture) -> None:
    """Draw the predictions of the average weights into ``samples/``."""
    with run.ema.applied():
        model = full_model(run.model, keep=run.distributed.is_main)
        if model is not None:
            folder = ModelFolder(run.out).samples
            folder.mkdir(exist_ok=True)
            picture(model, folder / f"step-{step:08d}.png")


def save_checkpoint(run: Run, step: int) -> None:
    """Write the log and a checkpoint."""
    run.log.flush()
    meta, write = {"store": str(run.store.path)}, run.distributed.is_main
    checkpoint.save(ModelFolder(run.out).checkpoints, step, run.model, run.optimizers, run.ema, meta, write)


def model_with_means(run: Run, keep: bool = True) -> FoundationModel | None:
    """Fit the modality means of the model, and gather it on the processes that keep it."""
    with unsharded(run.model):
        few, device = run.rows[:MEAN_GALAXIES], run.distributed.device
        fit_modality_means(run.model, plain_batches(run.store, run.model.tokenizer, few, device))
    return full_model(run.model, keep)


def finish(run: Run) -> FoundationModel:
    """Write the model with the average weights, and ``run.json``."""
    run.log.close()
    run.ema.apply()
    run.model.eval()
    model = model_with_means(run)
    assert model is not None
    if run.distributed.is_main:
        steps = run.config.steps
        about = {
            "steps": steps,
            "galaxies": run.galaxies_seen(steps),
            "seconds": run.seconds,
            "parameters": run.parameters,
            "processes": run.distributed.world_size,
            "precision": str(run.precision),
            "versions": versions(),
            "seed": run.config.seed,
        }
        write_json(ModelFolder(run.out).summary, about)
        model.save(run.out, {"store": str(run.store.path), "release": run.store.info.release, "steps": steps})
    return model
