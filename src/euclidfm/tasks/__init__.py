"""Tasks: from embeddings to redshifts, masses and classes.

>>> import euclidfm as ef
>>> probe = ef.tasks.photoz.fit(emb, labels)  # doctest: +SKIP
>>> probe.predict(emb)  # doctest: +SKIP

Known tasks are `photoz`, `mass`, `morphology`, `edge_on`, `merger` and `star`; `regression`
and `classification` make one for any column. ``ef.tasks.photoz.fit_density(emb, labels)`` gives
calibrated p(z) in place of one number.
"""

from typing import TYPE_CHECKING, Any

from euclidfm.core.records import Record, summarise
from euclidfm.tasks.evaluation import evaluate
from euclidfm.tasks.heads import HEADS
from euclidfm.tasks.probe import Probe, load_probe
from euclidfm.tasks.registry import TASKS, classification, get, regression
from euclidfm.tasks.task import LabelSource, Task

if TYPE_CHECKING:
    from euclidfm.tasks.density.probe import load_density as load_density

photoz = TASKS["photoz"]
mass = TASKS["mass"]
morphology = TASKS["morphology"]
edge_on = TASKS["edge_on"]
merger = TASKS["merger"]
star = TASKS["star"]

__all__ = [
    "HEADS",
    "TASKS",
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
    "regression",
    "star",
    "summarise",
]


def __getattr__(name: str) -> Any:
    if name == "load_density":  # needs torch
        from euclidfm.tasks.density.probe import load_density

        return load_density
    msg = f"module 'euclidfm.tasks' has no attribute {name!r}"
    raise AttributeError(msg)
