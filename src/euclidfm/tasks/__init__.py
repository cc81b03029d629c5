"""Tasks: from embeddings to redshifts, masses and classes.

>>> import euclidfm as ef
>>> probe = ef.tasks.photoz.fit(emb, labels)  # doctest: +SKIP
>>> probe.predict(emb)  # doctest: +SKIP

The known tasks are `photoz`, `mass`, `morphology`, `edge_on`, `merger` and `star`; `regression` and
`classification` make a task for any column, and `get` finds one by name. ``photoz.fit_density(emb, labels)``
fits a calibrated p(z) instead of a single number.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from euclidfm.core.records import Record, summarise
from euclidfm.tasks import registry
from euclidfm.tasks.evaluation import evaluate
from euclidfm.tasks.fittable import FittableTask
from euclidfm.tasks.heads.make import HEADS
from euclidfm.tasks.labels import read_labels
from euclidfm.tasks.probe import Probe, load_probe
from euclidfm.tasks.task import LabelSource, Task

if TYPE_CHECKING:
    from euclidfm.tasks.density.probe import DensityProbe

photoz = FittableTask.of(registry.TASKS["photoz"])
mass = FittableTask.of(registry.TASKS["mass"])
morphology = FittableTask.of(registry.TASKS["morphology"])
edge_on = FittableTask.of(registry.TASKS["edge_on"])
merger = FittableTask.of(registry.TASKS["merger"])
star = FittableTask.of(registry.TASKS["star"])

__all__ = [
    "HEADS",
    "FittableTask",
    "LabelSource",
    "Probe",
    "Record",
    "Task",
    "classification",
    "edge_on",
    "evaluate",
    "get",
    "load_density",
    "load_probe",
    "mass",
    "merger",
    "morphology",
    "photoz",
    "read_labels",
    "regression",
    "star",
    "summarise",
]


def get(name: str) -> FittableTask:
    """Task by name; see `euclidfm.tasks.registry.get`."""
    return FittableTask.of(registry.get(name))


def regression(column: str) -> FittableTask:
    """Task for any numeric column."""
    return FittableTask.of(registry.regression(column))


def classification(column: str) -> FittableTask:
    """Task for any categorical column: text, or a few different numbers."""
    return FittableTask.of(registry.classification(column))


def load_density(folder: str | Path) -> DensityProbe:
    """Read a density estimator; see `euclidfm.tasks.density.probe.load_density`."""
    from euclidfm.tasks.density import probe  # needs torch

    return probe.load_density(folder)
