"""Tasks: from embeddings to redshifts, masses and classes.

>>> import euclidfm as ef
>>> probe = ef.tasks.photoz.fit(emb, labels)  # doctest: +SKIP
>>> probe.predict(emb)  # doctest: +SKIP

Known tasks are `photoz`, `mass`, `morphology`, `edge_on`, `merger` and `star`; `regression`
and `classification` make one for any column.
"""

from euclidfm.tasks.heads import HEADS
from euclidfm.tasks.known import TASKS, classification, get, regression
from euclidfm.tasks.probe import Probe, load_probe
from euclidfm.tasks.records import Record, evaluate, summarise
from euclidfm.tasks.task import LabelSource, Task

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
    "load_probe",
    "mass",
    "merger",
    "morphology",
    "photoz",
    "regression",
    "star",
    "summarise",
]
