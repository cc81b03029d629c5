"""Redshifts as probability densities: p(z) from embeddings, calibrated, with honest intervals.

A point regressor (the ``auto`` head) says where; a mixture-density network learns how its
leave-one-out residuals spread, galaxy by galaxy, so that p(z) is wide where the regressor
errs. The outcome is recalibrated on galaxies of split ``validation``, which neither has seen, and on the
training galaxies as fits that have not seen them foresee them; the conformal intervals, whose coverage
is guaranteed, on the former alone.

Shapes: N galaxies, G grid points.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.records import Record
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.metrics import DENSITY, bootstrap_all, finite_pairs
from euclidfm.metrics.densities import cdf_on_grid, quantiles, scores
from euclidfm.tasks.density.calibrate import (
    KNOTS,
    LEVELS,
    conformal_half_width,
    recalibrate,
    recalibration_map,
)
from euclidfm.tasks.density.mixture import Mixture, MixtureConfig
from euclidfm.tasks.evaluation import evaluate
from euclidfm.tasks.heads import Scaler
from euclidfm.tasks.heads.maps import principal_components
from euclidfm.tasks.heads.ridge import RidgeHead
from euclidfm.tasks.probe import check_labels, chosen_space, features_of, inputs_of
from euclidfm.tasks.reference import Reference, distances, provenance
from euclidfm.tasks.registry import get
from euclidfm.tasks.storage import belonging, load_fitted, save_fitted
from euclidfm.tasks.task import Task

__all__ = ["DensityProbe", "fit_density", "load_density"]

GRID = 400
COMPONENTS = 24
"""Principal components of the features that the network sees, besides the point prediction."""
FOLDS = 5
"""Parts of the training galaxies that are left out in turn."""


@dataclass
class DensityProbe:
    """A fitted density estimator; make one with `fit_density` or `load_density`.

    Attributes
    ----------
    task : Task
        Any regression.
    grid : (G,) array
        Where densities are given, in the label's unit (evenly spaced in the learnt scale).
    mapped : (17,) array
        Recalibration, see `euclidfm.tasks.density.calibrate`.
    conformal : dict of float to float
        Half width in probability of the conformal interval of each level.
    reference : Reference, optional
        The training galaxies, to tell how far others are from them.
    """

    task: Task
    point: RidgeHead
    mixture: Mixture
    scaler: Scaler
    rotation: np.ndarray
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
        t_grid = self.task.forward(self.grid)
        S = self.scaler(X)
        centre = self.point.predict(S)
        pdf = np.empty((len(X), len(self.grid)))
        for start in range(0, len(X), 1024):
            rows = slice(start, start + 1024)
            F = _network_features(S[rows], self.rotation, centre[rows], self.info["scale"])
            pdf[rows] = self.mixture.density(F, t_grid[None] - centre[rows, None])
        pdf *= _jacobian(self.task, self.grid)
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
        sure = np.concatenate([0.5 + half * self.conformal[level] for level in LEVELS])
        ends, conformal = quantiles(self.grid, cdf, central), quantiles(self.grid, raw_cdf, sure)
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
        return distances(self.reference, self.scaler, features_of(emb, self.use))

    def evaluate(
        self, emb: EmbeddingTable, labels: Any, *, split: str = "test", resamples: int = 500
    ) -> list[Record]:
        """Density metrics, the point metrics of the median, and the conformal coverage on a split.

        Raises
        ------
        InputError
            If no galaxy of the split has a label.
        """
        here = emb.take(np.flatnonzero(emb.split == split))
        truth = self.task.raw_labels(here, labels).astype(float)
        if not np.isfinite(truth).any():
            msg = f"no galaxy of split {split!r} has a label of task {self.task.name!r}; nothing to evaluate"
            raise InputError(msg)
        pdf, cdf, raw_cdf = self._calibrated(features_of(here, self.use))
        who = {
            "method": "density",
            "inputs": self.info["inputs"],
            "fraction": 1.0,
            "n_train": self.info["n_train"],
            "seed": self.info["seed"],
        }
        median = quantiles(self.grid, cdf, np.array([0.5]))[:, 0]
        records = evaluate(self.task, median, truth, resamples=resamples, **who)
        calibrated = finite_pairs(*scores(self.grid, pdf, truth).arrays())
        plain = finite_pairs(*scores(self.grid, self.raw(features_of(here, self.use))[0], truth).arrays())
        found = bootstrap_all(DENSITY, *calibrated, resamples=resamples)
        found |= {
            f"{k}_uncalibrated": v for k, v in bootstrap_all(DENSITY, *plain, resamples=resamples).items()
        }
        for level in LEVELS:
            low, high = self.conformal_interval(raw_cdf, level)
            low, high, t = finite_pairs(low, high, truth)
            inside, width = ((t >= low) & (t <= high)).astype(float), high - low
            tag = f"{100 * level:.0f}"
            mean = {f"conformal_coverage_{tag}": _mean_of_first, f"conformal_width_{tag}": _mean_of_second}
            found |= bootstrap_all(mean, inside, width, resamples=resamples)
        head = {**records[0], "n_test": len(calibrated[0])}
        return records + [{**head, "metric": k, **v.__dict__} for k, v in found.items()]

    def save(self, folder: str | Path) -> None:
        """Write ``density.safetensors`` and ``density.json`` to a folder."""
        point, point_settings = self.point.state()
        mixture, mixture_settings = self.mixture.state()
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
            "own": {"rotation": self.rotation, "grid": self.grid, "mapped": self.mapped},
            "reference": {} if self.reference is None else self.reference.__dict__,
        }
        save_fitted(folder, "density", card, groups)


def _mean_of_first(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a.mean(axis=-1))


def _mean_of_second(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(b.mean(axis=-1))


def _jacobian(task: Task, grid: np.ndarray) -> np.ndarray:
    """d(learnt scale) / d(label)."""
    return 1.0 / (1.0 + grid) if task.transform == "log1p" else np.ones_like(grid)


def _network_features(
    S: np.ndarray, rotation: np.ndarray, centre: np.ndarray, scale: Sequence[float]
) -> np.ndarray:
    """Leading components and the point prediction, scaled; clipped so that oddities do not run away."""
    F = np.concatenate([S @ rotation, ((centre - scale[0]) / scale[1])[:, None]], axis=1)
    return np.clip(F, -6.0, 6.0)


def fit_density(
    emb: EmbeddingTable,
    labels: Any,
    *,
    task: Task | str = "photoz",
    seed: int = 0,
    use: Sequence[str] = ("joint",),
    config: MixtureConfig | None = None,
) -> DensityProbe:
    """Fit a density estimator to the labelled galaxies of split ``train``.

    Galaxies of split ``validation`` calibrate it; if fewer than 50 of them have a label, a fifth
    of the training galaxies is set apart for that instead. The others join for the map of the densities
    (not for the conformal intervals), each foreseen by a fit that has not seen it.

    Parameters
    ----------
    emb : EmbeddingTable
    labels : pyarrow or astropy table, pandas frame or mapping
    task : Task or str
        A regression.
    seed : int
    use : sequence of str
        As for `Task.fit`: ``joint``, names of modalities, or ``auto`` for whichever cross-validates best.
    config : MixtureConfig, optional

    Raises
    ------
    InputError
        As `Task.fit`; or if the task is a classification.
    """
    task = get(task) if isinstance(task, str) else task
    if task.kind != "regression":
        msg = f"task {task.name!r} has classes; densities are for numbers"
        raise InputError(msg)
    y, inputs = task.raw_labels(emb, labels).astype(float), inputs_of(emb, use)
    if tuple(use) == ("auto",):
        learnt = np.flatnonzero(emb.split == "train")
        use = chosen_space(task, emb.take(learnt), y[learnt], (), seed)
    X = features_of(emb, tuple(use))
    good = np.isfinite(y) & np.isfinite(X).any(axis=1)
    train, held = (
        np.flatnonzero(good & (emb.split == "train")),
        np.flatnonzero(good & (emb.split == "validation")),
    )
    check_labels(task, y[train])
    if len(held) < 50:
        order = np.random.default_rng([seed, 13]).permutation(train)
        held, train = np.sort(order[: len(order) // 5]), np.sort(order[len(order) // 5 :])
    scaler = Scaler.of(X[train])
    S, t = scaler(X[train]), task.forward(y[train])
    axes, spread = principal_components(S, COMPONENTS)
    rotation = axes / spread
    point, mixture, scale = _learn(S, t, rotation, config, seed)
    probe = DensityProbe(
        task=task,
        point=point,
        mixture=mixture,
        scaler=scaler,
        rotation=rotation,
        grid=_grid(task, y[train]),
        mapped=KNOTS,
        conformal=dict.fromkeys(LEVELS, 0.5),
        use=tuple(use),
        info={
            "n_train": len(train),
            "n_calibration": len(held),
            "seed": seed,
            "inputs": inputs,
            "scale": scale,
            **provenance(emb.take(train)),
        },
        reference=Reference.of(S, seed),
    )
    pit = scores(probe.grid, probe.raw(X[held])[0], y[held]).pit
    own = _left_out_pit(probe, S, y[train])
    probe.mapped = recalibration_map(np.concatenate([pit, own]))
    probe.conformal = {level: conformal_half_width(pit, level) for level in LEVELS}
    return probe


def _learn(
    S: np.ndarray, t: np.ndarray, rotation: np.ndarray, config: MixtureConfig | None, seed: int
) -> tuple[RidgeHead, Mixture, list[float]]:
    """Point regressor, the network of its leave-one-out residuals, and the scale of its predictions."""
    point, mixture = RidgeHead("auto", seed), Mixture(config, seed)
    point.fit(S, t)
    left_out = t - point.residuals
    scale = [float(left_out.mean()), float(left_out.std()) or 1.0]
    mixture.fit(_network_features(S, rotation, left_out, scale), point.residuals)
    return point, mixture, scale


def _left_out_pit(probe: DensityProbe, S: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n,) PIT values of the training galaxies, each by a fit to four fifths without it.

    The regressor is fitted anew too: its own leave-one-out residuals are a little too good, since they
    chose its feature map.
    """
    pit, seed = np.full(len(S), np.nan), probe.info["seed"]
    if len(S) < 10 * FOLDS:
        return pit
    t, t_grid = probe.task.forward(y), probe.task.forward(probe.grid)
    fold = np.random.default_rng([seed, 29]).permutation(len(S)) % FOLDS
    for k in range(FOLDS):
        rest, out = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        point, mixture, scale = _learn(S[rest], t[rest], probe.rotation, probe.mixture.config, seed)
        for start in range(0, len(out), 1024):
            rows = out[start : start + 1024]
            centre = point.predict(S[rows])
            F = _network_features(S[rows], probe.rotation, centre, scale)
            pdf = mixture.density(F, t_grid - centre[:, None]) * _jacobian(probe.task, probe.grid)
            pit[rows] = scores(probe.grid, pdf, y[rows]).pit
    return pit


def _grid(task: Task, y: np.ndarray) -> np.ndarray:
    """Grid that holds the training labels and a tenth of their range on either side."""
    low, high = task.forward(np.array([y.min(), y.max()]))
    edge = 0.1 * (high - low)
    low = max(low - edge, 0.0) if task.transform == "log1p" and y.min() >= 0 else low - edge
    return task.inverse(np.linspace(low, high + edge, GRID))


def load_density(folder: str | Path) -> DensityProbe:
    """Read what `DensityProbe.save` wrote.

    Raises
    ------
    InputError
        If the folder holds none, or a damaged one.
    """
    d, part = load_fitted(folder, "density")
    with belonging(folder):
        point, mixture = RidgeHead("auto", d["info"]["seed"]), Mixture(seed=d["info"]["seed"])
        point.restore(part("point"), d["point"])
        mixture.restore(part("mixture"), d["mixture"])
        return DensityProbe(
            task=get(d["task"]),
            point=point,
            mixture=mixture,
            scaler=Scaler(**part("scaler")),
            **part("own"),
            conformal={float(k): float(v) for k, v in d["conformal"]},
            use=tuple(d["use"]),
            info=d["info"],
            reference=Reference(**part("reference")) if part("reference") else None,
        )
