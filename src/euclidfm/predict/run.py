"""From a store to a catalogue: embed a batch, apply every probe, write the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.files import versions, written_aside
from euclidfm.core.progress import Progress, silent
from euclidfm.embeddings import embed_stream
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.model import FoundationModel
from euclidfm.predict.estimates import Estimator
from euclidfm.predict.fields import Field, identity_fields
from euclidfm.predict.load import load_estimators
from euclidfm.predict.writers import Writer, check_paths, open_writer
from euclidfm.store import GalaxyStore

__all__ = ["ROWS", "predict"]

ROWS = 4096
"""Rows that are collected before they are written; a row group of the Parquet file."""


def predict(
    model: FoundationModel,
    store: GalaxyStore,
    probes: Sequence[str | Path],
    out: str | Path | Sequence[str | Path],
    *,
    pdf: bool = False,
    extrapolation: float = 99.0,
    split: str | None = None,
    batch: int = 128,
    progress: Progress = silent,
) -> int:
    """Write the predictions of fitted probes for the galaxies of a store, whichever modalities they have.

    The galaxies are embedded in the same way as those that the probes learnt from. A few thousand rows are
    kept in memory at a time, for a store of any size. The same call writes the same bytes.

    Parameters
    ----------
    model : FoundationModel
    store : GalaxyStore
        Any store; labels are not used.
    probes : sequence of path
        Folders that ``euclidfm probe`` wrote, or folders of such folders.
    out : path, or several
        ``.parquet`` or ``.fits``.
    pdf : bool
        Also write the densities on their grid.
    extrapolation : float
        Percentile of the training galaxies' own distances beyond which a galaxy is flagged.
    split : str, optional
        Only this split; default all.
    batch : int
        Galaxies embedded at a time.
    progress : callable, optional

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    InputError
        If there is no probe, probes learnt from other embeddings, or nothing can be embedded.
    """
    paths = check_paths([out] if isinstance(out, str | Path) else out)
    estimators = load_estimators(probes, pdf=pdf, extrapolation=extrapolation)
    made = _embedding_of(estimators, model)
    fields = identity_fields(made["modalities"]) + [f for e in estimators for f in e.fields()]
    _check_names(fields)
    about = _about(model, store, made, estimators, extrapolation)
    batches = embed_stream(model, store, **made, split=split, batch=batch, progress=progress)
    with ExitStack() as stack:
        files = [stack.enter_context(written_aside(path)) for path in paths]
        writers = [stack.enter_context(closing(open_writer(f, fields, about))) for f in files]
        rows = _write(writers, _groups(batches, estimators))
        if not rows:
            msg = f"store {store.path} has no galaxy" + (f" of split {split!r}" if split else "")
            raise InputError(msg + "; there is nothing to predict")
    return rows


def _write(writers: Sequence[Writer], groups: Iterator[dict[str, np.ndarray]]) -> int:
    """Write groups of rows to all files; returns the number of rows."""
    rows = 0
    for columns in groups:
        for w in writers:
            w.add(columns)
        rows += len(columns["object_id"])
    return rows


def _about(
    model: FoundationModel,
    store: GalaxyStore,
    made: dict[str, Any],
    estimators: Sequence[Estimator],
    extrapolation: float,
) -> dict[str, Any]:
    """Metadata of the catalogue."""
    return {
        "title": "Estimates by euclidfm from embeddings of galaxies",
        "program": f"euclidfm {versions().get('euclidfm', '')}",
        "model": model.identity(),
        "store": str(store.path),
        "release": store.info.release,
        "embedding": made,
        "estimates": [e.card() for e in estimators],
        "extrapolation_percentile": extrapolation,
        "grids": {
            f"{e.prefix}_pdf_grid": [float(f"{g:.7g}") for g in e.density.grid]
            for e in estimators
            if e.pdf and e.density
        },
        "versions": versions(),
    }


def _groups(
    batches: Iterator[EmbeddingTable], estimators: Sequence[Estimator]
) -> Iterator[dict[str, np.ndarray]]:
    """Columns of successive batches, joined to groups of at least `ROWS` rows."""
    held: list[dict[str, np.ndarray]] = []
    waiting = 0
    for emb in batches:
        held.append(_rows(emb, estimators))
        waiting += len(emb)
        if waiting >= ROWS:
            yield _joined(held)
            held, waiting = [], 0
    if held:
        yield _joined(held)


def _joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _rows(emb: EmbeddingTable, estimators: Sequence[Estimator]) -> dict[str, np.ndarray]:
    """Columns of a batch."""
    out: dict[str, Any] = {"object_id": emb.object_id, "ra": emb.ra, "dec": emb.dec}
    has = {m: np.isfinite(v).any(axis=1) for m, v in emb.by_modality.items()}
    out["modalities"] = np.array(
        ["+".join(m for m, here in has.items() if here[i]) for i in range(len(emb))], object
    )
    for e in estimators:
        out |= e.columns(emb)
    return out


def _embedding_of(estimators: Sequence[Estimator], model: FoundationModel) -> dict[str, Any]:
    """Settings of the embeddings that all probes learnt from: modalities, layer, symmetries."""
    found: dict[str, Any] = {}
    first, ours = "", model.identity()
    for e in estimators:
        for fitted in e.parts:
            made = fitted.info.get("embeddings", {})
            if made.get("model") != ours:
                msg = (
                    f"{e.folder} was fitted on embeddings of model {made.get('model', 'unknown')}, the run "
                    f"holds model {ours}; fit the probe on this run's embeddings, or give its run"
                )
                raise InputError(msg)
            how = {
                "modalities": made.get("modalities") or list(model.config.modalities),
                "layer": made.get("layer"),
                "symmetries": made.get("symmetries", made.get("turns")) or 1,  # turns: version 0.1
                "measured": bool(made.get("measured")),
            }
            if found and how != found:
                which = ", ".join(f"{k} {found[k]} and {v}" for k, v in how.items() if found[k] != v)
                msg = f"{first} and {e.folder} learnt from different embeddings ({which}); predict them apart"
                raise InputError(msg)
            found, first = how, first or str(e.folder)
    return found


def _check_names(fields: Sequence[Field]) -> None:
    names = [f.name.lower() for f in fields]
    double = {n for n in names if names.count(n) > 1}
    if double:
        msg = f"two columns would be named {', '.join(sorted(double))}; predict the probes apart"
        raise InputError(msg)
