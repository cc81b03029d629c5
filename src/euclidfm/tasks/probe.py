"""A probe: a head fitted to embeddings, with its predictions, its evaluation and its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.records import Record
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.tasks.evaluation import evaluate, method_name
from euclidfm.tasks.fusion.head import restored_fusion
from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.make import FUSION, FittedHead, make_head
from euclidfm.tasks.labels import true_labels
from euclidfm.tasks.reference import Reference, distances
from euclidfm.tasks.registry import get
from euclidfm.tasks.spaces import features_of
from euclidfm.tasks.storage import checked_load, load_fitted, save_fitted
from euclidfm.tasks.task import Task

__all__ = ["Probe", "load_probe"]


@dataclass
class Probe:
    """A fitted probe; made by `euclidfm.tasks.fit.fit_probe` or `load_probe`.

    Attributes
    ----------
    task : Task
    head_name : str
    fitted : FittedHead
        The head and the scaling of its features.
    use : tuple of str
        Vectors that it reads: ``joint``, or names of modalities.
    classes : tuple of str
        Empty for a regression.
    limits : tuple of float
        Range of the training labels; predictions are clipped to it.
    info : dict
        Number of training galaxies, seed, inputs and identity of the embeddings' model.
    reference : Reference, optional
        The training galaxies, for the distance of others from them.
    conformal : dict of float to float
        Half width of the interval of each level, on the learnt scale (regression).
    """

    task: Task
    head_name: str
    fitted: FittedHead
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
        want, have = self.fitted.width, X.shape[1]
        if have != want:
            msg = f"the probe reads vectors of {want} numbers, these have {have}; embed with the same model"
            raise InputError(msg)
        if not len(X):
            return np.empty((0, len(self.classes)) if self.classes else 0)
        out = np.array(self.task.bounded_inverse(self.fitted.predict(X), self.limits))
        out[~np.isfinite(X).any(axis=1)] = np.nan
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

        Its width is measured on the galaxies of split ``validation``, which took no part in the fit, and is
        the same for all galaxies on the learnt scale. NaN if these galaxies were too few for the level.
        """
        q = self.conformal.get(level, np.inf)
        t = self.task.forward(np.asarray(values, float))
        low, high = (t - q, t + q) if np.isfinite(q) else (t * np.nan, t * np.nan)
        return self.task.inverse(low), self.task.inverse(high)

    def distance(self, emb: EmbeddingTable) -> tuple[np.ndarray, np.ndarray]:
        """Distance and percentile of each galaxy among the training ones; see `Reference`."""
        return distances(self.reference, self.fitted.standardised, features_of(emb, self.use))

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
            Evaluate against the label source that reads this column, instead of the one learnt from. For
            example, a star probe that learnt from the few spectra (``is_star``) is evaluated on all objects
            of a mock sky with ``against="kind"``.
        resamples : int
            Bootstrap samples.

        Raises
        ------
        InputError
            If no galaxy of the split has a label.
        """
        here = emb.take(np.flatnonzero(emb.split == split))
        truth = true_labels(self.task, self.classes, here.object_id, labels, against=against)
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
        arrays, settings = self.fitted.head.state()
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
        groups = {"head": arrays, "scaler": self.fitted.scaler.__dict__, "reference": reference}
        save_fitted(folder, "probe", card, groups)


def load_probe(folder: str | Path) -> Probe:
    """Read a probe that `Probe.save` wrote.

    Raises
    ------
    InputError
        If the folder holds no probe, or a damaged one.
    """
    d, part = load_fitted(folder, "probe")
    with checked_load(folder):
        scaler = Scaler(**part("scaler"))
        if d["head"] == FUSION:
            fitted: FittedHead = restored_fusion(scaler, part("head"), d["settings"])
        else:
            fitted = FittedHead(scaler, make_head(d["head"], len(d["classes"]), d["info"]["seed"]))
            fitted.head.restore(part("head"), d["settings"])
        return Probe(
            task=get(d["task"]),
            head_name=d["head"],
            fitted=fitted,
            use=tuple(d["use"]),
            classes=tuple(d["classes"]),
            limits=(d["limits"][0], d["limits"][1]),
            info=d["info"],
            reference=Reference(**part("reference")) if part("reference") else None,
            conformal={k: np.inf if v is None else v for k, v in d.get("conformal", [])},
        )
