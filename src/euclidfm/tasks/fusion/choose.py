"""Choice of the terms of a fusion and of their weights, by leave-one-out errors of ridges.

Terms are added one by one. A term is added only if it lowers the left-out error by more than a standard error
of the paired difference, so that a block that tells nothing about the label cannot spoil the others.

Shapes: n galaxies, m features of a term, T targets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from euclidfm.tasks.heads.leverage import Directions
from euclidfm.tasks.heads.ridge import PENALTIES

__all__ = ["Trial", "choose_terms"]

WEIGHTS = (0.03, 0.1, 0.3, 1.0)
"""Weights of a term that is added to others."""

MOST = 400
"""Largest number of galaxies on which terms are compared."""

STEPS = 4
"""Largest number of terms."""


@dataclass(frozen=True)
class Trial:
    """Left-out error with and without a term.

    Attributes
    ----------
    term : str
    weight : float
        The weight of the smallest error.
    error, error_without : float
        Mean absolute error on the learnt scale, or the squared error of the class indicators.
        The first term is compared with the mean of the labels.
    standard_error : float
        Of the difference, from the galaxies' own differences.
    used : bool
    """

    term: str
    weight: float
    error: float
    error_without: float
    standard_error: float
    used: bool

    def row(self) -> dict[str, Any]:
        """The trial as JSON."""
        return asdict(self)


def choose_terms(
    features: Mapping[str, np.ndarray],
    targets: np.ndarray,
    squared: bool,
    first: Collection[str] | None = None,
    seed: int = 0,
) -> tuple[dict[str, float], list[Trial]]:
    """Terms with their weights, and what was tried.

    Parameters
    ----------
    features : mapping of str to (n, m) array
        Standardised features of each term.
    targets : (n, T) array
    squared : bool
        Compare squared errors, summed over the targets, instead of absolute ones.
    first : collection of str, optional
        Terms with which the choice may begin; default all. The best of them takes part in any case, whereas
        a curved form of a block has to win by a standard error as any other addition.
    seed : int
        Draws at most `MOST` galaxies.

    Returns
    -------
    dict of str to float
        Weight of each chosen term; the first has weight one.
    list of Trial
        Chosen terms in their order, then the others as tried beside these.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(targets))[:MOST])
    Y = targets[rows] - targets[rows].mean(axis=0)
    grams = {name: _gram(F[rows]) for name, F in features.items()}
    n = len(rows)
    now = _size(Y * (n / (n - 1.0)), squared)
    chosen: dict[str, float] = {}
    table: list[Trial] = []
    start = {name: K for name, K in grams.items() if first is None or name in first}
    while True:
        found = _tried(grams if chosen else start, chosen, Y, squared)
        trials = {name: _trial(name, w, e, now) for name, (w, e) in found.items()}
        if not found or len(chosen) == STEPS:
            break
        best = min(found, key=lambda name: found[name][1].mean())
        if chosen and not trials[best].used:
            break
        chosen[best], now = found[best]
        table.append(replace(trials[best], used=True))
    return chosen, table + [replace(t, used=False) for t in trials.values()]


def _tried(
    grams: Mapping[str, np.ndarray], chosen: Mapping[str, float], Y: np.ndarray, squared: bool
) -> dict[str, tuple[float, np.ndarray]]:
    """Best weight and the galaxies' errors for each term that is not yet chosen."""
    base: Any = sum(w**2 * grams[name] for name, w in chosen.items())
    found = {}
    for name, K in grams.items():
        if name in chosen:
            continue
        weights = WEIGHTS if chosen else (1.0,)
        errors = [(w, _left_out(base + w**2 * K, Y, squared)) for w in weights]
        found[name] = min(errors, key=lambda e: e[1].mean())
    return found


def _gram(F: np.ndarray) -> np.ndarray:
    centred = F - F.mean(axis=0)
    return np.asarray(centred @ centred.T)


def _left_out(K: np.ndarray, Y: np.ndarray, squared: bool) -> np.ndarray:
    """(n,) leave-one-out errors with the penalty of the smallest mean."""
    directions = Directions.of_gram(K)
    unit = directions.values.mean() if len(directions.values) else 1.0
    best = np.full(len(Y), np.inf)
    for a in PENALTIES * unit:
        parts = [directions.residuals(t, float(a)) for t in Y.T]
        errors = _size(np.stack([r / share for r, share in parts], axis=1), squared)
        if errors.mean() < best.mean():
            best = errors
    return best


def _size(residuals: np.ndarray, squared: bool) -> np.ndarray:
    return np.asarray((residuals**2 if squared else np.abs(residuals)).sum(axis=1))


def _trial(name: str, weight: float, error: np.ndarray, without: np.ndarray) -> Trial:
    gain = without - error
    scatter = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    return Trial(
        term=name,
        weight=weight,
        error=float(error.mean()),
        error_without=float(without.mean()),
        standard_error=scatter,
        used=bool(gain.mean() > scatter),
    )
