"""Files of a fitted task: the probe, its predictions, densities and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.files import write_json, write_table
from euclidfm.core.records import Record
from euclidfm.core.run_folder import ProbeFolder
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.tasks.bins import binned_records, binnings
from euclidfm.tasks.density.fit import fit_density
from euclidfm.tasks.density.qp_file import write_qp
from euclidfm.tasks.fit import fit_probe
from euclidfm.tasks.heads.make import FUSION
from euclidfm.tasks.labels import true_labels
from euclidfm.tasks.probe import Probe
from euclidfm.tasks.task import Task

__all__ = ["density_and_write", "fit_and_write"]


def fit_and_write(
    task: Task,
    emb: EmbeddingTable,
    labels: Any,
    out: Path,
    head: str = FUSION,
    seed: int = 0,
    use: tuple[str, ...] = ("auto",),
    teach: bool = True,
) -> list[Record]:
    """Fit a probe and write it with its predictions and metrics, also in bins; returns the records."""
    probe = fit_probe(task, emb, labels, head=head, seed=seed, use=use, teach=teach)
    records = probe.evaluate(emb, labels)
    probe.save(out)
    files = ProbeFolder(out)
    write_table(probe.predict(emb), files.predictions)
    write_json(files.metrics, records)
    write_json(files.bins, _bins(probe, emb, labels))
    return records


def _bins(probe: Probe, emb: EmbeddingTable, labels: Any) -> list[Record]:
    """Metrics of the test split in bins of magnitude, redshift and size."""
    here = emb.take(np.flatnonzero(emb.split == "test"))
    truth = true_labels(probe.task, probe.classes, here.object_id, labels)
    by, predicted = binnings(here, labels), probe.predict_array(here)
    return binned_records(probe.task, predicted, truth, by, classes=len(probe.classes))


def density_and_write(task: Task, emb: EmbeddingTable, labels: Any, out: Path, seed: int = 0) -> list[Record]:
    """Fit p(z), write it, its densities (``pz.parquet``, ``pz.hdf5`` for `qp`) and its metrics."""
    probe = fit_density(emb, labels, task=task, seed=seed, use=("auto",))
    records = probe.evaluate(emb, labels)
    probe.save(out)
    files = ProbeFolder(out)
    write_table(probe.predict(emb), files.densities)
    write_qp(files.qp_densities, probe.grid, probe.densities(emb), emb.object_id)
    write_json(files.density_metrics, records)
    return records
