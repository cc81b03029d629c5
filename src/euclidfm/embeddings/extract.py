"""Making embeddings: a model and a store in, an embedding catalogue out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.model import FoundationModel, tokenize
from euclidfm.model.config import SCALARS
from euclidfm.model.precision import autocast, choose_precision
from euclidfm.model.tokenizer import withhold
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["embed", "embed_stream"]


def embed(
    model: FoundationModel,
    store: GalaxyStore,
    *,
    modalities: Sequence[str] | None = None,
    split: str | None = None,
    layer: int | None = None,
    columns: Sequence[str] | None = None,
    turns: int = 1,
    rows: np.ndarray | None = None,
    alter: Callable[[Galaxies], Galaxies] | None = None,
    batch: int = 128,
    precision: str = "fp32",
    progress: Progress = silent,
) -> EmbeddingTable:
    """Embed the galaxies of a store.

    Parameters
    ----------
    model : FoundationModel
    store : GalaxyStore
    modalities : sequence of str, optional
        Modalities that the model may see; default all that each galaxy has.
    split : str, optional
        Only this split; default all.
    layer : int, optional
        Block whose output is used; default the model's.
    columns : sequence of str, optional
        Columns of the store to take along; default its flags. The release always comes.
    turns : int
        Symmetries of the square to average over, 1 to 8: with 8 (four quarter turns, each mirrored too) the
        embedding does not depend on how a galaxy lies on the sky, at 8 times the cost. From 2 on, the table
        also gets the space ``shape`` (see `EmbeddingTable.spaces`).
    rows : array of int, optional
        Only these rows of the store, besides the split.
    alter : callable, optional
        Changes the galaxies of a batch before the model sees them, such as `euclidfm.store.alter.noisier`.
    batch : int
        Galaxies at a time.
    precision : str
        ``fp32``, ``bf16``, or ``auto``: bf16 where the device has units for it (`euclidfm.model.precision`).
        Redshifts and masses from linear probes need float32, measured in ``docs/benchmarks.md``; classes and
        searches hardly do.
    progress : callable, optional

    Returns
    -------
    EmbeddingTable
        One row a galaxy. A galaxy that has none of the modalities gets NaN.

    Raises
    ------
    InputError
        If a modality is not one of the model's, the model and the store share none, the store lacks a
        column, or `turns` is not from 1 to 8.
    """
    keep, bands = _asked(model, store, modalities, turns)
    number = choose_precision(precision, model.device)
    info = store.info
    have = store.index.column_names
    taken = [n for n in have if n.startswith("flag_")] if columns is None else list(columns)
    for n in taken:
        if n not in have:
            msg = f"store {store.path} has no column {n!r} to take along; it has {', '.join(have)}"
            raise InputError(msg)
    chosen = store.rows(split)
    rows = chosen if rows is None else np.intersect1d(chosen, rows)
    waves = info.wavelengths_nm
    joint: list[np.ndarray] = []
    parts: dict[str, list[np.ndarray]] = {m: [] for m in keep}
    spaces: dict[str, list[np.ndarray]] = {}
    done = 0
    for galaxies in store.batches(rows, batch, bands):
        galaxies = galaxies if alter is None else alter(galaxies)
        vectors, each, more = _vectors(model, galaxies, waves, keep, layer, turns, number)
        joint.append(vectors)
        for m in keep:
            parts[m].append(each[m])
        for name, space in more.items():
            spaces.setdefault(name, []).append(space)
        done += len(galaxies)
        progress(done, len(rows))
    index = store.index.take(np.sort(rows))
    return EmbeddingTable(
        **{k: index.column(k).to_numpy() for k in ("object_id", "ra", "dec", "split")},
        vectors=_join(joint, len(model.config.modalities) * model.config.width),
        by_modality={m: _join(p, model.config.width) for m, p in parts.items()},
        spaces={name: np.concatenate(found) for name, found in spaces.items()},
        info=_info(model, store, keep, layer, turns, number),
        columns={"release": np.full(len(index), info.release, dtype=object)}
        | {n: index.column(n).to_numpy() for n in taken if n not in ("object_id", "ra", "dec", "split")},
    )


def embed_stream(
    model: FoundationModel,
    store: GalaxyStore,
    *,
    modalities: Sequence[str] | None = None,
    split: str | None = None,
    layer: int | None = None,
    turns: int = 1,
    batch: int = 128,
    precision: str = "fp32",
    progress: Progress = silent,
) -> Iterator[EmbeddingTable]:
    """Embed a store of any size, batch after batch, at constant memory.

    Parameters
    ----------
    model, store, modalities, split, layer, turns, batch, precision, progress
        As for `embed`.

    Yields
    ------
    EmbeddingTable
        The next galaxies in order of storage, without other columns.

    Raises
    ------
    InputError
        As `embed`, at the first batch.
    """
    keep, bands = _asked(model, store, modalities, turns)
    number = choose_precision(precision, model.device)
    info = _info(model, store, keep, layer, turns, number)
    waves = store.info.wavelengths_nm
    for group, end in enumerate(store.group_edges[1:]):
        galaxies = store.read_group(group, bands)
        if split is not None:
            galaxies = galaxies.take(galaxies.split == split)
        for start in range(0, len(galaxies), batch):
            part = galaxies.take(np.arange(start, min(start + batch, len(galaxies))))
            vectors, each, more = _vectors(model, part, waves, keep, layer, turns, number)
            who = {k: getattr(part, k) for k in ("object_id", "ra", "dec", "split")}
            yield EmbeddingTable(**who, vectors=vectors, by_modality=each, spaces=more, info=info)
        progress(int(end), len(store))


def _asked(
    model: FoundationModel, store: GalaxyStore, modalities: Sequence[str] | None, turns: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Modalities to be seen and image bands to be read, once it is sure that both can be had."""
    if not 1 <= turns <= 8:
        msg = f"turns must be from 1 to 8, got {turns}"
        raise InputError(msg)
    keep = tuple(modalities or model.config.modalities)
    for m in keep:
        if m not in model.config.modalities:
            msg = f"the model has no modality {m!r}; it has {', '.join(model.config.modalities)}"
            raise InputError(msg)
    info = store.info
    bands = tuple(b for m in model.config.images if m.name in keep for b in m.bands if b in info.image_bands)
    if bands and info.image_size < model.config.crop:
        msg = f"cutouts of {store.path} are {info.image_size} px, the model needs {model.config.crop}"
        raise InputError(msg)
    scalars = set(model.config.scalars) & set(info.names()) if SCALARS in keep else set()
    if not bands and not scalars and not (model.config.sed and "SED" in keep and info.sed_bands):
        msg = f"store {store.path} has none of the modalities {', '.join(keep)} of the model"
        raise InputError(msg)
    return keep, bands


def _info(
    model: FoundationModel,
    store: GalaxyStore,
    keep: tuple[str, ...],
    layer: int | None,
    turns: int,
    precision: torch.dtype,
) -> dict[str, Any]:
    return {
        "model": model.identity(),
        "store": str(store.path),
        "release": store.info.release,
        "layer": layer or model.config.layer,
        "modalities": list(keep),
        "turns": turns,
        "precision": str(precision).removeprefix("torch."),
        "pooling": "mean over each modality's tokens, joined; typical value where one is absent",
    }


def _vectors(
    model: FoundationModel,
    galaxies: Galaxies,
    waves: dict[str, float],
    keep: tuple[str, ...],
    layer: int | None,
    turns: int,
    precision: torch.dtype,
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(n, M D) joint vectors, (n, D) ones of each modality, the mean over some turns; further spaces."""
    joint: Any = 0.0
    apart: dict[str, Any] = dict.fromkeys(keep, 0.0)
    shown = next((m.name for m in model.config.images if m.name in keep), None)
    cores = []
    for turn in range(turns):
        tokens = tokenize(model.config, galaxies, waves, np.full(len(galaxies), turn))
        seen = withhold({m: t.to(model.device) for m, t in tokens.items()}, keep)
        with autocast(model.device, precision):
            once, each, core = model.embed_with_core(seen, layer)
        joint = joint + once / turns
        apart = {m: v + each[m] / turns for m, v in apart.items()}
        cores += [core[shown].cpu().numpy()] if shown else []
    spaces = {}
    if shown and turns > 1:
        several = np.stack(cores)
        spaces["shape"] = np.concatenate([several.mean(axis=0), several.std(axis=0)], axis=1)
    return joint.cpu().numpy(), {m: v.cpu().numpy() for m, v in apart.items()}, spaces


def _join(parts: list[np.ndarray], width: int) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty((0, width), np.float32)
