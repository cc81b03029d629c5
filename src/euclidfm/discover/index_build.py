"""Building and updating an approximate index; its recall against exact search is measured each time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.checksums import with_checksums
from euclidfm.core.errors import InputError
from euclidfm.core.files import write_json, written_aside
from euclidfm.discover.index import ApproximateConfig, ApproximateIndex, load_faiss, query_graph
from euclidfm.discover.space import Scaling, finite_rows, fit_scaling, vectors_of
from euclidfm.embeddings.table import EmbeddingTable

__all__ = ["build_approximate", "exact_nearest", "update_approximate"]

_MOST_EFFORT = 1024


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
    faiss, config, folder = load_faiss(), config or ApproximateConfig(), Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (overwrite and (folder / "index.json").exists()):
        msg = f"{folder} exists; remove it or choose another name"
        raise InputError(msg)
    vectors = vectors_of(emb, space)
    usable = np.flatnonzero(finite_rows(vectors))
    scaling = fit_scaling(vectors, config.scaling, space=space, components=config.components)
    units = scaling.unit(vectors[usable])
    index: Any = faiss.index_factory(units.shape[1], f"HNSW{config.links}_SQ8", faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = config.build_effort
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(config.threads or threads)
    index.train(units[:: max(1, len(units) // 100_000)])
    index.add(units)
    faiss.omp_set_num_threads(threads)
    ids, marks = emb.object_id[usable], _marks(vectors[usable])
    facts = {"space": space, "width": units.shape[1], "config": asdict(config), "model": emb.info}
    facts["effort"], facts["recall@10"] = _choose_effort(index, units, config)
    _write(folder, index, scaling, ids, marks, facts)
    return ApproximateIndex.open(folder)


def update_approximate(emb: EmbeddingTable, folder: str | Path, *, drop: bool = False) -> ApproximateIndex:
    """Bring an index up to date with a catalogue: new galaxies are added, changed ones replaced.

    A replaced vector stays in the file but is never returned. If a fifth of the rows are replaced, or
    the scaling was measured on less than half of the galaxies, the index is built anew. The recall is
    measured again.

    Parameters
    ----------
    emb : EmbeddingTable
        The whole catalogue.
    folder : path
    drop : bool
        Let galaxies that the catalogue no longer holds leave the index.

    Raises
    ------
    InputError
        If there is no index, it is of another model's embeddings, or it holds galaxies that the catalogue
        lacks, without `drop`.
    """
    folder, old = Path(folder), ApproximateIndex.open(folder, verify=True)
    if old.info["model"].get("model") != emb.info.get("model"):
        msg = f"{folder} is an index of another model's embeddings; build a new one with --overwrite true"
        raise InputError(msg)
    live = np.asarray(old.ids)[np.asarray(old.marks) != 0]
    lost = int((~np.isin(live, emb.object_id)).sum())
    if lost and not drop:
        msg = (
            f"{folder} holds {lost} of {len(live)} galaxies that the table lacks; give the table of all "
            "galaxies, or build the index anew with --overwrite true"
        )
        raise InputError(msg)
    config, space = ApproximateConfig(**old.info["config"]), str(old.info["space"])
    vectors = vectors_of(emb, space)
    usable = np.flatnonzero(finite_rows(vectors))
    ids, marks = emb.object_id[usable], _marks(vectors[usable])
    kept = np.isin(_pairs(old.ids, old.marks), _pairs(ids, marks)) & (np.asarray(old.marks) != 0)
    fresh = usable[~np.isin(_pairs(ids, marks), _pairs(old.ids, old.marks))]
    if len(kept) - kept.sum() > 0.2 * len(kept) or len(usable) > 2 * len(kept):
        return build_approximate(emb, folder, config, space=space, overwrite=True)
    index: Any = load_faiss().read_index(str(folder / "index.faiss"))
    index.add(np.ascontiguousarray(old.scaling.unit(vectors[fresh]), np.float32))
    all_ids = np.concatenate([old.ids, emb.object_id[fresh]])
    all_marks = np.concatenate([np.where(kept, old.marks, 0), _marks(vectors[fresh])]).astype(np.uint64)
    facts = {k: old.info[k] for k in ("space", "width", "config", "effort")} | {"model": emb.info}
    live = np.flatnonzero(all_marks)
    place = dict(zip(emb.object_id[usable].tolist(), usable.tolist(), strict=True))
    units = old.scaling.unit(vectors[[place[i] for i in all_ids[live].tolist()]])
    facts["effort"], facts["recall@10"] = _choose_effort(index, units, config, live)
    _write(folder, index, old.scaling, all_ids, all_marks, facts)
    return ApproximateIndex.open(folder)


def _write(
    folder: Path, index: Any, scaling: Scaling, ids: np.ndarray, marks: np.ndarray, facts: dict[str, Any]
) -> None:
    """Write the files of an index to a folder."""
    with written_aside(folder) as aside:
        aside.mkdir()
        load_faiss().write_index(index, str(aside / "index.faiss"))
        np.savez(aside / "scaling.npz", mean=scaling.mean, matrix=scaling.matrix)
        np.save(aside / "ids.npy", ids)
        np.save(aside / "marks.npy", marks)
        card = facts | {"rows": len(ids), "replaced": int((marks == 0).sum())}
        files = {path.name: path for path in sorted(aside.iterdir())}
        write_json(aside / "index.json", with_checksums(card, files))


def _marks(vectors: np.ndarray) -> np.ndarray:
    """(N,) uint64, never 0: a hash of each vector, which shows whether it has changed."""
    bits = np.ascontiguousarray(vectors, np.float32).view(np.uint32).astype(np.uint64)
    odd = np.random.default_rng(0).integers(1, 2**63, bits.shape[1], dtype=np.uint64) | np.uint64(1)
    return np.maximum((bits * odd).sum(axis=1, dtype=np.uint64), np.uint64(1))


def _pairs(ids: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """One number for a galaxy and its vector, from the id and the hash."""
    return np.asarray(ids).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ np.asarray(marks)


def _choose_effort(
    index: Any, units: np.ndarray, config: ApproximateConfig, live: np.ndarray | None = None
) -> tuple[int, float]:
    """Smallest effort that reaches the target recall@10 (or the given effort), and the measured recall.

    `live`: rows of the index that the units are; None for all.
    """
    rng = np.random.default_rng(config.seed)
    queries = units[np.sort(rng.permutation(len(units))[: config.checks])]
    exact = exact_nearest(units, queries, 11)
    exact = exact if live is None else live[exact]
    chosen = None if live is None else live
    effort = config.effort or 16
    while True:
        _, found = query_graph(index, queries, 11, effort, chosen)
        hits = [len(set(f) & set(e)) for f, e in zip(found.tolist(), exact.tolist(), strict=True)]
        recall = (float(np.mean(hits)) - 1.0) / max(exact.shape[1] - 1, 1)  # the query finds itself
        if config.effort or recall >= config.recall or effort >= _MOST_EFFORT:
            return effort, recall
        effort *= 2


def exact_nearest(units: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Rows (Q, k) of the exact nearest, computed in blocks to limit memory."""
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
