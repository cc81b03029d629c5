"""What a task is: which label, what kind, on which scale it is learnt, how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.tables import column_names
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.metrics import BINARY, MASS, MULTICLASS, PHOTOZ, REGRESSION
from euclidfm.metrics.points import Metric

if TYPE_CHECKING:
    from euclidfm.tasks.density.probe import DensityProbe
    from euclidfm.tasks.probe import Probe

__all__ = ["LabelSource", "Task"]

MAX_CLASSES = 50


@dataclass(frozen=True, kw_only=True)
class LabelSource:
    """One way to obtain a task's label from a table of labels."""

    columns: tuple[str, ...]
    """Columns that it needs, besides ``object_id``."""
    derive: Callable[[Mapping[str, np.ndarray]], np.ndarray] | None = None
    """Makes the (N,) label (NaN or "" = unknown) from the columns; None takes the one column as it is."""
    rule: str = ""
    """What `derive` does, in words."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A question about galaxies that a probe learns to answer from their embeddings."""

    name: str
    kind: Literal["regression", "classification"] = "regression"
    sources: tuple[LabelSource, ...]
    """Tried in order; the first whose columns are all there is used."""
    column: str = ""
    """Name of the predicted column (regression)."""
    transform: Literal["identity", "log1p"] = "identity"
    """Scale of the regression: ``log1p`` learns ln(1 + y), in which redshift errors have one width."""
    valid: tuple[float, float] = (-np.inf, np.inf)
    """Range of labels that can be true; others are refused, as undeclared missing values."""
    family: Literal["photoz", "mass", "regression", "classes"] = "regression"
    """Which table of metrics applies."""
    classes: tuple[str, ...] = ()
    """Names of the classes, the negative one first; empty to take them from the labels."""
    description: str = ""

    def metrics(self, n_classes: int = 0) -> dict[str, Metric]:
        """Metrics by name."""
        if self.kind == "classification":
            return BINARY if n_classes == 2 else MULTICLASS
        return {"photoz": PHOTOZ, "mass": MASS}.get(self.family, REGRESSION)

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Label to the scale on which it is learnt."""
        return np.log1p(y) if self.transform == "log1p" else y

    def inverse(self, t: np.ndarray) -> np.ndarray:
        """Inverse of `forward`."""
        return np.expm1(t) if self.transform == "log1p" else t

    def source(self, names: Sequence[str], against: str = "") -> LabelSource:
        """The first source whose columns are all among the names (and hold `against`, if given).

        Raises
        ------
        InputError
            If there is none; the message lists what would do.
        """
        for s in self.sources:
            if all(c in names for c in s.columns) and (not against or against in s.columns):
                return s
        wanted = " or ".join(" + ".join(s.columns) for s in self.sources)
        have = ", ".join(map(str, names))
        msg = f"task {self.name!r} needs the label column(s) {wanted}; the table has {have}"
        raise InputError(msg)

    def raw_labels(self, emb: EmbeddingTable, labels: Any, against: str = "") -> np.ndarray:
        """(N,) label of each galaxy of `emb`, as numbers (NaN = unknown) or strings ("" = unknown).

        Parameters
        ----------
        emb : EmbeddingTable
        labels : table
        against : str
            Use the source of labels that reads this column, in place of the first possible one.

        Raises
        ------
        InputError
            If columns are missing, nothing matches, or a label is out of its range.
        """
        source = self.source(column_names(labels), against)
        values = {c: _tidy(emb.column_of(labels, c)) for c in source.columns}
        y = source.derive(values) if source.derive else values[source.columns[0]]
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

    def fit(
        self,
        emb: EmbeddingTable,
        labels: Any,
        *,
        head: str = "linear",
        seed: int = 0,
        use: Sequence[str] = ("auto",),
    ) -> Probe:
        """Learn from the galaxies of split ``train`` that have a label.

        Parameters
        ----------
        emb : EmbeddingTable
        labels : pyarrow or astropy table, pandas frame or mapping
            With `object_id` and the task's label column(s).
        head : {"linear", "auto", "mlp", "knn"}
            ``auto`` is the strongest: it chooses a curved map if that cross-validates better.
        seed : int
        use : sequence of str
            ``auto``: the joint vectors or those of one modality, by cross-validation; ``joint``; or names
            of modalities whose vectors are joined.

        Returns
        -------
        Probe

        Raises
        ------
        InputError
            If there is nothing to learn from: no label, one class only, a constant.
        """
        from euclidfm.tasks.probe import fit_probe

        return fit_probe(self, emb, labels, head=head, seed=seed, use=tuple(use))

    def fit_density(
        self, emb: EmbeddingTable, labels: Any, *, seed: int = 0, use: Sequence[str] = ("joint",)
    ) -> DensityProbe:
        """Learn a probability density of the label; see `euclidfm.tasks.density.probe.fit_density`."""
        from euclidfm.tasks.density.probe import fit_density

        return fit_density(emb, labels, task=self, seed=seed, use=tuple(use))


def _tidy(values: np.ndarray) -> np.ndarray:
    """Objects that are all numbers, booleans or None become floats; text stays, None becomes ""."""
    if values.dtype.kind != "O":
        return values.astype(np.float64)
    missing = np.array([v is None or (isinstance(v, str) and v.strip() in ("", "--")) for v in values])
    known = values[~missing]
    if all(isinstance(v, bool | int | float | np.generic) and not isinstance(v, np.str_) for v in known):
        out = np.full(len(values), np.nan)
        out[~missing] = known.astype(np.float64)
        return out
    return np.array(["" if m else str(v) for v, m in zip(values, missing, strict=True)], dtype=object)


def _class_names(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind == "O":
        return y
    return np.array(["" if np.isnan(v) else f"{v:g}" for v in y], dtype=object)


def _class_order(name: str) -> tuple[int, float, str]:
    try:
        return 0, float(name), ""
    except ValueError:
        return 1, 0.0, name
