"""The known tasks, and tasks for any other column."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.tasks.task import LabelSource, Task

__all__ = ["TASKS", "classification", "get", "regression"]

ARTEFACT_LIMIT = 0.5
"""Galaxy Zoo: objects with at least this fraction of "artefact, star or zoom" votes get no label."""

CONFIDENT = 0.6
"""Fraction of the votes that the leading class must have for a galaxy to be confidently classified."""


def _smooth_or_featured(c: Mapping[str, np.ndarray]) -> np.ndarray:
    """1 featured, 0 smooth, NaN if it is an artefact, undecided or not classified."""
    smooth, featured = c["gz_smooth"], c["gz_featured"]
    for name, f in (("gz_smooth", smooth), ("gz_featured", featured)):
        if np.nanmax(f, initial=0.0) > 1.0 + 1e-6:
            msg = f"column {name!r} holds {np.nanmax(f):g}; it must be a fraction (divide votes by their sum)"
            raise InputError(msg)
    total = smooth + featured
    with np.errstate(divide="ignore", invalid="ignore"):
        share = featured / total
        decided = (total > 1.0 - ARTEFACT_LIMIT) & (np.maximum(share, 1.0 - share) >= CONFIDENT)
    return np.where(decided, (share > 0.5).astype(float), np.nan)


def _edge_on(c: Mapping[str, np.ndarray]) -> np.ndarray:
    """1 for an edge-on disc. Volunteers classify only featured galaxies this way, so smooth ones are 0."""
    classified = np.isfinite(c["gz_featured"]) & np.isfinite(c["gz_edge_on"])
    real = c["gz_smooth"] + c["gz_featured"] > 1.0 - ARTEFACT_LIMIT
    edge_on = (c["gz_featured"] > c["gz_smooth"]) & (c["gz_edge_on"] > 0.5)
    return np.where(classified & real, edge_on.astype(float), np.nan)


def _fraction(name: str) -> LabelSource:
    def derive(c: Mapping[str, np.ndarray]) -> np.ndarray:
        f = c[name]
        return np.where(np.isfinite(f), (f > 0.5).astype(float), np.nan)

    return LabelSource(columns=(name,), derive=derive, rule=f"{name} > 0.5")


def _equals(column: str, *values: str) -> LabelSource:
    def derive(c: Mapping[str, np.ndarray]) -> np.ndarray:
        if c[column].dtype.kind != "O":
            return np.full(len(c[column]), np.nan)
        return np.array([np.nan if v == "" else float(v in values) for v in c[column]])

    return LabelSource(columns=(column,), derive=derive, rule=f"{column} is {' or '.join(values)}")


def _columns(*names: str) -> tuple[LabelSource, ...]:
    return tuple(LabelSource(columns=(n,)) for n in names)


GZ1_KINDS = {
    "elliptical": "smooth",
    "spiral_clockwise": "spiral",
    "spiral_anticlockwise": "spiral",
    "edge_on": "edge_on",
    "merger": "merger",
}
"""Kinds of the classes of Galaxy Zoo 1."""


def gz1_kinds(names: np.ndarray, unsure: str = "") -> np.ndarray:
    """(N,) kinds of galaxies from their classes of Galaxy Zoo 1; `unsure` for "don't know or star"."""
    known = GZ1_KINDS | {"dont_know_or_star": unsure}
    return np.array([known.get(str(n), "") for n in names], dtype=object)


_TABLE = (
    Task(
        name="photoz",
        sources=_columns("z_spec", "z"),
        column="z_phot",
        transform="log1p",
        valid=(-0.1, 20.0),
        family="photoz",
        description="photometric redshift, learnt in ln(1 + z)",
    ),
    Task(
        name="mass",
        sources=_columns("log_mass", "logm", "log_mstar"),
        column="log_mass_pred",
        valid=(3.0, 15.0),
        family="mass",
        description="log10 of the stellar mass in solar masses",
    ),
    Task(
        name="morphology",
        kind="classification",
        sources=(
            LabelSource(
                columns=("gz_smooth", "gz_featured"),
                derive=_smooth_or_featured,
                rule="artefact votes < 0.5 and the leading of smooth and featured has a share >= 0.6",
            ),
        ),
        family="classes",
        classes=("smooth", "featured"),
        description="smooth or featured, of galaxies that volunteers agree on",
    ),
    Task(
        name="edge_on",
        kind="classification",
        sources=(
            LabelSource(
                columns=("gz_smooth", "gz_featured", "gz_edge_on"),
                derive=_edge_on,
                rule="featured more than smooth, and gz_edge_on > 0.5; artefacts have no label",
            ),
            _fraction("gz_edge_on"),
            *_columns("is_edge_on"),
            _equals("subtype", "edge_on"),
        ),
        family="classes",
        classes=("not_edge_on", "edge_on"),
        description="disc seen edge-on",
    ),
    Task(
        name="merger",
        kind="classification",
        sources=(_fraction("gz_merger"), *_columns("is_merger"), _equals("subtype", "merger")),
        family="classes",
        classes=("not_merger", "merger"),
        description="merging system",
    ),
    Task(
        name="star",
        kind="classification",
        sources=(*_columns("is_star"), _equals("kind", "star")),
        family="classes",
        classes=("not_star", "star"),
        description="star among all objects",
    ),
    Task(
        name="gz1",
        kind="classification",
        sources=(
            LabelSource(
                columns=("gz1_class_name",),
                derive=lambda c: gz1_kinds(c["gz1_class_name"]),
                rule="both directions of spirals are one class; don't know has no label",
            ),
        ),
        family="classes",
        classes=("smooth", "spiral", "edge_on", "merger"),
        description="class of Galaxy Zoo 1",
    ),
)

TASKS: dict[str, Task] = {t.name: t for t in _TABLE}
"""The known tasks by name."""


def regression(column: str) -> Task:
    """Task for any numeric column."""
    return Task(
        name=f"regression:{column}",
        sources=_columns(column),
        column=f"{column}_pred",
        description=f"value of column {column}",
    )


def classification(column: str) -> Task:
    """Task for any categorical column: text, or a few different numbers."""
    return Task(
        name=f"classification:{column}",
        kind="classification",
        sources=_columns(column),
        family="classes",
        description=f"class in column {column}",
    )


def get(name: str) -> Task:
    """Task by name: a known one, ``regression:<column>`` or ``classification:<column>``.

    Raises
    ------
    InputError
        If there is no such task.
    """
    kind, _, column = name.partition(":")
    if column and kind == "regression":
        return regression(column)
    if column and kind == "classification":
        return classification(column)
    if name not in TASKS:
        known = ", ".join(TASKS)
        msg = f"there is no task {name!r}; known are {known}, and regression:COLUMN or classification:COLUMN"
        raise InputError(msg)
    return TASKS[name]
