"""Fit of a density estimator: regressor, network of its residuals, recalibration, conformal intervals.

Shapes: n galaxies, d features, G grid points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.metrics.densities import scores
from euclidfm.tasks.density.calibrate import KNOTS, LEVELS, conformal_half_width, recalibration_map
from euclidfm.tasks.density.mixture import MixtureConfig
from euclidfm.tasks.density.model import CHUNK, ResidualDensity
from euclidfm.tasks.density.probe import DensityProbe, jacobian
from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.maps import principal_components
from euclidfm.tasks.reference import Reference, provenance
from euclidfm.tasks.registry import get
from euclidfm.tasks.spaces import inputs_of
from euclidfm.tasks.task import Task
from euclidfm.tasks.training_set import LabelledSet, labelled_set, training_set

__all__ = ["fit_density"]

GRID = 400
"""Grid points."""
COMPONENTS = 24
"""Principal components of the features that the network sees, besides the point prediction."""
FOLDS = 5
"""Folds in which the training galaxies are predicted by fits without them."""
CALIBRATION = 50
"""With fewer labelled galaxies of split ``validation``, a fifth of the training galaxies calibrates."""


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

    Galaxies of split ``validation`` calibrate it. If fewer than 50 of them have a label, a fifth of the
    training galaxies is set apart for the calibration instead. The recalibration of the densities, but not
    the conformal intervals, also uses the training galaxies, each predicted by a fit without it.

    Parameters
    ----------
    emb : EmbeddingTable
    labels : pyarrow or astropy table, pandas frame or mapping
    task : Task or str
        A regression.
    seed : int
    use : sequence of str
        As for `euclidfm.tasks.fit.fit_probe`: ``joint``, names of modalities, or ``auto``.
    config : MixtureConfig, optional

    Raises
    ------
    InputError
        As `fit_probe`; or if the task is a classification.
    """
    task = get(task) if isinstance(task, str) else task
    if task.kind != "regression":
        msg = f"task {task.name!r} has classes; densities are for numbers"
        raise InputError(msg)
    train = training_set(task, emb, labels, use=tuple(use), seed=seed)
    held_out = labelled_set(task, emb, labels, "validation", train.use)
    if len(held_out) < CALIBRATION:
        train, held_out = _split_off(train, seed)
    probe = _uncalibrated(task, train, config, seed)
    probe.info = {
        "n_train": len(train),
        "n_calibration": len(held_out),
        "seed": seed,
        "inputs": inputs_of(emb, use),
        "scale": probe.model.scale,
        **provenance(emb.take(train.rows)),
    }
    _calibrate(probe, train, held_out, config, seed)
    return probe


def _split_off(train: LabelledSet, seed: int) -> tuple[LabelledSet, LabelledSet]:
    """Four fifths of the galaxies to learn from, and a fifth to calibrate with."""
    order = np.random.default_rng([seed, 13]).permutation(len(train))
    fifth = len(order) // 5
    return train.take(np.sort(order[fifth:])), train.take(np.sort(order[:fifth]))


def _uncalibrated(task: Task, train: LabelledSet, config: MixtureConfig | None, seed: int) -> DensityProbe:
    """The fitted estimator with the identity in place of its recalibration."""
    scaler = Scaler.of(train.X)
    S = scaler(train.X)
    directions, spread = principal_components(S, COMPONENTS)
    return DensityProbe(
        task=task,
        model=ResidualDensity.fit(S, task.forward(train.y), directions / spread, config, seed),
        scaler=scaler,
        grid=_grid(task, train.y),
        mapped=KNOTS,
        conformal=dict.fromkeys(LEVELS, 0.5),
        use=train.use,
        reference=Reference.of(S, seed),
    )


def _calibrate(
    probe: DensityProbe, train: LabelledSet, held_out: LabelledSet, config: MixtureConfig | None, seed: int
) -> None:
    pit = scores(probe.grid, probe.raw(held_out.X)[0], held_out.y).pit
    own = _cross_validated_pit(probe, probe.scaler(train.X), train.y, config, seed)
    probe.mapped = recalibration_map(np.concatenate([pit, own]))
    probe.conformal = {level: conformal_half_width(pit, level) for level in LEVELS}


def _cross_validated_pit(
    probe: DensityProbe, S: np.ndarray, y: np.ndarray, config: MixtureConfig | None, seed: int
) -> np.ndarray:
    """(n,) PIT values of the training galaxies, each by a fit to the four fifths without it.

    The regressor is refitted too. Its own leave-one-out residuals are slightly too small, since its feature
    map was chosen by them.
    """
    pit = np.full(len(S), np.nan)
    if len(S) < 10 * FOLDS:
        return pit
    t, t_grid = probe.task.forward(y), probe.task.forward(probe.grid)
    fold = np.random.default_rng([seed, 29]).permutation(len(S)) % FOLDS
    for k in range(FOLDS):
        rest, out = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        model = ResidualDensity.fit(S[rest], t[rest], probe.model.rotation, config, seed)
        for start in range(0, len(out), CHUNK):
            rows = out[start : start + CHUNK]
            pdf = model(S[rows], t_grid) * jacobian(probe.task, probe.grid)
            pit[rows] = scores(probe.grid, pdf, y[rows]).pit
    return pit


def _grid(task: Task, y: np.ndarray) -> np.ndarray:
    """(G,) grid over the range of the training labels and a tenth of that range on either side."""
    low, high = task.forward(np.array([y.min(), y.max()]))
    edge = 0.1 * (high - low)
    low = max(low - edge, 0.0) if task.transform == "log1p" and y.min() >= 0 else low - edge
    return task.inverse(np.linspace(low, high + edge, GRID))
