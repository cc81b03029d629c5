"""Columns of a catalogue, each with its unit, its UCD and what it means.

UCDs are words of the IVOA's list (UCD1+, https://www.ivoa.net/documents/UCD1+/), units those that FITS and
the Virtual Observatory both know; a number without unit has an empty one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Field", "identity_fields", "task_ucd"]

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
        Numbers a row; or the greatest length of a string, in bytes.
    """

    name: str
    kind: Kind = "float32"
    unit: str = ""
    ucd: str = ""
    description: str = ""
    size: int = 1


def identity_fields(modalities: list[str]) -> list[Field]:
    """Who a galaxy is, and what the model saw of it."""
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
    """UCD of what a task predicts: a known quantity, else a value or a class of some kind."""
    if task in _UCDS:
        return _UCDS[task]
    return "src.class" if task.startswith("classification:") else "stat.value"
