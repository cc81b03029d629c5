"""Generalisation: other depths, another survey, and faint galaxies from bright labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from euclidfm.core.files import read_json, write_json
from euclidfm.core.ids import match_ids
from euclidfm.core.progress import bar
from euclidfm.core.run_folder import RunFolder
from euclidfm.embeddings import EmbeddingTable, embed
from euclidfm.model import FoundationModel
from euclidfm.simulate.config import PRESETS, SkyConfig
from euclidfm.store import Galaxies, GalaxyStore
from euclidfm.store.alter import dimmer, noisier
from euclidfm.studies.transfer import LabelledVectors, transfer
from euclidfm.tasks import Record, Task, evaluate, get
from euclidfm.tasks.baselines.photometric import booster
from euclidfm.tasks.spaces import choose_space, spaces_of
from euclidfm.workflow.scales import ReproduceConfig
from euclidfm.workflow.steps import SETS, ingest_settings, make_sky, make_store

__all__ = ["OTHER_SKIES", "generalise", "make_other_sky"]

OTHER_SKIES = ("deeper", "shallower", "other-survey")
TASKS = ("photoz", "mass")
BRIGHTEST = 0.3
"""Share of the labelled galaxies, the brightest in VIS, of the biased sample."""
ALTERED = 3000
"""Galaxies at most that are altered and embedded again."""


def make_other_sky(config: ReproduceConfig, run: RunFolder, preset: str) -> None:
    """Simulate and ingest one of the other skies."""
    other = run.other_sky(preset)
    sky = SkyConfig(
        galaxies=config.other_galaxies,
        seed=config.seed + 100 + OTHER_SKIES.index(preset),
        preset=preset,
        rarity_boost=config.rarity_boost,
        processes=config.processes,
    )
    make_sky(sky, other.sky, f"simulate {preset}")
    bands = PRESETS[preset].sed_bands
    settings = ingest_settings(other.sky, config.size, sed_bands=bands, split_fractions=(0.4, 0.1, 0.5))
    make_store(settings, other.store, f"ingest {preset}")


def generalise(config: ReproduceConfig, run: RunFolder) -> list[Record]:
    """Judge probes of the first sky on the other skies, and on its own faint galaxies.

    Each target's records are kept in ``science/transfer-<target>.json`` and not made again.

    Returns
    -------
    list of Record
        With ``target`` besides the usual fields; see `euclidfm.studies.transfer.transfer` for ``method``.
        ``booster`` is trees on photometry, bands taken by their order where their filters differ.
    """
    first = _FirstSky(config, run)
    records: list[Record] = []
    for target in ("q1-like", *OTHER_SKIES, "faint"):
        file = run.records(f"transfer-{target}")
        if not file.exists():
            found = first.faint() if target == "faint" else first.sky(target)
            write_json(file, [{**r, "target": target} for r in found])
        records += read_json(file)
    return records


class _FirstSky:
    """The first sky, its model and its embeddings."""

    def __init__(self, config: ReproduceConfig, run: RunFolder) -> None:
        self.config, self.run = config, run
        self.store = GalaxyStore.open(run.store)
        self.model = FoundationModel.load(run.model.path)
        self.emb = EmbeddingTable.read(run.study_embeddings(SETS[0]))

    def sky(self, preset: str) -> list[Record]:
        """Records of one sky; ``q1-like`` is the first sky's own test set."""
        records: list[Record] = []
        if preset == "q1-like":
            store, emb, altered = self.store, self.emb, None
        else:
            store = GalaxyStore.open(self.run.other_sky(preset).store)
            with bar(f"embed {preset}") as progress:
                emb = embed(self.model, store, progress=progress)
            noise, rng = PRESETS[preset].noise, np.random.default_rng([self.config.seed, 41])
            altered = self._altered("noise added", lambda g: noisier(g, noise, rng)) if noise > 1 else None
        for task in map(get, TASKS):
            source, target = self._rows(task, self.store, "train"), self._rows(task, store, "test")
            local = None if preset == "q1-like" else self._rows(task, store, "train")
            records += self._judge(task, source, (store, emb), target, local, altered)
            records += self._trees(task, source, store, target)
        return records

    def faint(self) -> list[Record]:
        """Bright labels, faint targets, of one sky."""
        records: list[Record] = []
        rng = np.random.default_rng([self.config.seed, 43])
        mag = self.store.column("mag_vis")
        for task in map(get, TASKS):
            labelled, target = self._rows(task, self.store, "train"), self._rows(task, self.store, "test")
            cut = float(np.nanquantile(mag[labelled], BRIGHTEST))
            source, target = labelled[mag[labelled] < cut], target[mag[target] >= cut]
            local = np.sort(rng.permutation(labelled)[: len(source)])  # as many labels, of all magnitudes
            shift = dict(
                zip(
                    self.store.column("object_id")[source].tolist(),
                    np.maximum(rng.choice(mag[target], len(source)) - mag[source], 0.0).tolist(),
                    strict=True,
                )
            )

            def dim(g: Galaxies, shift: dict[int, float] = shift) -> Galaxies:
                return dimmer(g, np.array([shift[int(i)] for i in g.object_id]), rng)

            altered = self._altered("dimmed", dim, source)
            if task.name == "mass":  # a galaxy that is dimmed has less mass, in proportion
                name, emb = altered
                altered = name, emb, -0.4 * np.array([shift[int(i)] for i in emb.object_id])
            records += self._judge(task, source, (self.store, self.emb), target, local, altered)
            records += self._trees(task, source, self.store, target)
        return records

    def _rows(self, task: Task, store: GalaxyStore, split: str) -> np.ndarray:
        """Rows of a split with a label."""
        y = _labels(task, store)
        return np.flatnonzero(np.isfinite(y) & (store.column("split") == split))

    def _altered(
        self, name: str, alter: Callable[[Galaxies], Galaxies], rows: np.ndarray | None = None
    ) -> tuple[Any, ...]:
        rows = self._rows(get("photoz"), self.store, "train") if rows is None else rows
        rows = np.sort(np.random.default_rng([self.config.seed, 47]).permutation(rows)[:ALTERED])
        with bar(f"embed, {name}") as progress:
            return name, embed(self.model, self.store, rows=rows, alter=alter, progress=progress)

    def _judge(
        self,
        task: Task,
        source: np.ndarray,
        there: tuple[GalaxyStore, EmbeddingTable],
        target: np.ndarray,
        local: np.ndarray | None,
        altered: tuple[Any, ...] | None,
    ) -> list[Record]:
        store, emb = there
        y = _labels(task, self.store)
        space = choose_space({n: v[source] for n, v in spaces_of(self.emb).items()}, y[source])
        more = {}
        if altered is not None:
            name, table, *shift = altered
            rows = match_ids(table.object_id, self.store.column("object_id"))
            values = np.where(rows >= 0, y[rows], np.nan)
            values = values + shift[0] if shift else values
            known = np.isfinite(values)
            more[name] = LabelledVectors(spaces_of(table)[space][known], values[known])
        theirs, vectors = _labels(task, store), spaces_of(emb)[space]
        return transfer(
            task,
            LabelledVectors(spaces_of(self.emb)[space][source], y[source]),
            LabelledVectors(vectors[target], theirs[target]),
            local=None if local is None else LabelledVectors(vectors[local], theirs[local]),
            altered=more,
            seed=self.config.seed,
            inputs=SETS[0],
        )

    def _trees(self, task: Task, source: np.ndarray, store: GalaxyStore, target: np.ndarray) -> list[Record]:
        y, theirs = _labels(task, self.store), _labels(task, store)
        t = task.forward(y[source])
        p = booster(_photometry(self.store, source), t, _photometry(store, target), 0, self.config.seed)
        p = task.inverse(np.clip(p, t.min(), t.max()))
        return evaluate(
            task, p, theirs[target], method="booster", inputs="SED", n_train=len(source),
            seed=self.config.seed,
        )  # fmt: skip


def _labels(task: Task, store: GalaxyStore) -> np.ndarray:
    column = next(c for s in task.sources for c in s.columns if c in store.index.column_names)
    return store.column(column).astype(float)


def _photometry(store: GalaxyStore, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flux, error = store.photometry()
    return flux[rows], error[rows]
