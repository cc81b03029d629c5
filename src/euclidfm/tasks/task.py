"""Definition of a task: its label, its kind, the scale on which it is learnt, its metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.metrics import BINARY, MASS, MULTICLASS, PHOTOZ, REGRESSION
from euclidfm.metrics.classes import recall_of
from euclidfm.metrics.points import Metric

__all__ = ["LabelSource", "Task"]

MAX_CLASSES = 50


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """One way to obtain a task's label from a table of labels."""

    columns: tuple[str, ...]
    """Columns that it reads, besides ``object_id``."""
    derive: Callable[[Mapping[str, np.ndarray]], np.ndarray] | None = None
    """Function from the columns to the (N,) label (NaN or "" = unknown); None uses the single column."""
    rule: str = ""
    """Description of `derive`."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A quantity or class of galaxies to be predicted: label columns, scale and metrics, without a model."""

    name: str
    kind: Literal["regression", "classification"] = "regression"
    sources: tuple[LabelSource, ...]
    """Tried in order; the first whose columns are all there is used."""
    column: str = ""
    """Name of the predicted column (regression)."""
    transform: Literal["identity", "log1p"] = "identity"
    """Scale of the regression: ``log1p`` learns ln(1 + y), in which redshift errors have one width."""
    valid: tuple[float, float] = (-np.inf, np.inf)
    """Range of possible labels. A label outside it raises an error: it is probably a missing value."""
    family: Literal["photoz", "mass", "regression", "classes"] = "regression"
    """Which table of metrics applies."""
    classes: tuple[str, ...] = ()
    """Names of the classes, the negative one first; empty to take them from the labels."""
    description: str = ""

    def metrics(self, n_classes: int = 0) -> dict[str, Metric]:
        """Metrics by name; of several known classes also the recall of each."""
        if self.kind == "classification":
            each = {f"recall_{name}": recall_of(c) for c, name in enumerate(self.classes)}
            return BINARY if n_classes == 2 else MULTICLASS | each
        return {"photoz": PHOTOZ, "mass": MASS}.get(self.family, REGRESSION)

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Labels on the scale on which they are learnt; class numbers are returned unchanged."""
        return np.log1p(y) if self.transform == "log1p" else y

    def inverse(self, t: np.ndarray) -> np.ndarray:
        """Inverse of `forward`."""
        return np.expm1(t) if self.transform == "log1p" else t

    def bounded_inverse(self, t: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
        """Predictions in the label's unit, clipped to the range of the training labels.

        Parameters
        ----------
        t : (n,) predictions on the learnt scale; or (n, C) probabilities, which are returned unchanged
        limits : tuple of float
            Smallest and largest training label, in the label's unit.
        """
        if self.kind == "classification":
            return t
        return self.inverse(np.clip(t, *self.forward(np.array(limits))))

    def source(self, names: Sequence[str], against: str = "") -> LabelSource:
        """The first source whose columns are all among the names (and hold `against`, if given).

        Raises
        ------
        InputError
            If there is none. The message lists the columns that would do.
        """
        for s in self.sources:
            if all(c in names for c in s.columns) and (not against or against in s.columns):
                return s
        wanted = " or ".join(" + ".join(s.columns) for s in self.sources)
        have = ", ".join(map(str, names))
        msg = f"task {self.name!r} needs the label column(s) {wanted}; the table has {have}"
        raise InputError(msg)

    def labels_from(self, source: LabelSource, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Labels of N galaxies from the columns of a source.

        Parameters
        ----------
        source : LabelSource
        columns : mapping of str to (N,) array
            Numbers (NaN = unknown) or strings ("" = unknown).

        Returns
        -------
        (N,) array
            Numbers (NaN = unknown) or strings ("" = unknown).

        Raises
        ------
        InputError
            If a regression's column holds text, or a label is outside the valid range.
        """
        y = source.derive(columns) if source.derive else columns[source.columns[0]]
        if y.dtype.kind == "O":
            if self.kind == "regression":
                msg = f"column {source.columns[0]!r} holds text; task {self.name!r} needs numbers"
                raise InputError(msg)
            return y
        y = np.where(np.isfinite(y), y, np.nan)
        low, high = self.valid
        wrong = np.isfinite(y) & ((y < low) | (y > high))
        if wrong.any():
            msg = (
                f"column {source.columns[0]!r} holds {y[wrong][0]:g}, outside {low:g} to {high:g}; "
                f"mark unknown values of task {self.name!r} as NaN"
            )
            raise InputError(msg)
        return y

    def encode(self, y: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """Numbers of the classes as floats; NaN for unknown and for classes not in the list."""
        if self.classes and y.dtype.kind != "O":  # the known binary tasks: 0 and 1
            return np.where(np.isin(y, [0.0, 1.0]), y, np.nan)
        out = np.full(len(y), np.nan)
        names = _class_names(y)
        for i, c in enumerate(classes):
            out[names == c] = i
        return out

    def classes_of(self, y: np.ndarray) -> tuple[str, ...]:
        """Classes that occur among the labels, in order.

        Raises
        ------
        InputError
            If there are so many that the label looks continuous.
        """
        if self.classes:
            return self.classes
        names = _class_names(y)
        found = sorted(set(names[names != ""]), key=_class_order)
        if len(found) > MAX_CLASSES:
            msg = (
                f"task {self.name!r} has {len(found)} different labels; use a regression for a continuous one"
            )
            raise InputError(msg)
        return tuple(found)


def _class_names(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind == "O":
        return y
    return np.array(["" if np.isnan(v) else f"{v:g}" for v in y], dtype=object)


def _class_order(name: str) -> tuple[int, float, str]:
    try:
        return 0, float(name), ""
    except ValueError:
        return 1, 0.0, name
