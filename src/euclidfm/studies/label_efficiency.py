"""The label-efficiency study: the performance of each method with 1% to 100% of the labels.

``docs/protocol.md`` describes the protocol and how it differs from the reference's: one test set that is
never subsampled; nested subsets of the training labels; repeats that change the subset and the
initialisation; the same labelled galaxies for every method.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, read_json, versions, write_json
from euclidfm.core.progress import Progress, silent
from euclidfm.core.records import Record, read_records
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.store import GalaxyStore
from euclidfm.studies.comparison import Comparison, run_all
from euclidfm.studies.efficiency_config import EfficiencyConfig
from euclidfm.studies.methods import PROBES, TUNED
from euclidfm.tasks.spaces import inputs_of

__all__ = ["EfficiencyConfig", "label_efficiency"]


def label_efficiency(
    cfg: EfficiencyConfig,
    store: GalaxyStore,
    emb: EmbeddingTable | Mapping[str, EmbeddingTable],
    out: str | Path | None = None,
    progress: Progress = silent,
) -> list[Record]:
    """Run the study, or the part of it that is missing.

    Parameters
    ----------
    cfg : EfficiencyConfig
    store : GalaxyStore
        Labels, splits, photometry and images.
    emb : EmbeddingTable, or dict of them by the name of their inputs
        For example ``{"VIS+NISP+SED": a, "VIS+NISP": b}``.
    out : path, optional
        JSON list of records, written after each cell. Cells that it holds already are not run
        again. ``<out>.state.json`` beside it identifies their data and settings.
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
    embs = {inputs_of(emb, ("joint",)): emb} if isinstance(emb, EmbeddingTable) else dict(emb)
    identity = _identity(cfg, store, embs)
    done = _load(out, identity)
    comparison = Comparison(cfg, store, embs)
    cells = comparison.cells()
    todo = [c for c in cells if c.key not in done]
    finished = len(cells) - len(todo)
    progress(finished, len(cells), todo[0].key if todo else "")
    for cell, records in run_all(comparison, todo):
        done[cell.key] = records
        if out is not None:
            _save(out, identity, cfg, done)
        finished += 1
        progress(finished, len(cells), cell.key)
    return [r for c in cells for r in done[c.key]]


def _identity(cfg: EfficiencyConfig, store: GalaxyStore, embs: Mapping[str, EmbeddingTable]) -> str:
    """Hash of the data and settings that must be the same for results to be continued.

    If there is no probe among the methods, of the embeddings only their presence counts, so that baselines
    stay valid when a model is retrained.
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
    tuned = any(m.partition("@")[0] in TUNED for m in cfg.methods)
    if cfg.run and tuned:  # only then, so that older results stay valid
        settings = plain(asdict(cfg.finetune))
        settings["held"] = settings.pop("holdout")  # its earlier name, so that older results stay valid
        h.update(repr(sorted(settings.items())).encode())
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
    """File beside the records that identifies their data and settings."""
    return Path(out).with_suffix(".state.json")
