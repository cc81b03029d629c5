"""An approximate index on disk for large catalogues: opened at once, its recall measured when built.

Inverted lists (k-means cells) of vectors in 8 bits a number, by FAISS; the file is mapped to
memory, so that opening costs nothing and only the cells that are asked for are read.

A folder::

    index/
      index.faiss    the cells
      scaling.npz    mean and factors of the embedding's numbers
      ids.npy        (N,) int64, object_id of each row
      index.json     space, sizes, settings, recall against exact search
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.discover.space import Scaling, finite_rows, fit_scaling, vectors_of
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.errors import InputError
from euclidfm.files import read_json, write_json

__all__ = ["ApproximateConfig", "ApproximateIndex", "build_approximate"]


@dataclass(frozen=True, kw_only=True)
class ApproximateConfig:
    """Settings of the index."""

    cells: int = 0
    """Cells of the k-means; 0 takes 4 sqrt(N)."""
    probes: int = 0
    """Cells searched a query; 0 finds the fewest (a power of two) that reach `recall`."""
    recall: float = 0.97
    """Wanted share of the true 10 nearest that is found."""
    train: int = 64
    """Vectors a cell that the k-means sees."""
    checks: int = 500
    """Queries that the recall is measured with."""
    seed: int = 0
    """Of the k-means and of the queries."""


class ApproximateIndex:
    """An opened index; see `build_approximate`."""

    def __init__(self, folder: Path) -> None:
        faiss = _faiss()
        self.info: dict[str, Any] = read_json(folder / "index.json")
        """Sizes, settings and the measured recall."""
        flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY
        self._index = faiss.read_index(str(folder / "index.faiss"), flags)
        self._index.nprobe = int(self.info["probes"])
        self.ids = np.load(folder / "ids.npy", mmap_mode="r")
        with np.load(folder / "scaling.npz") as parts:
            self.scaling = Scaling(parts["mean"], parts["matrix"])

    @classmethod
    def open(cls, folder: str | Path) -> ApproximateIndex:
        """Open an index; milliseconds, whatever its size."""
        folder = Path(folder)
        if not (folder / "index.json").exists():
            msg = f"{folder} is not a similarity index (no index.json in it)"
            raise InputError(msg)
        return cls(folder)

    def __len__(self) -> int:
        return len(self.ids)

    def search(
        self, vectors: np.ndarray, k: int = 10, where: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nearest neighbours of embeddings.

        Parameters
        ----------
        vectors : (Q, D) array
            As they stand in the embedding table.
        k : int
        where : (N,) bool, optional
            Rows that may be found.

        Returns
        -------
        object_id : (Q, k) int64, 0 where fewer than k were found
        similarity : (Q, k) float32, approximate cosine; -inf there
        """
        faiss = _faiss()
        units = np.ascontiguousarray(self.scaling.unit(np.atleast_2d(vectors)), np.float32)
        settings: Any = None
        if where is not None:
            make: Any = faiss.SearchParametersIVF
            chosen = faiss.IDSelectorBatch(np.flatnonzero(where))
            settings = make(sel=chosen, nprobe=self._index.nprobe)
        similarity, rows = self._index.search(units, k, params=settings)
        ids = np.where(rows >= 0, self.ids[np.maximum(rows, 0)], 0)
        return ids, np.where(rows >= 0, similarity, -np.inf)


def build_approximate(
    emb: EmbeddingTable,
    folder: str | Path,
    config: ApproximateConfig | None = None,
    *,
    space: str = "joint",
    overwrite: bool = False,
) -> ApproximateIndex:
    """Build an index, measure its recall against exact search, write it, open it.

    Parameters
    ----------
    emb : EmbeddingTable
        Objects without an embedding in the space are left out.
    folder : path
    config : ApproximateConfig, optional
    space : str
    overwrite : bool
    """
    faiss, config, folder = _faiss(), config or ApproximateConfig(), Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (overwrite and (folder / "index.json").exists()):
        msg = f"{folder} exists; remove it or choose another name"
        raise InputError(msg)
    vectors = vectors_of(emb, space)
    usable = np.flatnonzero(finite_rows(vectors))
    scaling = fit_scaling(vectors)
    units = scaling.unit(vectors[usable])
    cells = config.cells or max(1, min(int(4 * np.sqrt(len(units))), len(units) // 39))
    quantizer = faiss.IndexFlatIP(units.shape[1])
    index: Any = faiss.IndexIVFScalarQuantizer(
        quantizer, units.shape[1], cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed, index.cp.max_points_per_centroid = config.seed + 1, config.train
    rng = np.random.default_rng(config.seed)
    index.train(units[np.sort(rng.permutation(len(units))[: cells * config.train])])
    index.add(units)
    probes, recall = _choose_probes(index, units, config, rng)
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    faiss.write_index(index, str(aside / "index.faiss"))
    np.savez(aside / "scaling.npz", mean=scaling.mean, matrix=scaling.matrix)
    np.save(aside / "ids.npy", emb.object_id[usable])
    facts = {"space": space, "rows": len(units), "width": units.shape[1], "cells": cells, "probes": probes}
    write_json(
        aside / "index.json", facts | {"recall@10": recall, "config": asdict(config), "model": emb.info}
    )
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    return ApproximateIndex.open(folder)


def _choose_probes(
    index: Any, units: np.ndarray, config: ApproximateConfig, rng: np.random.Generator
) -> tuple[int, float]:
    """Fewest cells that reach the wanted recall@10 (or the given number), and the recall measured."""
    queries = units[np.sort(rng.permutation(len(units))[: config.checks])]
    exact = _exact(units, queries, 11)
    probes = config.probes or 1
    while True:
        index.nprobe = probes
        _, found = index.search(queries, 11)
        hits = [len(set(f) & set(e)) for f, e in zip(found.tolist(), exact.tolist(), strict=True)]
        recall = (float(np.mean(hits)) - 1.0) / (exact.shape[1] - 1.0) if exact.shape[1] > 1 else 1.0
        if config.probes or recall >= config.recall or probes >= index.nlist:
            return probes, recall
        probes = min(2 * probes, index.nlist)


def _exact(units: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Rows of the true nearest, by blocks of the catalogue so that memory stays small."""
    best = np.full((len(queries), 0), -np.inf, np.float32)
    rows = np.zeros(best.shape, np.int64)
    for start in range(0, len(units), 100_000):
        cosines = queries @ units[start : start + 100_000].T
        best = np.concatenate([best, cosines], axis=1)
        at = np.broadcast_to(np.arange(start, start + cosines.shape[1]), cosines.shape)
        rows = np.concatenate([rows, at], axis=1)
        keep = np.argpartition(-best, min(k, best.shape[1]) - 1, axis=1)[:, :k]
        best, rows = np.take_along_axis(best, keep, 1), np.take_along_axis(rows, keep, 1)
    return rows


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        msg = "an approximate index needs faiss; install it with `pip install euclidfm[science]`"
        raise InputError(msg) from None
    return faiss
