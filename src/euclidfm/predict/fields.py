"""Columns of a catalogue, each with its unit, UCD and description.

UCDs are from the list of the IVOA (UCD1+, https://www.ivoa.net/documents/UCD1+/). Units are valid in FITS and
in the Virtual Observatory; a dimensionless number has an empty unit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from euclidfm.tasks.density.calibrate import LEVELS

__all__ = [
    "Field",
    "class_fields",
    "density_fields",
    "identity_fields",
    "interval_fields",
    "task_ucd",
    "tidy_name",
]

Kind = Literal["int64", "float64", "float32", "bool", "string"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column.

    Attributes
    ----------
    name : str
    kind : {"int64", "float64", "float32", "bool", "string"}
    unit, ucd, description : str
    size : int
        Numbers per row; for a string, its largest length in bytes.
    """

    name: str
    kind: Kind = "float32"
    unit: str = ""
    ucd: str = ""
    description: str = ""
    size: int = 1


def identity_fields(modalities: list[str]) -> list[Field]:
    """Identity, position and modalities of a galaxy."""
    seen = f"What the model saw of the galaxy, of {'+'.join(modalities)}; empty if nothing"
    return [
        Field(name="object_id", kind="int64", ucd="meta.id;meta.main", description="Name in its release"),
        _angle("ra", "Right ascension, ICRS"),
        _angle("dec", "Declination, ICRS"),
        Field(
            name="modalities",
            kind="string",
            ucd="meta.note",
            description=seen,
            size=len("+".join(modalities)),
        ),
    ]


def _angle(name: str, description: str) -> Field:
    ucd = f"pos.eq.{name};meta.main"
    return Field(name=name, kind="float64", unit="deg", ucd=ucd, description=description)


_UCDS = {
    "photoz": "src.redshift.phot",
    "mass": "phys.mass",
    "morphology": "src.morph.type",
    "edge_on": "src.morph.type",
    "merger": "src.morph.type",
    "star": "src.class.starGalaxy",
}


def task_ucd(task: str) -> str:
    """UCD of the prediction of a task: that of a known quantity, else a generic one."""
    if task in _UCDS:
        return _UCDS[task]
    return "src.class" if task.startswith("classification:") else "stat.value"


def class_fields(name: str, ucd: str, what: str, classes: Sequence[str]) -> list[Field]:
    """Probabilities of the classes, and the most probable class."""
    out = [
        Field(
            name=f"{name}_p_{tidy_name(c)}",
            ucd=f"stat.probability;{ucd}",
            description=f"Probability of class {c}: {what}",
        )
        for c in classes
    ]
    best = "The most probable class; empty if unknown"
    size = max(len(c.encode()) for c in classes)
    return [*out, Field(name=f"{name}_class", kind="string", ucd=ucd, description=best, size=size)]


def density_fields(name: str, ucd: str, what: str, *, with_point: bool) -> list[Field]:
    """Summaries of a density, the point estimate if there is one, and intervals."""
    out = [
        Field(name=name, ucd=f"{ucd};stat.median", description=f"Median of p: {what}"),
        Field(name=f"{name}_mode", ucd=ucd, description="Highest point of p"),
        Field(name=f"{name}_mean", ucd=f"{ucd};stat.mean", description="Mean of p"),
    ]
    if with_point:
        out.append(Field(name=f"{name}_point", ucd=ucd, description=f"Of the point probe: {what}"))
    for level in LEVELS:
        out += interval_fields(name, level, ucd, "central interval of the calibrated p")
    for level in LEVELS:
        out += interval_fields(f"{name}_conformal", level, ucd, "split-conformal interval")
    return out


def interval_fields(name: str, level: float, ucd: str, what: str) -> list[Field]:
    """Ends of an interval of probability `level`."""
    tag = f"{100 * level:.0f}"
    return [
        Field(name=f"{name}_low{tag}", ucd=f"{ucd};stat.min", description=f"Lower end of the {tag}% {what}"),
        Field(name=f"{name}_high{tag}", ucd=f"{ucd};stat.max", description=f"Upper end of the {tag}% {what}"),
    ]


def tidy_name(name: str) -> str:
    """The name with characters that FITS, SQL and TOPCAT all accept."""
    return re.sub(r"\W", "_", name.replace(":", "_"), flags=re.ASCII)
