"""Files of a fine-tuned model: an ordinary checkpoint, its head as a probe, predictions, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.files import write_json, write_table
from euclidfm.core.progress import Progress, silent
from euclidfm.core.records import Record
from euclidfm.core.run_folder import ProbeFolder
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.model import FoundationModel
from euclidfm.store import GalaxyStore
from euclidfm.tasks.finetune.activations import ActivationCache
from euclidfm.tasks.finetune.config import FineTuneConfig, first_block
from euclidfm.tasks.finetune.linear import as_probe_head
from euclidfm.tasks.finetune.train import Tuned, fine_tune
from euclidfm.tasks.fit import fit_probe
from euclidfm.tasks.heads.base import one_torch_thread
from euclidfm.tasks.heads.make import FittedHead
from euclidfm.tasks.labels import check_labels, encoded_labels
from euclidfm.tasks.probe import Probe
from euclidfm.tasks.task import Task

__all__ = ["put_back", "tune_and_write"]


def tune_and_write(
    task: Task,
    model: FoundationModel,
    store: GalaxyStore,
    out: Path,
    config: FineTuneConfig | None = None,
    modalities: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> list[Record]:
    """Fine-tune a model on the training labels of a store and write the results.

    Parameters
    ----------
    task : Task
    model : FoundationModel
        Changed in place: its upper blocks become the tuned ones.
    store : GalaxyStore
        With the task's labels.
    out : Path
        Folder for the model, the probe, ``predictions.parquet``, ``metrics.json`` and ``finetune.json``.
    config : FineTuneConfig, optional
    modalities : sequence of str
        Modalities that the model is given; default all.
    seed : int
    progress : callable, optional
        Counts galaxies read and steps.

    Returns
    -------
    list of Record
        Metrics on the test split of the fine-tuned model and of the linear probe of the original.

    Raises
    ------
    InputError
        If there is nothing to learn from or to evaluate.
    """
    config = config or FineTuneConfig()
    before = model.identity()
    start = first_block(model.config.layer, config.layers)
    cache = ActivationCache(model, store, modalities, start)
    y, classes, labelled = _labelled(task, store)
    galaxies, everything = len(store.rows()), len(store.rows()) + config.max_steps
    _fill(cache, store.rows(), everything, progress)
    labelled = labelled[cache.exists(labelled)]
    check_labels(task, y[labelled], classes)

    def steps(done: int, total: int, what: str = "") -> None:
        progress(galaxies + done, everything, what)

    tuned = fine_tune(config, cache, labelled, task.forward(y[labelled]), len(classes), seed, steps)
    frozen, after = _table(cache, None), _table(cache, tuned)
    put_back(model, tuned, start)
    after.info["model"] = model.identity()
    probe = _probe(task, tuned, y[labelled], classes, seed, after)
    records = _evaluate(task, config, store, probe, after, frozen)
    model.save(out, {"tuned": {"from": before, "task": task.name, "modalities": list(cache.keep)}})
    _write(out, config, before, tuned, probe, after, records)
    return records


def _labelled(task: Task, store: GalaxyStore) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Labels of the store's galaxies, the classes, and the rows of the labelled training galaxies."""
    split = store.column("split")
    y, classes = encoded_labels(task, store.column("object_id"), store.index, split == "train")
    labelled = np.flatnonzero((split == "train") & np.isfinite(y))
    check_labels(task, y[labelled], classes)
    if not (np.isfinite(y) & (split == "test")).any():
        msg = f"no galaxy of split 'test' has a label of task {task.name!r}; nothing to evaluate"
        raise InputError(msg)
    return y, classes, labelled


def _fill(cache: ActivationCache, rows: np.ndarray, total: int, progress: Progress) -> None:
    """Compute the activations of all galaxies, some batches at a time to show progress."""
    while cache.missing(rows):
        with one_torch_thread():
            cache.prepare(rows, limit=4 * cache.batch_size)
        progress(len(rows) - cache.missing(rows), total, "reading")


def _probe(
    task: Task, tuned: Tuned, y: np.ndarray, classes: tuple[str, ...], seed: int, after: EmbeddingTable
) -> Probe:
    """The head of the tuned model as a probe of its joint vectors."""
    return Probe(
        task=task,
        head_name="linear",
        fitted=FittedHead(tuned.head.scaler, as_probe_head(tuned.head, len(classes))),
        use=("joint",),
        classes=classes,
        limits=(float(y.min()), float(y.max())),
        info={
            "n_train": len(y),
            "seed": seed,
            "inputs": "+".join(after.info["modalities"]),
            "embeddings": after.info,
        },
    )


def _evaluate(
    task: Task,
    config: FineTuneConfig,
    store: GalaxyStore,
    probe: Probe,
    after: EmbeddingTable,
    frozen: EmbeddingTable,
) -> list[Record]:
    """Records of the fine-tuned model, then of a linear probe of the original one."""
    name = "finetune" if config.adapt == "full" else "finetune-lora"
    records = [{**r, "method": name} for r in probe.evaluate(after, store.index)]
    plain = fit_probe(task, frozen, store.index, head="linear", seed=probe.info["seed"])
    return records + [{**r, "inputs": probe.info["inputs"]} for r in plain.evaluate(frozen, store.index)]


def _write(
    out: Path,
    config: FineTuneConfig,
    before: str,
    tuned: Tuned,
    probe: Probe,
    after: EmbeddingTable,
    records: list[Record],
) -> None:
    probe.save(out)
    write_table(probe.predict(after), ProbeFolder(out).predictions)
    write_json(ProbeFolder(out).metrics, records)
    summary = {
        "from": before,
        "improved": tuned.improved,
        "held_out_loss": {"frozen": tuned.frozen, "final": tuned.final, "learning": tuned.losses},
        "config": config,
    }
    write_json(out / "finetune.json", summary)


def put_back(model: FoundationModel, tuned: Tuned, start: int) -> None:
    """Copy the weights of the trained blocks into the model."""
    for i, block in enumerate(tuned.blocks):
        model.transformer.blocks[start + i].load_state_dict(block.state_dict())


def _table(cache: ActivationCache, tuned: Tuned | None) -> EmbeddingTable:
    """Embeddings of all galaxies by the model before or after tuning; NaN for a galaxy without tokens."""
    store, config = cache.store, cache.model.config
    with one_torch_thread():
        vectors = cache.vectors(store.rows(), None if tuned is None else tuned.blocks)
    vectors[~cache.exists(store.rows())] = np.nan
    vectors, width = vectors.astype(np.float32), config.width
    spans = {m: slice(i * width, (i + 1) * width) for i, m in enumerate(config.modalities)}
    return EmbeddingTable(
        object_id=store.column("object_id"),
        ra=store.column("ra"),
        dec=store.column("dec"),
        split=store.column("split"),
        vectors=vectors,
        by_modality={m: vectors[:, span] for m, span in spans.items() if m in cache.keep},
        info={"model": cache.model.identity(), "modalities": list(cache.keep)},
    )
