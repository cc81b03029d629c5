"""Approximate nearest-neighbour index on disk, for catalogues of millions of galaxies.

The index is a graph of near neighbours (HNSW; Malkov & Yashunin 2018) made by FAISS, with vectors in
8 bits a number. The file is mapped to memory, so it opens at once. ``benchmarks/search.py``
compares it with inverted lists: on a million vectors it was several times as fast at the same recall.

A folder::

    index/
      index.faiss    the graph and the vectors
      scaling.npz    mean and factors of the embedding's numbers
      ids.npy        (N,) int64, object_id of each row
      marks.npy      (N,) uint64, a hash of each row's vector; 0 where the row was replaced
      index.json     space, sizes, settings, recall against exact search, checksums of the files
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from euclidfm.core.checksums import check_card, check_files
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json
from euclidfm.discover.space import Scaling, ScalingName

__all__ = ["EXACT_UP_TO", "ApproximateConfig", "ApproximateIndex", "load_faiss", "query_graph"]

REMEDY = "build it again with `euclidfm index`"
"""What to do with a damaged index."""

VERIFIED_UP_TO = 2**30
"""Size in bytes of the largest file that is compared with its checksum whenever an index is opened."""

EXACT_UP_TO = 50_000
"""Size of the largest selection that is searched exactly (in 8 bits)."""


@dataclass(frozen=True, kw_only=True)
class ApproximateConfig:
    """Settings of the index."""

    scaling: ScalingName = "auto"
    """Scaling of the embeddings (`euclidfm.discover.space`)."""
    components: int = 0
    """Components of the scaling ``whiten``; 0 for its default."""
    links: int = 24
    """Links per vector in the graph; more links cost space and raise the recall."""
    build_effort: int = 64
    """Candidates examined when a vector is added (FAISS efConstruction)."""
    effort: int = 0
    """Candidates examined per query (FAISS efSearch); 0 takes the smallest power of two, from 16, that
    reaches `recall`."""
    recall: float = 0.97
    """Target recall: the share of the true 10 nearest that the index finds."""
    checks: int = 500
    """Number of queries with which the recall is measured."""
    seed: int = 0
    """Seed that selects these queries."""
    threads: int = 0
    """Threads that build the graph; 0 takes all. Only a single thread makes the build deterministic."""


class ApproximateIndex:
    """An opened index; see `build_approximate`."""

    def __init__(self, folder: Path, info: dict[str, Any]) -> None:
        faiss = load_faiss()
        self.info = info
        """Sizes, settings, the measured recall and the checksums of the files."""
        self._index = faiss.read_index(str(folder / "index.faiss"), faiss.IO_FLAG_MMAP_IFC)
        self._effort = int(self.info["effort"])
        self.ids = np.load(folder / "ids.npy", mmap_mode="r")
        self.marks = np.load(folder / "marks.npy", mmap_mode="r")
        self._live = None if self.info["replaced"] == 0 else np.asarray(self.marks) != 0
        with np.load(folder / "scaling.npz") as parts:
            self.scaling = Scaling(parts["mean"], parts["matrix"])

    @classmethod
    def open(cls, folder: str | Path, verify: bool = False) -> ApproximateIndex:
        """Open an index and compare its files with their checksums.

        Parameters
        ----------
        folder : path
        verify : bool
            Also compare files of more than `VERIFIED_UP_TO` bytes. Such files are mapped to memory and
            otherwise open in milliseconds.

        Raises
        ------
        InputError
            If the folder holds no index, or a damaged one.
        """
        folder = Path(folder)
        if not (folder / "index.json").exists():
            msg = f"{folder} is not a similarity index (no index.json in it)"
            raise InputError(msg)
        info = read_json(folder / "index.json")
        try:
            check_card(folder / "index.json", info, REMEDY)
            check_files(folder, info, REMEDY, None if verify else VERIFIED_UP_TO)
            return cls(folder, info)
        except InputError:
            raise
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, BadZipFile) as e:
            msg = f"the index in {folder} is damaged ({type(e).__name__}: {e}); {REMEDY}"
            raise InputError(msg) from e

    def __len__(self) -> int:
        return len(self.ids) - int(self.info["replaced"])

    def drift(self, object_id: np.ndarray, folder: str | Path = "the index") -> str:
        """What the index and a table of galaxies do not have in common, in a sentence; empty if nothing.

        Parameters
        ----------
        object_id : (N,) int64
            Galaxies of the table that have an embedding.
        folder : path
            Name of the index, for the sentence.
        """
        live = np.asarray(self.ids)[np.asarray(self.marks) != 0]
        lacks, more = (~np.isin(object_id, live)).sum(), (~np.isin(live, object_id)).sum()
        if not lacks and not more:
            return ""
        parts = [f"lacks {lacks} of the {len(object_id)} galaxies"] if lacks else []
        parts += [f"holds {more} that the table lacks"] if more else []
        return f"{folder} {' and '.join(parts)}; bring it up to date with `euclidfm index --append true`"

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
        return self.search_units(self.scaling.unit(np.atleast_2d(vectors)), k, where)

    def search_units(
        self, units: np.ndarray, k: int = 10, where: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `search`, for scaled directions of length one."""
        units = np.ascontiguousarray(units, np.float32)
        if self._live is not None:
            where = self._live if where is None else where & self._live
        if where is None and len(self.ids) <= 4 * k:  # a graph does not reach everything
            where = np.ones(len(self.ids), bool)
        chosen = None if where is None else np.flatnonzero(where)
        if chosen is not None and len(chosen) <= max(EXACT_UP_TO, 4 * k):
            similarity, rows = self._scan(units, k, chosen)
        else:
            similarity, rows = query_graph(self._index, units, k, self._effort, chosen)
        ids = np.where(rows >= 0, self.ids[np.maximum(rows, 0)], 0)
        return ids, np.where(rows >= 0, similarity, -np.inf)

    def _scan(self, units: np.ndarray, k: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact search of a small selection, in which a graph search has a low recall."""
        similarity = np.full((len(units), k), -np.inf, np.float32)
        rows = np.full(similarity.shape, -1, np.int64)
        if len(chosen):
            cosines = units @ self._index.reconstruct_batch(chosen).T
            best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
            similarity[:, : best.shape[1]] = np.take_along_axis(cosines, best, axis=1)
            rows[:, : best.shape[1]] = chosen[best]
        return similarity, rows


def query_graph(
    index: Any, units: np.ndarray, k: int, effort: int, chosen: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and rows, each (Q, k), of the nearest by the graph; only `chosen` rows if given."""
    faiss = load_faiss()
    selector = None if chosen is None else faiss.IDSelectorBatch(chosen)
    settings = faiss.SearchParametersHNSW(efSearch=max(effort, k), sel=selector)
    similarity, rows = index.search(units, k, params=settings)
    return similarity, rows


def load_faiss() -> Any:
    """The faiss module, or an `InputError` that says how to install it."""
    try:
        import faiss
    except ImportError:
        msg = "an approximate index needs faiss; install it with `pip install euclidfm[science]`"
        raise InputError(msg) from None
    return faiss
