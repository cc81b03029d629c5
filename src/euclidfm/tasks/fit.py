"""Fit of a probe to the labelled training galaxies of an embedding table."""

from __future__ import annotations

from typing import Any

import numpy as np

from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.tasks.density.calibrate import LEVELS, conformal_quantile
from euclidfm.tasks.heads.make import fit_head
from euclidfm.tasks.labels import read_labels
from euclidfm.tasks.probe import Probe
from euclidfm.tasks.reference import Reference, provenance
from euclidfm.tasks.spaces import inputs_of
from euclidfm.tasks.task import Task
from euclidfm.tasks.training_set import training_set

__all__ = ["fit_probe"]


def fit_probe(
    task: Task,
    emb: EmbeddingTable,
    labels: Any,
    *,
    head: str = "linear",
    seed: int = 0,
    use: tuple[str, ...] = ("auto",),
) -> Probe:
    """Fit a head to the galaxies of split ``train`` that have a label.

    Parameters
    ----------
    task : Task
    emb : EmbeddingTable
    labels : pyarrow or astropy table, pandas frame or mapping
        With `object_id` and the task's label column(s).
    head : {"linear", "auto", "mlp", "knn"}
        ``auto`` is the strongest: it chooses a non-linear map if that cross-validates better.
    seed : int
    use : tuple of str
        ``auto``: the joint vectors or those of one modality, by cross-validation; ``joint``; or names of
        modalities whose vectors are concatenated.

    Returns
    -------
    Probe
        For a regression, with intervals calibrated on the galaxies of split ``validation``.

    Raises
    ------
    InputError
        If there is nothing to learn from: no label, one class only, a constant.
    """
    train = training_set(task, emb, labels, use=use, seed=seed)
    fitted = fit_head(head, train.X, task.forward(train.y), len(train.classes), seed)
    info = {"n_train": len(train), "seed": seed, "inputs": inputs_of(emb, use)}
    probe = Probe(
        task=task,
        head_name=head,
        fitted=fitted,
        use=train.use,
        classes=train.classes,
        limits=train.limits,
        info=info | provenance(emb.take(train.rows)),
        reference=Reference.of(fitted.scaler(train.X), seed),
    )
    if not train.classes:
        error = _validation_errors(probe, emb, labels)
        probe.conformal = {level: conformal_quantile(error, level) for level in LEVELS}
        probe.info["n_calibration"] = int(np.isfinite(error).sum())
    return probe


def _validation_errors(probe: Probe, emb: EmbeddingTable, labels: Any) -> np.ndarray:
    """Absolute errors on the learnt scale of the galaxies of split ``validation``; NaN without a label."""
    task, held_out = probe.task, emb.take(np.flatnonzero(emb.split == "validation"))
    truth = read_labels(task, held_out.object_id, labels).astype(float)
    return np.abs(task.forward(probe.predict_array(held_out)) - task.forward(truth))
