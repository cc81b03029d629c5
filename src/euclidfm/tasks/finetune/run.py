"""A fine-tuned model on disk: an ordinary checkpoint, its head as a probe, predictions, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import write_json
from euclidfm.core.progress import Progress, silent
from euclidfm.core.records import Record
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.model import FoundationModel
from euclidfm.store import GalaxyStore
from euclidfm.tasks.finetune.activations import Hidden
from euclidfm.tasks.finetune.linear import as_probe_head
from euclidfm.tasks.finetune.train import FineTuneConfig, Tuned, fine_tune, first_block
from euclidfm.tasks.heads.base import one_torch_thread
from euclidfm.tasks.probe import Probe, check_labels, fit_probe
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
    """Fine-tune a model on the training labels of a store and write what came of it.

    Parameters
    ----------
    task : Task
    model : FoundationModel
        Changed: afterwards it is the tuned one.
    store : GalaxyStore
        With the task's labels.
    out : Path
        Gets the model, the probe, ``predictions.parquet``, ``metrics.json`` and ``finetune.json``.
    config : FineTuneConfig, optional
    modalities : sequence of str
        What the model may see; default all.
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
    hidden = Hidden(model, store, modalities, start)
    blank = _table(store, np.zeros((len(store), 1), np.float32), hidden)
    y = task.raw_labels(blank, store.index)
    classes = task.classes_of(y[blank.split == "train"]) if task.kind == "classification" else ()
    y = (task.encode(y, classes) if classes else y).astype(float)
    labelled = np.flatnonzero((blank.split == "train") & np.isfinite(y))
    check_labels(task, y[labelled], classes)
    if not (np.isfinite(y) & (blank.split == "test")).any():
        msg = f"no galaxy of split 'test' has a label of task {task.name!r}; nothing to evaluate"
        raise InputError(msg)
    rows = store.rows()
    total = len(rows) + config.max_steps
    while hidden.missing(rows):
        with one_torch_thread():
            hidden.prepare(rows, limit=4 * hidden.batch_size)
        progress(len(rows) - hidden.missing(rows), total, "reading")
    labelled = labelled[hidden.exists(labelled)]
    check_labels(task, y[labelled], classes)
    target = y[labelled] if classes else task.forward(y[labelled])
    tuned = fine_tune(
        config,
        hidden,
        labelled,
        target,
        len(classes),
        seed,
        lambda done, _, what="": progress(len(rows) + done, total, what),
    )
    frozen = _table(store, _vectors(hidden, rows, None), hidden)
    after = _table(store, _vectors(hidden, rows, tuned), hidden)
    put_back(model, tuned, start)
    after.info["model"] = model.identity()
    limits = (float(y[labelled].min()), float(y[labelled].max()))
    inputs = "+".join(hidden.keep)
    info: dict[str, Any] = {
        "n_train": len(labelled),
        "seed": seed,
        "inputs": inputs,
        "embeddings": after.info,
    }
    head = as_probe_head(tuned.head, len(classes))
    probe = Probe(task, "linear", head, tuned.head.scaler, ("joint",), classes, limits, info)
    name = "finetune" if config.adapt == "full" else "finetune-lora"
    records = [{**r, "method": name} for r in probe.evaluate(after, store.index)]
    plain = fit_probe(task, frozen, store.index, head="linear", seed=seed)
    records += [{**r, "inputs": inputs} for r in plain.evaluate(frozen, store.index)]
    model.save(out, {"tuned": {"from": before, "task": task.name, "modalities": list(hidden.keep)}})
    probe.save(out)
    pq.write_table(probe.predict(after), out / "predictions.parquet")
    write_json(out / "metrics.json", records)
    summary = {
        "from": before,
        "improved": tuned.improved,
        "held_out_loss": {"frozen": tuned.frozen, "final": tuned.final, "learning": tuned.losses},
        "config": config,
    }
    write_json(out / "finetune.json", summary)
    return records


def put_back(model: FoundationModel, tuned: Tuned, start: int) -> None:
    """Put the trained blocks in their places in the model."""
    for i, block in enumerate(tuned.blocks):
        model.transformer.blocks[start + i].load_state_dict(block.state_dict())


def _vectors(hidden: Hidden, rows: np.ndarray, tuned: Tuned | None) -> np.ndarray:
    """(n, d) joint embeddings of the model as it is or tuned; NaN for a galaxy without tokens."""
    with one_torch_thread():
        out = hidden.vectors(rows, None if tuned is None else tuned.blocks)
    out[~hidden.exists(rows)] = np.nan
    return out.astype(np.float32)


def _table(store: GalaxyStore, vectors: np.ndarray, hidden: Hidden) -> EmbeddingTable:
    width = hidden.model.config.width
    names = hidden.model.config.modalities
    by = {m: vectors[:, i * width : (i + 1) * width] for i, m in enumerate(names) if m in hidden.keep}
    return EmbeddingTable(
        object_id=store.column("object_id"),
        ra=store.column("ra"),
        dec=store.column("dec"),
        split=store.column("split"),
        vectors=vectors,
        by_modality=by if vectors.shape[1] > 1 else {},
        info={"model": hidden.model.identity(), "modalities": list(hidden.keep)},
    )
