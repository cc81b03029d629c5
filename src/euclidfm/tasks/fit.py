"""Fit of a probe to the labelled training galaxies of an embedding table."""

from __future__ import annotations

from typing import Any

import numpy as np

from euclidfm.embeddings.table import PHOTOMETRY, EmbeddingTable
from euclidfm.tasks.density.calibrate import LEVELS, conformal_quantile
from euclidfm.tasks.fusion.head import FittedFusion, fit_fusion
from euclidfm.tasks.fusion.taught import fit_taught
from euclidfm.tasks.heads.make import FUSION, FittedHead, fit_head
from euclidfm.tasks.labels import read_labels
from euclidfm.tasks.probe import Probe
from euclidfm.tasks.reference import Reference, provenance
from euclidfm.tasks.spaces import blocks_of, features_of, inputs_of, is_photometric, widths_of
from euclidfm.tasks.task import Task
from euclidfm.tasks.training_set import LabelledSet, training_set

__all__ = ["fit_probe"]


def fit_probe(
    task: Task,
    emb: EmbeddingTable,
    labels: Any,
    *,
    head: str = "linear",
    seed: int = 0,
    use: tuple[str, ...] = ("auto",),
    teach: bool = True,
) -> Probe:
    """Fit a head to the galaxies of split ``train`` that have a label.

    Parameters
    ----------
    task : Task
    emb : EmbeddingTable
    labels : pyarrow or astropy table, pandas frame or mapping
        With `object_id` and the task's label column(s).
    head : {"fusion", "linear", "auto", "mlp", "knn"}
        ``fusion`` is the strongest: it combines the blocks of the table (`blocks_of`) as they help.
        ``auto`` chooses a non-linear map if that cross-validates better.
    seed : int
    use : tuple of str
        ``auto``: the joint vectors or those of one modality, by cross-validation (fusion: all blocks);
        ``joint``; or names of modalities and spaces, whose vectors are concatenated (fusion: blocks).
    teach : bool
        Let photometry teach a fusion that reads none, if that lowers its left-out error (regressions;
        see `euclidfm.tasks.fusion.taught`).

    Returns
    -------
    Probe
        For a regression, with intervals calibrated on the galaxies of split ``validation``.

    Raises
    ------
    InputError
        If there is nothing to learn from: no label, one class only, a constant.
    """
    inputs = inputs_of(emb, use)
    if head == FUSION and use == ("auto",):
        use = blocks_of(emb)
    train = training_set(task, emb, labels, use=use, seed=seed)
    y, classes = task.forward(train.y), len(train.classes)
    info: dict[str, Any] = {"n_train": len(train), "seed": seed, "inputs": inputs}
    fitted: FittedHead
    if head == FUSION:
        fitted, facts = _fusion(emb, train, y, seed, teach)
        info |= facts
    else:
        fitted = fit_head(head, train.X, y, classes, seed)
    probe = Probe(
        task=task,
        head_name=head,
        fitted=fitted,
        use=train.use,
        classes=train.classes,
        limits=train.limits,
        info=info | provenance(emb.take(train.rows)),
        reference=Reference.of(fitted.standardised(train.X), seed),
    )
    if not train.classes:
        error = _validation_errors(probe, emb, labels)
        probe.conformal = {level: conformal_quantile(error, level) for level in LEVELS}
        probe.info["n_calibration"] = int(np.isfinite(error).sum())
    return probe


def _fusion(
    emb: EmbeddingTable, train: LabelledSet, y: np.ndarray, seed: int, teach: bool
) -> tuple[FittedFusion, dict[str, Any]]:
    """The fusion, taught by photometry where it may be; its blocks, and what teaching changed."""
    blocks = widths_of(emb, train.use)
    blind = not any(map(is_photometric, train.use)) and PHOTOMETRY in emb.spaces
    if not teach or train.classes or not blind:
        plain = fit_fusion(blocks, train.X, y, len(train.classes), seed)
        return plain, {"blocks": plain.head.report(), "taught": None}
    more = np.setdiff1d(np.flatnonzero(emb.split == "train"), train.rows)
    flux = emb.spaces[PHOTOMETRY]
    others = features_of(emb.take(more), train.use)
    fitted, lesson = fit_taught(blocks, train.X, flux[train.rows], y, others, flux[more], seed)
    return fitted, {"blocks": fitted.head.report(), "taught": lesson and lesson.row()}


def _validation_errors(probe: Probe, emb: EmbeddingTable, labels: Any) -> np.ndarray:
    """Absolute errors on the learnt scale of the galaxies of split ``validation``; NaN without a label."""
    task, held_out = probe.task, emb.take(np.flatnonzero(emb.split == "validation"))
    truth = read_labels(task, held_out.object_id, labels).astype(float)
    return np.abs(task.forward(probe.predict_array(held_out)) - task.forward(truth))
