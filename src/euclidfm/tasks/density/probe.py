"""Calibrated probability densities of redshifts and other labels, p(z), from embeddings.

The ``auto`` head predicts a point. A mixture-density network learns the distribution of its leave-one-out
residuals for each galaxy, so that p(z) is wide where the regressor is uncertain. The densities are
recalibrated on galaxies of split ``validation`` and on cross-validated predictions of the training galaxies.
The conformal intervals, whose coverage is guaranteed, use split ``validation`` alone.

Shapes: N galaxies, G grid points.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.records import Record
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.metrics.densities import cdf_on_grid, quantiles
from euclidfm.tasks.density.calibrate import LEVELS, recalibrate
from euclidfm.tasks.density.evaluation import density_records
from euclidfm.tasks.density.mixture import MixtureDensityNetwork
from euclidfm.tasks.density.model import ResidualDensity
from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.ridge import RidgeHead
from euclidfm.tasks.labels import true_labels
from euclidfm.tasks.reference import Reference, distances
from euclidfm.tasks.registry import get
from euclidfm.tasks.spaces import features_of
from euclidfm.tasks.storage import checked_load, load_fitted, save_fitted
from euclidfm.tasks.task import Task

__all__ = ["DensityProbe", "jacobian", "load_density"]


@dataclass
class DensityProbe:
    """A fitted density estimator; made by `euclidfm.tasks.density.fit.fit_density` or `load_density`.

    Attributes
    ----------
    task : Task
        Any regression.
    model : ResidualDensity
        Densities before recalibration, on the learnt scale.
    scaler : Scaler
        Scaling of the features.
    grid : (G,) array
        Points at which densities are given, in the label's unit (evenly spaced on the learnt scale).
    mapped : (17,) array
        Recalibration, see `euclidfm.tasks.density.calibrate`.
    conformal : dict of float to float
        Half width in probability of the conformal interval of each level.
    reference : Reference, optional
        The training galaxies, for the distance of others from them.
    """

    task: Task
    model: ResidualDensity
    scaler: Scaler
    grid: np.ndarray
    mapped: np.ndarray
    conformal: dict[float, float]
    use: tuple[str, ...]
    info: dict[str, Any] = field(default_factory=dict)
    reference: Reference | None = None

    def __repr__(self) -> str:
        n, m = self.info.get("n_train"), self.info.get("n_calibration")
        return f"<DensityProbe {self.task.name}: {n} labels, {m} to calibrate>"

    def raw(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, G) density and distribution function before recalibration, of (N, d) features."""
        pdf = self.model(self.scaler(X), self.task.forward(self.grid)) * jacobian(self.task, self.grid)
        pdf[~np.isfinite(X).any(axis=1)] = np.nan
        return cdf_on_grid(self.grid, pdf)

    def densities(self, emb: EmbeddingTable) -> np.ndarray:
        """(N, G) calibrated densities on `grid`, each with integral one; NaN without a vector."""
        return self._calibrated(features_of(emb, self.use))[0]

    def _calibrated(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pdf, raw_cdf = self.raw(X)
        pdf, _ = recalibrate(pdf, raw_cdf, self.mapped)
        return *cdf_on_grid(self.grid, pdf), raw_cdf

    def predict(self, emb: EmbeddingTable, *, with_density: bool = True) -> pa.Table:
        """Point estimates, intervals and the densities themselves.

        Returns
        -------
        pyarrow Table
            `object_id`; ``<column>`` (the median), ``_mode``, ``_mean``; ``_low68``, ``_high68``,
            ``_low95``, ``_high95`` of the calibrated p(z); ``_conformal_low68`` and so on; and
            ``pz``, G float32 a row, whose grid is in the schema metadata under ``pz_grid``.
        """
        columns, pdf = self.estimates(emb)
        data: dict[str, Any] = {"object_id": pa.array(emb.object_id, pa.int64()), **columns}
        if with_density:
            flat = pa.array(pdf.astype(np.float32).reshape(-1))
            data["pz"] = pa.FixedSizeListArray.from_arrays(flat, len(self.grid))
        grid = json.dumps([float(f"{g:.7g}") for g in self.grid])
        return pa.table(data).replace_schema_metadata({"pz_grid": grid})

    def estimates(self, emb: EmbeddingTable) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Point estimates and intervals by the names that `predict` gives them, and the (N, G) densities."""
        pdf, cdf, raw_cdf = self._calibrated(features_of(emb, self.use))
        name = self.task.column
        half = np.array([-1.0, 1.0])
        central = np.concatenate([[0.5], *(0.5 + half * level / 2 for level in LEVELS)])
        covering = np.concatenate([0.5 + half * self.conformal[level] for level in LEVELS])
        ends, conformal = quantiles(self.grid, cdf, central), quantiles(self.grid, raw_cdf, covering)
        known = np.isfinite(pdf).all(axis=1)
        data = {name: ends[:, 0]}
        data[f"{name}_mode"] = np.where(known, self.grid[np.nan_to_num(pdf).argmax(axis=1)], np.nan)
        data[f"{name}_mean"] = np.trapezoid(pdf * self.grid, self.grid, axis=1)
        for i, level in enumerate(LEVELS):
            tag = f"{100 * level:.0f}"
            data[f"{name}_low{tag}"], data[f"{name}_high{tag}"] = ends[:, 2 * i + 1 : 2 * i + 3].T
            low, high = conformal[:, 2 * i : 2 * i + 2].T
            data[f"{name}_conformal_low{tag}"], data[f"{name}_conformal_high{tag}"] = low, high
        return data, pdf

    def conformal_interval(self, raw_cdf: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the split-conformal interval, from the distribution functions of `raw`."""
        q = self.conformal[level]
        ends = quantiles(self.grid, raw_cdf, np.array([0.5 - q, 0.5 + q]))
        return ends[:, 0], ends[:, 1]

    def distance(self, emb: EmbeddingTable) -> tuple[np.ndarray, np.ndarray]:
        """Distance and percentile of each galaxy among the training ones; see `Reference`."""
        return distances(self.reference, self.scaler.__call__, features_of(emb, self.use))

    def evaluate(
        self, emb: EmbeddingTable, labels: Any, *, split: str = "test", resamples: int = 500
    ) -> list[Record]:
        """Density metrics, point metrics of the median, and coverage of the conformal intervals on a split.

        Raises
        ------
        InputError
            If no galaxy of the split has a label.
        """
        here = emb.take(np.flatnonzero(emb.split == split))
        truth = true_labels(self.task, (), here.object_id, labels)
        if not np.isfinite(truth).any():
            msg = f"no galaxy of split {split!r} has a label of task {self.task.name!r}; nothing to evaluate"
            raise InputError(msg)
        X = features_of(here, self.use)
        pdf, cdf, raw_cdf = self._calibrated(X)
        return density_records(
            self.task,
            self.grid,
            {"pdf": pdf, "cdf": cdf, "raw": self.raw(X)[0]},
            {level: self.conformal_interval(raw_cdf, level) for level in LEVELS},
            truth,
            resamples=resamples,
            method="density",
            inputs=self.info["inputs"],
            fraction=1.0,
            n_train=self.info["n_train"],
            seed=self.info["seed"],
        )

    def save(self, folder: str | Path) -> None:
        """Write ``density.safetensors`` and ``density.json`` to a folder."""
        point, point_settings = self.model.point.state()
        mixture, mixture_settings = self.model.mixture.state()
        card = {
            "task": self.task.name,
            "point": point_settings,
            "mixture": mixture_settings,
            "conformal": [[k, v] for k, v in self.conformal.items()],
            "use": self.use,
            "info": self.info,
        }
        groups = {
            "point": point,
            "mixture": mixture,
            "scaler": self.scaler.__dict__,
            "own": {"rotation": self.model.rotation, "grid": self.grid, "mapped": self.mapped},
            "reference": {} if self.reference is None else self.reference.__dict__,
        }
        save_fitted(folder, "density", card, groups)


def jacobian(task: Task, grid: np.ndarray) -> np.ndarray:
    """(G,) derivative of the learnt scale with respect to the label."""
    return 1.0 / (1.0 + grid) if task.transform == "log1p" else np.ones_like(grid)


def load_density(folder: str | Path) -> DensityProbe:
    """Read what `DensityProbe.save` wrote.

    Raises
    ------
    InputError
        If the folder holds none, or a damaged one.
    """
    d, part = load_fitted(folder, "density")
    with checked_load(folder):
        seed, own = d["info"]["seed"], part("own")
        point, mixture = RidgeHead("auto", seed), MixtureDensityNetwork(seed=seed)
        point.restore(part("point"), d["point"])
        mixture.restore(part("mixture"), d["mixture"])
        return DensityProbe(
            task=get(d["task"]),
            model=ResidualDensity(point, mixture, own["rotation"], d["info"]["scale"]),
            scaler=Scaler(**part("scaler")),
            grid=own["grid"],
            mapped=own["mapped"],
            conformal={float(k): float(v) for k, v in d["conformal"]},
            use=tuple(d["use"]),
            info=d["info"],
            reference=Reference(**part("reference")) if part("reference") else None,
        )
