"""Selections of catalogue objects, and the cut flow: how many objects survive each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.expressions import evaluate, names_in
from euclidfm.core.files import read_yaml

__all__ = ["CutFlow", "Selection", "Step", "shipped", "steps_from"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One cut: what it is for, and the expression that survivors satisfy."""

    name: str
    where: str


@dataclass
class CutFlow:
    """Survivors of each step of a selection, in order."""

    counts: dict[str, int] = field(default_factory=dict)

    def count(self, step: str, survivors: int) -> None:
        """Add survivors to a step (tiles add up)."""
        self.counts[step] = self.counts.get(step, 0) + int(survivors)

    def rows(self) -> list[tuple[str, int]]:
        """Steps and survivors."""
        return list(self.counts.items())

    def __str__(self) -> str:
        return "; ".join(f"{step}: {survivors}" for step, survivors in self.counts.items())


def shipped(kind: str, name: str) -> Path:
    """File of a selection or recipe: shipped with the package, or the user's own YAML.

    Parameters
    ----------
    kind : {"selections", "recipes"}
    name : str
        Shipped name, or path of a YAML file.

    Raises
    ------
    InputError
        If there is neither.
    """
    folder = resources.files("euclidfm.ingest") / kind
    own = Path(str(folder)) / f"{name}.yaml"
    if own.is_file():
        return own
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        msg = f"{path} does not exist"
        raise InputError(msg)
    have = ", ".join(sorted(p.name.removesuffix(".yaml") for p in Path(str(folder)).glob("*.yaml")))
    msg = f"no {kind.removesuffix('s')} is named {name!r}; give one of {have}, or a YAML file"
    raise InputError(msg)


def steps_from(file: Path, items: Any) -> tuple[Step, ...]:
    """Steps of a YAML list of ``{name, where}``."""
    steps = []
    for i, item in enumerate(items or []):
        if not isinstance(item, Mapping) or set(item) != {"name", "where"}:
            msg = f"{file}: step {i + 1} must have exactly 'name' and 'where', got {item}"
            raise InputError(msg)
        steps.append(Step(name=str(item["name"]), where=str(item["where"])))
        names_in(steps[-1].where)
    return tuple(steps)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which catalogue objects go in.

    Attributes
    ----------
    name, version : str
        Recorded in the store.
    description : str
    steps : tuple of Step
    """

    name: str
    version: str
    description: str = ""
    steps: tuple[Step, ...] = ()

    @classmethod
    def load(cls, name: str) -> Selection:
        """Load a shipped selection by name, or a YAML file.

        Raises
        ------
        InputError
            If there is no such file or it is not a selection.
        """
        file = shipped("selections", name)
        d = read_yaml(file)
        if not isinstance(d, Mapping) or not {"name", "version", "steps"} <= set(d):
            msg = f"{file} is not a selection; it needs name, version and steps (a list of name and where)"
            raise InputError(msg)
        unknown = set(d) - {"name", "version", "description", "steps"}
        if unknown:
            msg = f"{file}: unknown key {sorted(unknown)[0]!r}; known: name, version, description, steps"
            raise InputError(msg)
        return cls(
            name=str(d["name"]),
            version=str(d["version"]),
            description=str(d.get("description", "")),
            steps=steps_from(file, d["steps"]),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Catalogue columns that the steps need."""
        return tuple(dict.fromkeys(n for s in self.steps for n in names_in(s.where)))

    def apply(self, columns: Mapping[str, np.ndarray], keep: np.ndarray, cut_flow: CutFlow) -> np.ndarray:
        """Rows of `keep` that pass every step, counting each step's survivors."""
        for step in self.steps:
            keep = keep & evaluate(step.where, columns)
            cut_flow.count(step.name, keep.sum())
        return keep
