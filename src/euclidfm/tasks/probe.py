"""A probe: a head fitted to embeddings, which predicts, is judged, and is kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.records import Record
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.tasks.density.calibrate import LEVELS, conformal_quantile
from euclidfm.tasks.evaluation import evaluate
from euclidfm.tasks.heads import Head, Scaler, make_head
from euclidfm.tasks.reference import Reference, distances, provenance
from euclidfm.tasks.registry import get
from euclidfm.tasks.spaces import choose_space, spaces_of
from euclidfm.tasks.storage import belonging, load_fitted, save_fitted
from euclidfm.tasks.task import Task

__all__ = ["Probe", "features_of", "fit_probe", "inputs_of", "load_probe"]

MINIMUM = 5
"""Labelled training galaxies below which nothing is fitted."""


@dataclass
class Probe:
    """A fitted probe; make one with ``task.fit`` or `load_probe`.

    Attributes
    ----------
    task : Task
    head_name : str
    head : Head
    scaler : Scaler
    use : tuple of str
        Vectors that it reads: ``joint`` or names of modalities.
    classes : tuple of str
        Empty for a regression.
    limits : tuple of float
        Range of the training labels; predictions are clipped to it.
    info : dict
        Number of training galaxies, seed, inputs and identity of the embeddings' model.
    reference : Reference, optional
        The training galaxies, to tell how far others are from them.
    conformal : dict of float to float
        Half width, on the learnt scale, of the interval of each level (regression).
    """

    task: Task
    head_name: str
    head: Head
    scaler: Scaler
    use: tuple[str, ...]
    classes: tuple[str, ...]
    limits: tuple[float, float]
    info: dict[str, Any] = field(default_factory=dict)
    reference: Reference | None = None
    conformal: dict[float, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        about = f"{self.head_name} head on {self.info.get('inputs')}, {self.info.get('n_train')} labels"
        return f"<Probe {self.task.name}: {about}>"

    def predict_array(self, emb: EmbeddingTable) -> np.ndarray:
        """(N,) values in the label's unit, or (N, C) probabilities; NaN for a galaxy without a vector."""
        X = features_of(emb, self.use)
        if X.shape[1] != len(self.scaler.mean):
            want, have = len(self.scaler.mean), X.shape[1]
            msg = f"the probe reads vectors of {want} numbers, these have {have}; embed with the same model"
            raise InputError(msg)
        empty = ~np.isfinite(X).any(axis=1)
        out = self.head.predict(self.scaler(X)) if len(X) else np.empty((0, max(len(self.classes), 1)))
        if not self.classes:
            out = self.task.inverse(np.clip(out.reshape(-1), *self.task.forward(np.array(self.limits))))
        out = np.array(out)
        out[empty] = np.nan
        return out

    def predict(self, emb: EmbeddingTable) -> pa.Table:
        """Predictions as a table: `object_id` and the value, or ``p_<class>`` and `class`."""
        p = self.predict_array(emb)
        data: dict[str, Any] = {"object_id": pa.array(emb.object_id, pa.int64())}
        if not self.classes:
            data[self.task.column] = p
        else:
            data |= {f"p_{c}": p[:, i] for i, c in enumerate(self.classes)}
            known = np.isfinite(p).all(axis=1)
            best = np.where(known, np.nan_to_num(p).argmax(axis=1), -1)
            data["class"] = pa.array([self.classes[i] if i >= 0 else None for i in best], pa.string())
        return pa.table(data)

    def interval(self, values: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the split-conformal interval around predicted values (regression).

        The galaxies of split ``validation``, which took no part in the fit, say how wide it is: on the learnt
        scale one width for all galaxies. NaN where they were too few for the level.
        """
        q = self.conformal.get(level, np.inf)
        t = self.task.forward(np.asarray(values, float))
        return tuple(self.task.inverse(t + s if np.isfinite(q) else t * np.nan) for s in (-q, q))  # type: ignore[return-value]

    def distance(self, emb: EmbeddingTable) -> tuple[np.ndarray, np.ndarray]:
        """Distance and percentile of each galaxy among the training ones; see `Reference`."""
        return distances(self.reference, self.scaler, features_of(emb, self.use))

    def evaluate(
        self,
        emb: EmbeddingTable,
        labels: Any,
        *,
        split: str = "test",
        against: str = "",
        resamples: int = 500,
    ) -> list[Record]:
        """Metrics on a split, with bootstrap intervals.

        Parameters
        ----------
        emb : EmbeddingTable
        labels : table
        split : str
        against : str
            Judge by the label that reads this column, in place of the one learnt from: a star probe
            that learnt from the few spectra (``is_star``) is judged among all objects of a mock sky
            with ``against="kind"``.
        resamples : int
            Bootstrap samples.

        Raises
        ------
        InputError
            If no galaxy of the split has a label.
        """
        rows = np.flatnonzero(emb.split == split)
        here = emb.take(rows)
        y = self.task.raw_labels(here, labels, against)
        truth = self.task.encode(y, self.classes) if self.classes else y.astype(float)
        if not np.isfinite(truth).any():
            msg = f"no galaxy of split {split!r} has a label of task {self.task.name!r}; nothing to evaluate"
            raise InputError(msg)
        return evaluate(
            self.task,
            self.predict_array(here),
            truth,
            classes=len(self.classes),
            resamples=resamples,
            method=method_name(self.head_name),
            inputs=self.info["inputs"],
            fraction=1.0,
            n_train=self.info["n_train"],
            seed=self.info["seed"],
        )

    def save(self, folder: str | Path) -> None:
        """Write ``probe.safetensors`` and ``probe.json`` to a folder."""
        arrays, settings = self.head.state()
        card = {
            "task": self.task.name,
            "head": self.head_name,
            "settings": settings,
            "use": self.use,
            "classes": self.classes,
            "limits": self.limits,
            "conformal": [[k, v] for k, v in self.conformal.items()],
            "info": self.info,
        }
        reference = {} if self.reference is None else self.reference.__dict__
        groups = {"head": arrays, "scaler": self.scaler.__dict__, "reference": reference}
        save_fitted(folder, "probe", card, groups)


def load_probe(folder: str | Path) -> Probe:
    """Read a probe that `Probe.save` wrote.

    Raises
    ------
    InputError
        If the folder holds no probe, or a damaged one.
    """
    d, part = load_fitted(folder, "probe")
    with belonging(folder):
        head = make_head(d["head"], len(d["classes"]), d["info"]["seed"])
        head.restore(part("head"), d["settings"])
        return Probe(
            task=get(d["task"]),
            head_name=d["head"],
            head=head,
            scaler=Scaler(**part("scaler")),
            use=tuple(d["use"]),
            classes=tuple(d["classes"]),
            limits=(d["limits"][0], d["limits"][1]),
            info=d["info"],
            reference=Reference(**part("reference")) if part("reference") else None,
            conformal={k: np.inf if v is None else v for k, v in d.get("conformal", [])},
        )


def fit_probe(
    task: Task,
    emb: EmbeddingTable,
    labels: Any,
    *,
    head: str = "linear",
    seed: int = 0,
    use: tuple[str, ...] = ("auto",),
    rows: np.ndarray | None = None,
) -> Probe:
    """Fit a head to the labelled training galaxies; see `Task.fit`.

    Parameters
    ----------
    rows : array of int, optional
        Rows of `emb` to learn from, in place of all labelled ones of split ``train``.
    """
    train = emb.take(np.flatnonzero(emb.split == "train") if rows is None else rows)
    if not len(train):
        msg = "no galaxy of the embedding table is in split 'train'; embed the training galaxies too"
        raise InputError(msg)
    y = task.raw_labels(train, labels)
    classes: tuple[str, ...] = ()
    if task.kind == "classification":
        classes = task.classes_of(y)
        y = task.encode(y, classes)
    y = y.astype(float)
    inputs = inputs_of(emb, use)
    if use == ("auto",):
        use = chosen_space(task, train, y, classes, seed)
    X = features_of(train, use)
    good = np.isfinite(y) & np.isfinite(X).any(axis=1)
    check_labels(task, y[good], classes)
    scaler = Scaler.of(X[good])
    fitted = make_head(head, len(classes), seed)
    fitted.fit(scaler(X[good]), y[good] if classes else task.forward(y[good]))
    limits = (float(y[good].min()), float(y[good].max()))
    info = {"n_train": int(good.sum()), "seed": seed, "inputs": inputs, **provenance(train.take(good))}
    probe = Probe(task, head, fitted, scaler, use, classes, limits, info)
    probe.reference = Reference.of(scaler(X[good]), seed)
    if not classes:
        unseen = np.asarray(emb.split == "validation")
        unseen[[] if rows is None else rows] = False
        held = emb.take(np.flatnonzero(unseen))
        truth = task.raw_labels(held, labels).astype(float)
        error = np.abs(task.forward(probe.predict_array(held)) - task.forward(truth))
        probe.conformal = {level: conformal_quantile(error, level) for level in LEVELS}
        probe.info["n_calibration"] = int(np.isfinite(error).sum())
    return probe


def chosen_space(
    task: Task, train: EmbeddingTable, y: np.ndarray, classes: tuple[str, ...], seed: int
) -> tuple[str, ...]:
    """The vectors of least cross-validated error on training galaxies with (n,) labels y."""
    good = np.isfinite(y) & np.isfinite(train.vectors).any(axis=1)
    check_labels(task, y[good], classes)
    spaces = {name: vectors[good] for name, vectors in spaces_of(train).items()}
    return (choose_space(spaces, y[good] if classes else task.forward(y[good]), seed),)


def check_labels(task: Task, y: np.ndarray, classes: Sequence[str] = ()) -> None:
    """Refuse labels from which nothing can be learnt.

    Raises
    ------
    InputError
        No label, too few, a constant, or one class only.
    """
    if not len(y):
        columns = " or ".join(" + ".join(s.columns) for s in task.sources)
        msg = (
            f"no training galaxy has a label of task {task.name!r} ({columns}); "
            "check that the object_id of labels and embeddings agree and that values are finite"
        )
        raise InputError(msg)
    if len(y) < MINIMUM:
        msg = f"task {task.name!r} has {len(y)} labelled training galaxies; at least {MINIMUM} are needed"
        raise InputError(msg)
    if len(np.unique(y)) < 2:
        what = f"all of class {classes[int(y[0])]!r}" if classes else f"all equal to {y[0]:g}"
        msg = f"the {len(y)} training labels of task {task.name!r} are {what}; there is nothing to learn"
        raise InputError(msg)


def features_of(emb: EmbeddingTable, use: Sequence[str]) -> np.ndarray:
    """(N, d) vectors, joined in the given order.

    Raises
    ------
    InputError
        If the table lacks a modality.
    """
    parts = []
    for name in use:
        if name != "joint" and name not in emb.by_modality:
            have = ", ".join(["joint", *emb.by_modality])
            msg = f"the embedding table has no vectors {name!r}; it has {have}"
            raise InputError(msg)
        parts.append(emb.vectors if name == "joint" else emb.by_modality[name])
    if not parts:
        msg = "name at least one kind of vectors to use: joint, or a modality"
        raise InputError(msg)
    return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def inputs_of(emb: EmbeddingTable, use: Sequence[str]) -> str:
    """What the vectors were made of, such as ``VIS+NISP+SED``."""
    if tuple(use) in (("joint",), ("auto",)):
        return "+".join(emb.info.get("modalities") or emb.by_modality) or "embedding"
    return "+".join(use)


def method_name(head: str) -> str:
    """Name of a head in the results: ``probe`` for the linear one, else ``probe-<head>``."""
    return "probe" if head == "linear" else f"probe-{head}"
