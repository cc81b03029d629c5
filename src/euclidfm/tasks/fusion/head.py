"""Fusion head: the blocks that a galaxy has, each standardised and weighted, under one linear head.

Galaxies lack blocks. Each set of blocks that occurs has a fit of its own, from all labelled galaxies that
have these blocks. So a galaxy without an SED is predicted from its images by a fit that never saw an SED,
instead of by the fit of both with a mean SED. A set that did not occur is predicted by the fit of its largest
known subset.

Shapes: n galaxies, k raw numbers of all blocks together, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from euclidfm.embeddings.table import PHOTOMETRY
from euclidfm.tasks.fusion.choose import Trial, choose_terms
from euclidfm.tasks.fusion.terms import Term, forms_of
from euclidfm.tasks.heads.base import Head, Scaler, one_thread
from euclidfm.tasks.heads.make import FittedHead, make_head
from euclidfm.tasks.heads.ridge import RidgeHead
from euclidfm.tasks.spaces import is_photometric

__all__ = ["FittedFusion", "FusionHead", "fit_fusion", "restored_fusion"]

FEWEST = 5
"""Smallest number of labelled galaxies for a fit of a set of blocks."""


@dataclass
class SubsetFit:
    """The fit for galaxies that have a set of blocks."""

    blocks: tuple[str, ...]
    terms: list[Term]
    head: Head
    table: list[Trial] = field(default_factory=list)

    def predict(self, raw: dict[str, np.ndarray]) -> np.ndarray:
        """(n,) values or (n, C) probabilities."""
        return self.head.predict(np.concatenate([t(raw[t.block]) for t in self.terms], axis=1))


class FusionHead:
    """A linear head on weighted blocks; blocks and weights are chosen by leave-one-out errors.

    Parameters
    ----------
    blocks : sequence of (str, int)
        Names of the blocks, and how many numbers of a row belong to each.
    classes : int
        0 for a regression.
    seed : int
    """

    def __init__(self, blocks: Sequence[tuple[str, int]], classes: int = 0, seed: int = 0) -> None:
        self.blocks = [(str(name), int(width)) for name, width in blocks]
        self.classes, self.seed = classes, seed
        self.fits: list[SubsetFit] = []
        self.bases: dict[str, Term] = {}

    def fit(self, X: np.ndarray, y: np.ndarray, case: np.ndarray | None = None) -> None:
        """Learn from (n, k) raw numbers, NaN where missing, and (n,) targets or class numbers.

        `case` are (n,) positive weights of the galaxies in a regression.
        """
        raw, has = self._split(X)
        for name, part in raw.items():
            if has[name].any():
                self.bases[name] = Term(name, "linear")
                self.bases[name].fit(part[has[name]])
        with one_thread():
            for subset in self._subsets(has):
                rows = np.all([has[name] for name in subset], axis=0)
                enough = rows.sum() >= FEWEST and len(np.unique(y[rows])) >= max(2, self.classes)
                if enough:
                    here = {name: raw[name][rows] for name in subset}
                    own = None if case is None else case[rows]
                    self.fits.append(self._fit_subset(subset, here, y[rows], own))

    def _subsets(self, has: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        """Sets of blocks: those that occur, all photometric ones, all others, and each by itself."""
        names = [name for name, _ in self.blocks]
        patterns = np.unique(np.stack([has[n] for n in names], axis=1), axis=0)
        found = {tuple(n for n, here in zip(names, p, strict=True) if here) for p in patterns}
        for photometric in (True, False):
            found.add(tuple(n for n in names if is_photometric(n) == photometric))
        found |= {(n,) for n in names}
        return sorted(found - {()}, key=lambda s: (-len(s), s))

    def _fit_subset(
        self,
        subset: tuple[str, ...],
        raw: dict[str, np.ndarray],
        y: np.ndarray,
        case: np.ndarray | None,
    ) -> SubsetFit:
        candidates: dict[str, tuple[Term, np.ndarray]] = {}
        plain = []
        for name in subset:
            terms = [Term(name, form, seed=self.seed) for form in forms_of(name, raw[name].shape[1])]
            candidates |= {term.name: (term, term.fit(raw[name])) for term in terms}
            plain.append(terms[0].name)
        targets = y[:, None] if not self.classes else np.eye(self.classes)[y.astype(int)][:, 1:]
        chosen, table = choose_terms(
            {n: F for n, (_, F) in candidates.items()},
            targets,
            squared=self.classes > 0,
            first=plain,
            seed=self.seed,
        )
        terms = []
        for name, weight in chosen.items():
            term = candidates[name][0]
            term.weight = weight
            terms.append(term)
        head = make_head("linear", self.classes, self.seed)
        F = np.concatenate([w * candidates[n][1] for n, w in chosen.items()], axis=1)
        if isinstance(head, RidgeHead):
            head.fit(F, y, case)
        else:
            head.fit(F, y)
        return SubsetFit(subset, terms, head, table)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(n,) values or (n, C) probabilities; NaN for a galaxy that has no block with a fit."""
        raw, has = self._split(X)
        out = np.full((len(X), self.classes) if self.classes else len(X), np.nan)
        left = np.ones(len(X), bool)
        for f in sorted(self.fits, key=lambda f: -len(f.blocks)):
            rows = left & np.all([has[name] for name in f.blocks], axis=0)
            if rows.any():
                out[rows] = f.predict({name: raw[name][rows] for name in f.blocks})
                left &= ~rows
        return out

    def report(self) -> list[dict[str, Any]]:
        """What was tried for galaxies that have all blocks, or most of them; see `Trial`."""
        return [t.row() for t in max(self.fits, key=lambda f: len(f.blocks)).table] if self.fits else []

    def numbers(self, X: np.ndarray) -> np.ndarray:
        """(n, b) standardised numbers of all blocks before their forms; NaN where a block is missing."""
        raw, has = self._split(X)
        parts = []
        for name, term in self.bases.items():
            x = term(raw[name])
            x[~has[name]] = np.nan
            parts.append(x)
        return np.concatenate(parts, axis=1)

    def _split(self, X: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        ends = np.cumsum([width for _, width in self.blocks])
        parts = np.split(np.asarray(X, float), ends[:-1], axis=1)
        raw = {name: part for (name, _), part in zip(self.blocks, parts, strict=True)}
        has = {name: np.isfinite(_values(name, part)).any(axis=1) for name, part in raw.items()}
        return raw, has

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and settings."""
        arrays = {f"{name}.{k}": v for name, t in self.bases.items() for k, v in t.arrays.items()}
        cards = []
        for i, f in enumerate(self.fits):
            own, settings = f.head.state()
            arrays |= {f"{i}.head.{k}": v for k, v in own.items()}
            for j, term in enumerate(f.terms):
                arrays |= {f"{i}.{j}.{k}": v for k, v in term.arrays.items()}
            cards.append(
                {
                    "blocks": f.blocks,
                    "terms": [t.settings() for t in f.terms],
                    "head": settings,
                    "table": [t.row() for t in f.table],
                }
            )
        return arrays, {"blocks": self.blocks, "classes": self.classes, "seed": self.seed, "fits": cards}

    def restore(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self.blocks = [(str(name), int(width)) for name, width in settings["blocks"]]
        self.classes, self.seed, self.fits = settings["classes"], settings["seed"], []
        self.bases = {
            name: Term(name, "linear", arrays=_part(arrays, f"{name}."))
            for name, _ in self.blocks
            if f"{name}.base_mean" in arrays
        }
        for i, card in enumerate(settings["fits"]):
            head = make_head("linear", self.classes, self.seed)
            head.restore(_part(arrays, f"{i}.head."), card["head"])
            terms = [Term(**t, arrays=_part(arrays, f"{i}.{j}.")) for j, t in enumerate(card["terms"])]
            table = [Trial(**t) for t in card["table"]]
            self.fits.append(SubsetFit(tuple(card["blocks"]), terms, head, table))


def _values(name: str, part: np.ndarray) -> np.ndarray:
    """The numbers that must not all be missing: of the photometry the fluxes, whatever their errors."""
    return part[:, : part.shape[1] // 2] if name == PHOTOMETRY else part


def _part(arrays: dict[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


class FittedFusion(FittedHead):
    """A fusion head; `scaler` scales the numbers in which distances from training galaxies are measured."""

    head: FusionHead

    @property
    def width(self) -> int:
        """Numbers of a galaxy that it reads."""
        return sum(width for _, width in self.head.blocks)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(n,) values on the learnt scale, or (n, C) probabilities, from (n, k) raw numbers."""
        return self.head.predict(X)

    def standardised(self, X: np.ndarray) -> np.ndarray:
        """(n, b) standardised numbers, 0 where missing."""
        return self.scaler(self.head.numbers(X))


def fit_fusion(
    blocks: Sequence[tuple[str, int]], X: np.ndarray, y: np.ndarray, classes: int = 0, seed: int = 0
) -> FittedFusion:
    """Fit a fusion head to (n, k) raw numbers of named blocks."""
    head = FusionHead(blocks, classes, seed)
    head.fit(X, y)
    return FittedFusion(Scaler.of(head.numbers(X)), head)


def restored_fusion(scaler: Scaler, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> FittedFusion:
    """Fusion from the state of its head."""
    head = FusionHead(settings["blocks"])
    head.restore(arrays, settings)
    return FittedFusion(scaler, head)
