"""Long-form records as series: one task, one method on some inputs, over label fractions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from euclidfm.report.style import COLOURS

__all__ = ["METRICS", "PHOTOMETRY", "Point", "Series", "Task", "method_name", "series_of", "tasks_of"]

METRICS = {
    "photoz": ("nmad", "sigma68", "rmse"),
    "mass": ("nmad", "sigma68", "rmse"),
    "morphology": ("auc", "balanced_accuracy", "accuracy"),
}
"""The metric that is shown first for each task, by preference."""

HIGHER_IS_BETTER = frozenset(
    ("auc", "average_precision", "accuracy", "balanced_accuracy", "precision", "recall", "f1", "r2")
)

PHOTOMETRY = (
    "booster",
    "colours-ridge",
    "knn-photometry",
    "photometry-probe",
    "photometry-auto",
    "photometry-stack",
)
"""Methods that see the catalogue's fluxes only: what the model has to be compared with."""

_TITLES = {
    "photoz": "Photometric redshift",
    "mass": "Stellar mass",
    "morphology": "Smooth or featured",
    "edge_on": "Edge-on disc",
    "star": "Star or not",
}
_UNITS = {
    ("photoz", "nmad"): "NMAD of Δz/(1+z)",
    ("mass", "nmad"): "NMAD of Δ log M [dex]",
    ("morphology", "auc"): "ROC AUC",
    ("star", "auc"): "ROC AUC",
}
_METHODS = {
    "probe": "linear probe",
    "probe-mlp": "MLP probe",
    "probe-auto": "curved probe",
    "probe-fusion": "fusion of blocks",
    "probe-taught": "fusion of images, taught by photometry",
    "probe-knn": "k-NN probe",
    "probe-stack": "stack of probes with the photometry",
    "cnn": "supervised CNN",
    "cnn-max": "supervised CNN, images over their maximum",
    "resnet": "supervised ResNet",
    "pixels-pca": "principal components of pixels",
    "apertures-ridge": "quadratic ridge on measured fluxes",
    "apertures-booster": "boosted trees on measured fluxes",
    "morphology-booster": "boosted trees on measured shapes",
    "finetune": "fine-tuned model",
    "finetune-lora": "fine-tuned model (LoRA)",
    "booster": "boosted trees on photometry",
    "colours-ridge": "ridge on photometry",
    "knn-photometry": "k-NN on photometry",
    "photometry-probe": "linear probe on photometry",
    "photometry-auto": "curved probe on photometry",
    "photometry-stack": "stack on photometry",
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """A metric at one label fraction, over seeds."""

    fraction: float
    n_train: int
    n_test: int
    value: float
    """Mean over seeds."""
    low: float
    high: float
    """Mean 68% bootstrap interval over test galaxies, widened in quadrature by the scatter between seeds."""
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Series:
    """One method on some inputs."""

    method: str
    inputs: str
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """For people: ``linear probe, VIS+NISP``."""
        return method_name({"method": self.method, "inputs": self.inputs})

    @property
    def photometry_only(self) -> bool:
        """The method sees catalogue fluxes and nothing else."""
        return self.method in PHOTOMETRY

    def at(self, fraction: float) -> Point | None:
        """The point of a label fraction."""
        return next((p for p in self.points if np.isclose(p.fraction, fraction)), None)


@dataclass(frozen=True, kw_only=True)
class Task:
    """All series of one task and one metric."""

    name: str
    metric: str
    series: tuple[Series, ...] = field(default_factory=tuple)

    @property
    def title(self) -> str:
        """For people."""
        return _TITLES.get(self.name, self.name.replace("_", " ").capitalize())

    @property
    def axis(self) -> str:
        """Name and unit of the metric."""
        return _UNITS.get((self.name, self.metric), self.metric.replace("_", " "))

    @property
    def higher(self) -> bool:
        """Larger values are better."""
        return self.metric in HIGHER_IS_BETTER

    @property
    def fractions(self) -> list[float]:
        """All label fractions, ascending."""
        return sorted({p.fraction for s in self.series for p in s.points})

    def best(self, fraction: float) -> Series | None:
        """The series with the best value at a fraction."""
        here = [(s, p) for s in self.series if (p := s.at(fraction)) is not None and np.isfinite(p.value)]
        if not here:
            return None
        return (max if self.higher else min)(here, key=lambda pair: pair[1].value)[0]


def tasks_of(records: Sequence[dict[str, Any]]) -> list[Task]:
    """The tasks in records of label efficiency, each with its first metric."""
    out = []
    known = list(METRICS)
    names = {str(r["task"]) for r in records}
    for name in sorted(names, key=lambda n: (known.index(n) if n in known else len(known), n)):
        ours = [r for r in records if r["task"] == name]
        have = {str(r["metric"]) for r in ours}
        wanted = [m for m in METRICS.get(name, ("auc", "nmad", "accuracy")) if m in have]
        metric = wanted[0] if wanted else sorted(have)[0]
        out.append(Task(name=name, metric=metric, series=series_of(ours, metric)))
    return out


def series_of(records: Sequence[dict[str, Any]], metric: str) -> tuple[Series, ...]:
    """Records of one metric as series: ours first, then supervised, then photometry alone."""
    groups: dict[tuple[str, str], dict[float, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for r in records:
        if r["metric"] == metric and r.get("value") is not None:
            fraction = 1.0 if r.get("fraction") is None else float(r["fraction"])
            groups[str(r["method"]), str(r.get("inputs") or "")][fraction].append(r)
    series = [
        Series(method=m, inputs=i, points=tuple(_point(f, by_fraction[f]) for f in sorted(by_fraction)))
        for (m, i), by_fraction in groups.items()
    ]
    return tuple(sorted(series, key=_order))


def _point(fraction: float, records: list[dict[str, Any]]) -> Point:
    value = np.array([r["value"] for r in records], float)
    low = np.array([_or(r.get("low"), r["value"]) for r in records], float)
    high = np.array([_or(r.get("high"), r["value"]) for r in records], float)
    scatter = float(value.std(ddof=1)) if len(value) > 1 else 0.0
    mean = float(value.mean())
    return Point(
        fraction=fraction,
        n_train=int(_or(records[0].get("n_train"), 0)),
        n_test=int(_or(records[0].get("n_test"), 0)),
        value=mean,
        low=mean - float(np.hypot((value - low).mean(), scatter)),
        high=mean + float(np.hypot((high - value).mean(), scatter)),
        seeds=len({r.get("seed") for r in records}),
    )


def _or(value: Any, other: Any) -> Any:
    return other if value is None else value


def _order(series: Series) -> tuple[int, int, str]:
    group = 2 if series.photometry_only else 1 if series.method == "cnn" else 0
    return group, -series.inputs.count("+"), series.name


def method_name(record: Mapping[str, Any]) -> str:
    """Method and inputs of a record, for people."""
    method = _METHODS.get(str(record["method"]), str(record["method"]))
    inputs = str(record.get("inputs") or "")
    return f"{method}, {inputs}" if inputs.lower() not in ("", "photometry") else method


_PROBES = ("blue", "green", "sky", "purple", "brown", "grey")
_LINES = {"probe": "-", "probe-mlp": (0, (5, 1.5)), "cnn": "-", **dict.fromkeys(PHOTOMETRY, (0, (1.5, 1.5)))}


def line_style(series: Series, inputs: list[str]) -> dict[str, Any]:
    """Colour by inputs for probes, vermilion for the CNN, orange dots for photometry alone."""
    style: dict[str, Any] = {"linestyle": _LINES.get(series.method, "-."), "markersize": 5}
    if series.photometry_only:
        markers = {"booster": "s", "colours-ridge": "D", "photometry-probe": "o", "photometry-auto": "P"}
        marker = markers.get(series.method, "v")
        return style | {"color": COLOURS["orange"], "marker": marker}
    place = inputs.index(series.inputs) if series.inputs in inputs else 0
    marker = ("o", "^", "D", "P", "v", "X")[place % 6]
    if series.method == "cnn":
        return style | {"color": COLOURS["vermilion"], "marker": marker}
    return style | {"color": COLOURS[_PROBES[place % len(_PROBES)]], "marker": marker}
