"""The cells of the label-efficiency study and their processes."""

from __future__ import annotations

from collections.abc import Iterator

from euclidfm.core.bands import NISP_BANDS
from euclidfm.core.errors import InputError
from euclidfm.core.records import Record
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.store import GalaxyStore
from euclidfm.studies.efficiency_config import EfficiencyConfig
from euclidfm.studies.labelled_task import Cell, LabelledTask
from euclidfm.studies.methods import SLOW, Methods, image_bands, image_inputs
from euclidfm.tasks.registry import get

__all__ = ["Comparison", "run_all"]


class Comparison:
    """The methods and the labelled tasks of a study.

    Parameters
    ----------
    cfg : EfficiencyConfig
    store : GalaxyStore
    embs : dict of str to EmbeddingTable
        Embeddings by the name of their inputs.

    Raises
    ------
    InputError
        If the store has no labels for any task.
    """

    def __init__(self, cfg: EfficiencyConfig, store: GalaxyStore, embs: dict[str, EmbeddingTable]) -> None:
        self.cfg, self.store, self.embs = cfg, store, embs
        sets = _image_sets(cfg, store)
        self.methods = Methods(store, embs, sets, cfg.cnn, cfg.resnet, cfg.run, cfg.finetune)
        tasks = [LabelledTask.of(get(name), store, self.methods) for name in cfg.tasks]
        self.tasks = {t.task.name: t for t in tasks if t is not None}
        if not self.tasks:
            msg = f"store {store.path} has no labels for any of the tasks {', '.join(cfg.tasks)}"
            raise InputError(msg)

    def cells(self) -> list[Cell]:
        """All cells, repeat by repeat: a study that is interrupted has complete repeats."""
        cfg = self.cfg
        return [
            Cell(task, method.partition("@")[0], inputs, fraction, cfg.seed + repeat)
            for repeat in range(cfg.repeats)
            for task in self.tasks
            for fraction in sorted(cfg.fractions)
            for method in cfg.methods
            for inputs in self.methods.inputs(method)
            if repeat < _repeats(cfg, method, fraction)
        ]

    def run(self, cell: Cell) -> list[Record]:
        """Records of one cell."""
        return self.tasks[cell.task].run(cell, self.methods, self.cfg.resamples)


def _repeats(cfg: EfficiencyConfig, method: str, fraction: float) -> int:
    if method.partition("@")[0] not in SLOW:
        return cfg.repeats
    fewer = [n for start, n in sorted(cfg.slow_repeats) if fraction >= start]
    return min(cfg.repeats, fewer[-1]) if fewer else cfg.repeats


def _image_sets(cfg: EfficiencyConfig, store: GalaxyStore) -> dict[str, tuple[str, ...]]:
    have = store.info.image_bands
    if not cfg.image_inputs:
        bands = tuple(b for b in have if b in ("VIS", *NISP_BANDS))
        return {image_inputs(bands): bands} if bands else {}
    sets = {name: image_bands(name) for name in cfg.image_inputs}
    missing = sorted({b for bands in sets.values() for b in bands} - set(have))
    if missing:
        msg = f"store {store.path} has no images in {', '.join(missing)}; it has {', '.join(have) or 'none'}"
        raise InputError(msg)
    return sets


def run_all(comparison: Comparison, cells: list[Cell]) -> Iterator[tuple[Cell, list[Record]]]:
    """Run cells in this process or in several; yields them as they finish."""
    cfg = comparison.cfg
    if cfg.workers <= 1 or len(cells) <= 1:
        for cell in cells:
            yield cell, comparison.run(cell)
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    setup = (cfg, str(comparison.store.path), comparison.embs)
    with ProcessPoolExecutor(
        min(cfg.workers, len(cells)), get_context("spawn"), initializer=_open_in_worker, initargs=setup
    ) as pool:
        futures = {pool.submit(_run_in_worker, c): c for c in cells}
        for future in as_completed(futures):
            yield futures[future], future.result()


_IN_WORKER: list[Comparison] = []
"""The comparison of a worker process, opened once."""


def _open_in_worker(cfg: EfficiencyConfig, path: str, embs: dict[str, EmbeddingTable]) -> None:
    _IN_WORKER[:] = [Comparison(cfg, GalaxyStore.open(path), embs)]


def _run_in_worker(cell: Cell) -> list[Record]:
    return _IN_WORKER[0].run(cell)
