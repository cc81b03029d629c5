"""The label-efficiency study: what each method makes of 1% to 100% of the labels.

The protocol, and why it differs from the reference's, is in ``docs/protocol.md``:
one test set that is never subsampled; nested subsets of the training labels; repeats that
change subset and initialisation; the same labelled galaxies for every method.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from euclidfm.core.bands import NISP_BANDS
from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, read_json, versions, write_json
from euclidfm.core.progress import Progress, silent
from euclidfm.core.records import Record, read_records
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.store import GalaxyStore
from euclidfm.studies.methods import PIXELS, PROBES, SLOW, TUNED, Methods, image_bands, image_inputs
from euclidfm.tasks.baselines.cnn import CNNConfig
from euclidfm.tasks.baselines.resnet import ResNetConfig
from euclidfm.tasks.evaluation import evaluate
from euclidfm.tasks.finetune.train import FineTuneConfig
from euclidfm.tasks.probe import check_labels, inputs_of
from euclidfm.tasks.registry import get
from euclidfm.tasks.task import Task

__all__ = ["ALL_FRACTIONS", "EfficiencyConfig", "label_efficiency", "nested_subsets", "read_records"]

ALL_FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5, 0.8, 1.0)
"""The reference's fractions of the labels."""


@dataclass(frozen=True, kw_only=True)
class EfficiencyConfig:
    """What is compared, and how often."""

    tasks: tuple[str, ...] = ("photoz", "mass", "morphology")
    """Tasks, as `euclidfm.tasks.get` knows them; one without labels in the store is left out."""
    fractions: tuple[float, ...] = ALL_FRACTIONS
    """Fractions of the labelled training galaxies."""
    methods: tuple[str, ...] = (
        "probe",
        "probe-auto",
        "probe-mlp",
        "cnn",
        "booster",
        "colours-ridge",
        "knn-photometry",
        "photometry-probe",
        "photometry-auto",
    )
    """Methods; one whose inputs the store lacks is left out. ``METHOD@INPUTS`` runs it on those alone."""
    repeats: int = 1
    """Repeats, each with its own subset and initialisation."""
    slow_repeats: tuple[tuple[float, int], ...] = ()
    """Repeats of networks, boosters and curved maps, if fewer: (from this fraction on, so many), such
    as ``((0.2, 3), (0.8, 1))``."""
    image_inputs: tuple[str, ...] = ()
    """Images of the methods on pixels, such as ``("VIS", "VIS+NISP")``; default all that the store
    has of VIS, Y, J, H."""
    cnn: CNNConfig = field(default_factory=CNNConfig)
    """Training of the CNNs."""
    resnet: ResNetConfig = field(default_factory=ResNetConfig)
    """Training of the residual network; it sees the same pixels as the CNN."""
    run: str | None = None
    """Run folder of the model that made the embeddings; ``finetune`` and ``finetune-lora`` are left out
    without it. The names of the embeddings say which modalities it is shown (``VIS+NISP``)."""
    finetune: FineTuneConfig = field(default_factory=FineTuneConfig)
    """Fine-tuning."""
    resamples: int = 500
    """Bootstrap samples of the test galaxies."""
    seed: int = 0
    """Seed of the first repeat; the next ones count up."""
    workers: int = 1
    """Processes that share the cells; each fits on one thread, so that results do not depend on it."""


def label_efficiency(
    cfg: EfficiencyConfig,
    store: GalaxyStore,
    emb: EmbeddingTable | Mapping[str, EmbeddingTable],
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> list[Record]:
    """Run the study, or what is missing of it.

    Parameters
    ----------
    cfg : EfficiencyConfig
    store : GalaxyStore
        Labels, splits, photometry and images.
    emb : EmbeddingTable, or dict of them by the name of their inputs
        For example ``{"VIS+NISP+SED": a, "VIS+NISP": b}``.
    out : path, optional
        JSON list of records, written after each cell. Cells that are in it already are not done
        again; ``<out>.state.json`` beside it says which data and settings they belong to.
    progress : callable, optional
        Counts cells of (task, method, inputs, fraction, seed).

    Returns
    -------
    list of Record

    Raises
    ------
    InputError
        If no task has labels, or `out` was made with other settings or data.
    """
    say = progress or silent
    embs = {inputs_of(emb, ("joint",)): emb} if isinstance(emb, EmbeddingTable) else dict(emb)
    identity = _identity(cfg, store, embs)
    done = _load(out, identity)
    bench = _Bench(cfg, store, embs)
    cells = bench.cells()
    todo = [c for c in cells if c.key not in done]
    finished = len(cells) - len(todo)
    say(finished, len(cells), todo[0].key if todo else "")
    for cell, records in _run_all(bench, todo):
        done[cell.key] = records
        if out is not None:
            _save(out, identity, cfg, done)
        finished += 1
        say(finished, len(cells), cell.key)
    return [r for c in cells for r in done[c.key]]


@dataclass(frozen=True)
class _Cell:
    """One fit: a method with its inputs, on one subset of one task's labels."""

    task: str
    method: str
    inputs: str
    fraction: float
    seed: int

    @property
    def key(self) -> str:
        return "|".join(map(str, (self.task, self.method, self.inputs, self.fraction, self.seed)))


class _Bench:
    """All that is needed to run cells."""

    def __init__(self, cfg: EfficiencyConfig, store: GalaxyStore, embs: dict[str, EmbeddingTable]) -> None:
        self.cfg, self.store, self.embs = cfg, store, embs
        sets = _image_sets(cfg, store)
        self.methods = Methods(store, embs, sets, cfg.cnn, cfg.resnet, cfg.run, cfg.finetune)
        studies = [_study(get(name), store, self.methods) for name in cfg.tasks]
        self.studies = {s.task.name: s for s in studies if s is not None}
        if not self.studies:
            msg = f"store {store.path} has no labels for any of the tasks {', '.join(cfg.tasks)}"
            raise InputError(msg)

    def cells(self) -> list[_Cell]:
        """All cells in order: a study that is stopped has whole repeats."""
        cfg = self.cfg
        return [
            _Cell(task, method.partition("@")[0], inputs, fraction, cfg.seed + repeat)
            for repeat in range(cfg.repeats)
            for task in self.studies
            for fraction in sorted(cfg.fractions)
            for method in cfg.methods
            for inputs in self.methods.inputs(method)
            if repeat < _repeats(cfg, method, fraction)
        ]

    def run(self, cell: _Cell) -> list[Record]:
        """Run one."""
        return self.studies[cell.task].run(self.cfg, self.methods, cell)


def _repeats(cfg: EfficiencyConfig, method: str, fraction: float) -> int:
    if method.partition("@")[0] not in SLOW:
        return cfg.repeats
    fewer = [n for start, n in sorted(cfg.slow_repeats) if fraction >= start]
    return min(cfg.repeats, fewer[-1]) if fewer else cfg.repeats


def _run_all(bench: _Bench, cells: list[_Cell]) -> Iterator[tuple[_Cell, list[Record]]]:
    if bench.cfg.workers <= 1 or len(cells) <= 1:
        for cell in cells:
            yield cell, bench.run(cell)
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    setup = (bench.cfg, str(bench.store.path), bench.embs)
    with ProcessPoolExecutor(
        min(bench.cfg.workers, len(cells)), get_context("spawn"), initializer=_open_bench, initargs=setup
    ) as pool:
        futures = {pool.submit(_run_in_worker, c): c for c in cells}
        for future in as_completed(futures):
            yield futures[future], future.result()


_BENCH: list[_Bench] = []
"""The bench of a worker process, opened once."""


def _open_bench(cfg: EfficiencyConfig, path: str, embs: dict[str, EmbeddingTable]) -> None:
    _BENCH[:] = [_Bench(cfg, GalaxyStore.open(path), embs)]


def _run_in_worker(cell: _Cell) -> list[Record]:
    return _BENCH[0].run(cell)


def nested_subsets(n: int, fractions: tuple[float, ...], seed: int) -> dict[float, np.ndarray]:
    """Rows 0 to n - 1 for each fraction: the first ``round(f n)`` of one random order.

    A smaller fraction's galaxies are all among a larger one's. At least 5 rows.
    """
    order = np.random.default_rng([seed, 7]).permutation(n)
    return {f: np.sort(order[: min(n, max(5, round(f * n)))]) for f in fractions}


@dataclass
class _Study:
    """One task on one store: its labelled training and test galaxies."""

    task: Task
    train: np.ndarray
    test: np.ndarray
    y: np.ndarray
    truth: np.ndarray
    classes: tuple[str, ...]

    def run(self, cfg: EfficiencyConfig, methods: Methods, cell: _Cell) -> list[Record]:
        """One cell."""
        subset = nested_subsets(len(self.train), (cell.fraction,), cell.seed)[cell.fraction]
        y = self.y[subset]
        if len(np.unique(y)) < 2:  # a tiny subset of one class: no classifier, chance is what is left
            prediction = np.full((len(self.test), len(self.classes)), 1.0 / max(len(self.classes), 1))
        else:
            if cell.method in PIXELS:  # read the cutouts of all subsets at once
                rows = np.concatenate([self.train, self.test])
                methods.load_images(cell.inputs, rows, methods.normalise(cell.method))
            target = y if self.classes else self.task.forward(y)
            prediction = methods.predict(
                cell.method, cell.inputs, self.train[subset], target, self.test, len(self.classes), cell.seed
            )
        if not self.classes:
            low, high = self.task.forward(np.array([y.min(), y.max()]))
            prediction = self.task.inverse(np.clip(prediction, low, high))
        return evaluate(
            self.task,
            prediction,
            self.truth,
            classes=len(self.classes),
            resamples=cfg.resamples,
            method=cell.method,
            inputs=cell.inputs,
            fraction=cell.fraction,
            n_train=len(subset),
            seed=cell.seed,
        )


def _study(task: Task, store: GalaxyStore, methods: Methods) -> _Study | None:
    names = store.index.column_names
    if not any(all(c in names for c in s.columns) for s in task.sources):
        return None
    everything = EmbeddingTable(
        object_id=store.column("object_id"),
        ra=store.column("ra"),
        dec=store.column("dec"),
        split=store.column("split"),
        vectors=np.empty((len(store), 0), np.float32),
    )
    y = task.raw_labels(everything, store.index)
    split = store.column("split")
    seen = np.ones(len(store), bool)
    for inputs in methods.embs:  # the same galaxies for every method
        seen &= np.isfinite(methods.spaces(inputs)["joint"]).any(axis=1)
    classes: tuple[str, ...] = ()
    if task.kind == "classification":
        classes = task.classes_of(y[(split == "train") & seen])
        y = task.encode(y, classes)
    y = y.astype(float)
    train = np.flatnonzero((split == "train") & np.isfinite(y) & seen)
    test = np.flatnonzero((split == "test") & np.isfinite(y) & seen)
    if not len(train) and not len(test):
        return None
    check_labels(task, y[train], classes)
    if not len(test):
        msg = f"no galaxy of split 'test' has a label of task {task.name!r}; nothing to evaluate"
        raise InputError(msg)
    return _Study(task, train, test, y[train], y[test], classes)


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


def _identity(cfg: EfficiencyConfig, store: GalaxyStore, embs: Mapping[str, EmbeddingTable]) -> str:
    """Hash of what must be equal for results to be continued: data and settings of the methods.

    Without a probe among the methods, of the embeddings only which galaxies have one: baselines
    stay good when a model is trained anew.
    """
    probes = any(m.partition("@")[0] in PROBES for m in cfg.methods)
    h = hashlib.sha256()
    h.update(repr(sorted(plain(asdict(cfg.cnn)).items())).encode())
    h.update(repr(sorted(plain(asdict(cfg.resnet)).items())).encode())
    h.update(repr(cfg.resamples).encode())
    h.update(np.ascontiguousarray(store.column("object_id")).tobytes())
    h.update("".join(store.column("split")).encode())
    for name in sorted(embs):
        h.update(name.encode())
        vectors = embs[name].vectors
        h.update(np.ascontiguousarray(vectors if probes else np.isfinite(vectors).any(axis=1)).tobytes())
    if cfg.run and any(
        m.partition("@")[0] in TUNED for m in cfg.methods
    ):  # not else: older results stay valid
        h.update(repr(sorted(plain(asdict(cfg.finetune)).items())).encode())
        h.update(str(read_json(Path(cfg.run) / "model.json").get("identity")).encode())
    return h.hexdigest()[:16]


def _load(out: str | Path | None, identity: str) -> dict[str, list[Record]]:
    if out is None or not Path(out).exists():
        return {}
    state = _state_file(out)
    if not state.exists() or read_json(state).get("identity") != identity:
        msg = f"{out} was made from other data, embeddings or settings; remove it or choose another file"
        raise InputError(msg)
    done: dict[str, list[Record]] = {}
    for r in read_records(out):
        key = "|".join(str(r[k]) for k in ("task", "method", "inputs", "fraction", "seed"))
        done.setdefault(key, []).append(r)
    return done


def _save(out: str | Path, identity: str, cfg: EfficiencyConfig, done: dict[str, list[Record]]) -> None:
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    if not _state_file(out).exists():
        write_json(_state_file(out), {"identity": identity, "config": cfg, "versions": versions()})
    write_json(out, [r for cell in done.values() for r in cell])


def _state_file(out: str | Path) -> Path:
    """Beside the records: what they were made from, so that other data are never mixed in."""
    return Path(out).with_suffix(".state.json")
