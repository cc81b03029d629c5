"""The columns of each task: from fitted probes and densities to numbers a galaxy.

Shapes: n galaxies of a batch, G grid points, C classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.predict.fields import Field, task_ucd
from euclidfm.tasks.density.calibrate import LEVELS
from euclidfm.tasks.density.probe import DensityProbe, load_density
from euclidfm.tasks.probe import Probe, load_probe
from euclidfm.tasks.task import Task

__all__ = ["Estimator", "load_estimators"]

MOST = 0.5
"""A modality that more than this fraction of the training galaxies had is missed where it is absent."""


@dataclass
class Estimator:
    """What is known of one task: a probe, a density, or both.

    Attributes
    ----------
    folder : Path
        Where it was read.
    point : Probe, optional
    density : DensityProbe, optional
    extrapolation : float
        Percentile of the training galaxies' own distances beyond which a galaxy is flagged.
    pdf : bool
        Whether whole densities are given.
    """

    folder: Path
    point: Probe | None = None
    density: DensityProbe | None = None
    extrapolation: float = 99.0
    pdf: bool = False

    @property
    def fitted(self) -> Probe | DensityProbe:
        """What the main estimate comes from: the density if there is one."""
        found = self.density or self.point
        assert found is not None
        return found

    @property
    def parts(self) -> list[Probe | DensityProbe]:
        """Everything that was fitted."""
        return [p for p in (self.point, self.density) if p is not None]

    @property
    def task(self) -> Task:
        """The task."""
        return self.fitted.task

    @property
    def prefix(self) -> str:
        """How the names of its columns begin: ``z_phot``, ``log_mass_pred``, ``morphology``."""
        return _tidy(self.task.column or self.task.name.removeprefix("classification:"))

    def card(self) -> dict[str, Any]:
        """What the catalogue's metadata say of it."""
        f = self.fitted
        told = ("n_train", "n_calibration", "seed", "inputs", "had", "embeddings")
        return {
            "prefix": self.prefix,
            "task": self.task.name,
            "folder": str(self.folder),
            "method": "density" if self.density else f"probe, head {getattr(f, 'head_name', '')}",
            "reads": list(f.use),
            **{k: f.info.get(k) for k in told},
        }

    def fields(self) -> list[Field]:
        """The columns, in the order of `columns`."""
        ucd, name = task_ucd(self.task.name), self.prefix
        what = self.task.description or self.task.name
        out: list[Field] = []
        if self.task.kind == "classification":
            classes = self._point().classes
            out += [
                Field(
                    name=f"{name}_p_{_tidy(c)}",
                    ucd=f"stat.probability;{ucd}",
                    description=f"Probability of class {c}: {what}",
                )
                for c in classes
            ]
            longest = max(len(c.encode()) for c in classes)
            out.append(
                Field(
                    name=f"{name}_class",
                    kind="string",
                    ucd=ucd,
                    description="The most probable class; empty if unknown",
                    size=longest,
                )
            )
        elif self.density:
            out.append(Field(name=name, ucd=f"{ucd};stat.median", description=f"Median of p: {what}"))
            out.append(Field(name=f"{name}_mode", ucd=ucd, description="Highest point of p"))
            out.append(Field(name=f"{name}_mean", ucd=f"{ucd};stat.mean", description="Mean of p"))
            if self.point:
                out.append(Field(name=f"{name}_point", ucd=ucd, description=f"Of the point probe: {what}"))
            for level in LEVELS:
                out += _ends(f"{name}", level, ucd, "central interval of the calibrated p")
            for level in LEVELS:
                out += _ends(f"{name}_conformal", level, ucd, "split-conformal interval")
        else:
            out.append(Field(name=name, ucd=ucd, description=what[:1].upper() + what[1:]))
            for level in LEVELS:
                out += _ends(f"{name}_conformal", level, ucd, "split-conformal interval; NaN if uncalibrated")
        had = ", ".join(self._had()) or "none"
        out += [
            Field(
                name=f"{name}_distance",
                ucd="stat.value",
                description="Distance to the training galaxies' embeddings; 1 is typical of themselves",
            ),
            Field(
                name=f"{name}_percentile",
                ucd="stat.percentile",
                description="Percentage of the training galaxies that are nearer to the others than this one",
            ),
            Field(
                name=f"{name}_extrapolated",
                kind="bool",
                ucd="meta.code.qual",
                description=f"Percentile above {self.extrapolation:g}: unlike the training galaxies",
            ),
            Field(
                name=f"{name}_incomplete",
                kind="bool",
                ucd="meta.code.qual",
                description=f"Lacks a modality that most training galaxies had, of {had}",
            ),
        ]
        if self.pdf and self.density:
            out.append(
                Field(
                    name=f"{name}_pdf",
                    ucd=f"stat.probability;{ucd}",
                    description=f"Probability density on the grid {name}_pdf_grid of the metadata",
                    size=len(self.density.grid),
                )
            )
        return out

    def columns(self, emb: EmbeddingTable) -> dict[str, np.ndarray]:
        """Values of the columns for a batch of galaxies; NaN where nothing can be said."""
        name = self.prefix
        out: dict[str, np.ndarray] = {}
        pdf = np.empty((0, 0))
        if self.task.kind == "classification":
            probe = self._point()
            p = probe.predict_array(emb)
            out |= {f"{name}_p_{_tidy(c)}": p[:, i] for i, c in enumerate(probe.classes)}
            known = np.isfinite(p).all(axis=1)
            best = np.nan_to_num(p).argmax(axis=1)
            names = np.array([*probe.classes, ""], object)
            out[f"{name}_class"] = names[np.where(known, best, len(probe.classes))]
        elif self.density:
            table, pdf = self.density.estimates(emb)
            out |= {name + k.removeprefix(self.task.column): v for k, v in table.items()}
            if self.point:
                out[f"{name}_point"] = self.point.predict_array(emb)
        else:
            value = self._point().predict_array(emb)
            out[name] = value
            for level in LEVELS:
                tag = f"{100 * level:.0f}"
                ends = self._point().interval(value, level)
                out[f"{name}_conformal_low{tag}"], out[f"{name}_conformal_high{tag}"] = ends
        distance, percentile = self.fitted.distance(emb)
        out[f"{name}_distance"], out[f"{name}_percentile"] = distance, percentile
        out[f"{name}_extrapolated"] = percentile > self.extrapolation
        lacks = [~np.isfinite(emb.by_modality[m]).any(axis=1) for m in self._had() if m in emb.by_modality]
        out[f"{name}_incomplete"] = np.any(lacks, axis=0) if lacks else np.zeros(len(emb), bool)
        if self.pdf and self.density:
            out[f"{name}_pdf"] = pdf
        return out

    def _point(self) -> Probe:
        assert self.point is not None
        return self.point

    def _had(self) -> list[str]:
        """Modalities that the estimate reads and that most training galaxies had."""
        had = self.fitted.info.get("had", {})
        use = self.fitted.use
        return [m for m, f in had.items() if f > MOST and ("joint" in use or m in use)]


def _ends(name: str, level: float, ucd: str, what: str) -> list[Field]:
    tag = f"{100 * level:.0f}"
    return [
        Field(name=f"{name}_low{tag}", ucd=f"{ucd};stat.min", description=f"Lower end of the {tag}% {what}"),
        Field(name=f"{name}_high{tag}", ucd=f"{ucd};stat.max", description=f"Upper end of the {tag}% {what}"),
    ]


def _tidy(name: str) -> str:
    """A name that FITS, SQL and TOPCAT all take."""
    return re.sub(r"\W", "_", name.replace(":", "_"), flags=re.ASCII)


def load_estimators(
    folders: Sequence[str | Path], *, pdf: bool = False, extrapolation: float = 99.0
) -> list[Estimator]:
    """Probes and densities in the given folders, or in the folders directly inside them.

    Raises
    ------
    InputError
        If a folder holds none, one is damaged or was fitted by an older version, or two are of one task.
    """
    if not 0.0 < extrapolation < 100.0:
        msg = f"extrapolation is a percentile between 0 and 100, got {extrapolation:g}"
        raise InputError(msg)
    found: list[Estimator] = []
    for folder in map(Path, folders):
        here = [f for f in (folder, *sorted(p for p in folder.glob("*") if p.is_dir())) if _holds(f)]
        if not here:
            msg = f"{folder} holds no probe (no probe.json or density.json); fit one with `euclidfm probe`"
            raise InputError(msg)
        for f in here:
            point = load_probe(f) if (f / "probe.json").is_file() else None
            density = load_density(f) if (f / "density.json").is_file() else None
            found.append(Estimator(f, point, density, extrapolation, pdf))
    for i, e in enumerate(found):
        for fitted in e.parts:
            if fitted.reference is None:
                msg = (
                    f"{e.folder} was fitted by an older version, without its training galaxies; fit it again"
                )
                raise InputError(msg)
        if e.point and e.density and e.point.task.name != e.density.task.name:
            tasks = f"a probe of {e.point.task.name} and a density of {e.density.task.name}"
            msg = f"{e.folder} holds {tasks}; keep each task in a folder of its own"
            raise InputError(msg)
        for other in found[:i]:
            if other.prefix == e.prefix:
                msg = f"{other.folder} and {e.folder} both predict {e.prefix}; give one of them"
                raise InputError(msg)
    return found


def _holds(folder: Path) -> bool:
    return (folder / "probe.json").is_file() or (folder / "density.json").is_file()
