"""The columns of each task: from fitted probes and densities to numbers per galaxy.

Shapes: n galaxies of a batch, G grid points, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.predict.fields import (
    Field,
    class_fields,
    density_fields,
    interval_fields,
    task_ucd,
    tidy_name,
)
from euclidfm.tasks.density.calibrate import LEVELS
from euclidfm.tasks.density.probe import DensityProbe
from euclidfm.tasks.probe import Probe
from euclidfm.tasks.task import Task

__all__ = ["Estimator"]

MOST = 0.5
"""A galaxy without a modality that more than this fraction of the training galaxies had is incomplete."""


@dataclass
class Estimator:
    """The fitted parts of one task: a probe, a density, or both.

    Attributes
    ----------
    folder : Path
        Folder from which it was read.
    point : Probe, optional
    density : DensityProbe, optional
    extrapolation : float
        Percentile of the training galaxies' own distances beyond which a galaxy is flagged.
    pdf : bool
        Whether the densities on their grid are given.
    """

    folder: Path
    point: Probe | None = None
    density: DensityProbe | None = None
    extrapolation: float = 99.0
    pdf: bool = False

    @property
    def fitted(self) -> Probe | DensityProbe:
        """The source of the main estimate: the density if there is one, else the probe."""
        found = self.density or self.point
        assert found is not None
        return found

    @property
    def parts(self) -> list[Probe | DensityProbe]:
        """All fitted parts."""
        return [p for p in (self.point, self.density) if p is not None]

    @property
    def task(self) -> Task:
        """The task."""
        return self.fitted.task

    @property
    def prefix(self) -> str:
        """Start of the names of its columns: ``z_phot``, ``log_mass_pred``, ``morphology``."""
        return tidy_name(self.task.column or self.task.name.removeprefix("classification:"))

    def card(self) -> dict[str, Any]:
        """Its entry in the metadata of the catalogue."""
        f = self.fitted
        facts = ("n_train", "n_calibration", "seed", "inputs", "had", "embeddings")
        return {
            "prefix": self.prefix,
            "task": self.task.name,
            "folder": str(self.folder),
            "method": "density" if self.density else f"probe, head {getattr(f, 'head_name', '')}",
            "reads": list(f.use),
            **{k: f.info.get(k) for k in facts},
        }

    def fields(self) -> list[Field]:
        """The columns, in the order of `columns`."""
        out = self._estimate_fields() + self._quality_fields()
        if self.pdf and self.density:
            out.append(
                Field(
                    name=f"{self.prefix}_pdf",
                    ucd=f"stat.probability;{task_ucd(self.task.name)}",
                    description=f"Probability density on the grid {self.prefix}_pdf_grid of the metadata",
                    size=len(self.density.grid),
                )
            )
        return out

    def _estimate_fields(self) -> list[Field]:
        ucd, name, what = task_ucd(self.task.name), self.prefix, self.task.description or self.task.name
        if self.task.kind == "classification":
            return class_fields(name, ucd, what, self._point().classes)
        if self.density:
            return density_fields(name, ucd, what, with_point=self.point is not None)
        out = [Field(name=name, ucd=ucd, description=what[:1].upper() + what[1:])]
        for level in LEVELS:
            out += interval_fields(
                f"{name}_conformal", level, ucd, "split-conformal interval; NaN if uncalibrated"
            )
        return out

    def _quality_fields(self) -> list[Field]:
        name, had = self.prefix, ", ".join(self._had()) or "none"
        return [
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

    def columns(self, emb: EmbeddingTable) -> dict[str, np.ndarray]:
        """Values of the columns for a batch of galaxies; NaN where there is no estimate."""
        name, pdf = self.prefix, np.empty((0, 0))
        if self.task.kind == "classification":
            out = self._class_columns(emb)
        elif self.density:
            table, pdf = self.density.estimates(emb)
            out = {name + k.removeprefix(self.task.column): v for k, v in table.items()}
            if self.point:
                out[f"{name}_point"] = self.point.predict_array(emb)
        else:
            out = self._value_columns(emb)
        out |= self._quality_columns(emb)
        if self.pdf and self.density:
            out[f"{name}_pdf"] = pdf
        return out

    def _class_columns(self, emb: EmbeddingTable) -> dict[str, np.ndarray]:
        name, probe = self.prefix, self._point()
        p = probe.predict_array(emb)
        out = {f"{name}_p_{tidy_name(c)}": p[:, i] for i, c in enumerate(probe.classes)}
        known = np.isfinite(p).all(axis=1)
        best = np.nan_to_num(p).argmax(axis=1)
        names = np.array([*probe.classes, ""], object)
        return out | {f"{name}_class": names[np.where(known, best, len(probe.classes))]}

    def _value_columns(self, emb: EmbeddingTable) -> dict[str, np.ndarray]:
        name, probe = self.prefix, self._point()
        out = {name: probe.predict_array(emb)}
        for level in LEVELS:
            tag = f"{100 * level:.0f}"
            ends = probe.interval(out[name], level)
            out[f"{name}_conformal_low{tag}"], out[f"{name}_conformal_high{tag}"] = ends
        return out

    def _quality_columns(self, emb: EmbeddingTable) -> dict[str, np.ndarray]:
        name = self.prefix
        distance, percentile = self.fitted.distance(emb)
        lacks = [~np.isfinite(emb.by_modality[m]).any(axis=1) for m in self._had() if m in emb.by_modality]
        return {
            f"{name}_distance": distance,
            f"{name}_percentile": percentile,
            f"{name}_extrapolated": percentile > self.extrapolation,
            f"{name}_incomplete": np.any(lacks, axis=0) if lacks else np.zeros(len(emb), bool),
        }

    def _point(self) -> Probe:
        assert self.point is not None
        return self.point

    def _had(self) -> list[str]:
        """Modalities that the estimate uses and that most training galaxies had."""
        had = self.fitted.info.get("had", {})
        use = self.fitted.use
        return [m for m, f in had.items() if f > MOST and ("joint" in use or m in use)]
