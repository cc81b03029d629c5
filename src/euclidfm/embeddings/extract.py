"""Making embeddings: a model and a store in, an embedding catalogue out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.embeddings.table import IMAGES, PHOTOMETRY, EmbeddingTable
from euclidfm.measure import measure, measured_names
from euclidfm.model.config import MEASURED, SCALARS, SED, ModelConfig
from euclidfm.model.device import autocast, choose_precision
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.pooling import embed_tokens
from euclidfm.model.scaling import check_images
from euclidfm.model.tokens import drop_modalities
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["embed", "embed_stream"]

READ = 256
"""Galaxies to read at a time: a row group of a store."""


def embed(
    model: FoundationModel,
    store: GalaxyStore,
    *,
    modalities: Sequence[str] | None = None,
    split: str | None = None,
    rows: np.ndarray | None = None,
    layer: int | None = None,
    symmetries: int = 1,
    columns: Sequence[str] | None = None,
    measured: bool = True,
    alter: Callable[[Galaxies], Galaxies] | None = None,
    batch: int = 128,
    precision: str = "fp32",
    progress: Progress = silent,
) -> EmbeddingTable:
    """Embed the galaxies of a store.

    Parameters
    ----------
    model, store, modalities, split, rows, layer, symmetries, columns, measured, alter, batch, precision,
    progress
        As of `embed_stream`.

    Returns
    -------
    EmbeddingTable
        One row a galaxy, in order of storage. A galaxy that has none of the modalities gets NaN.

    Raises
    ------
    InputError
        As `embed_stream`.
    """
    options: dict[str, Any] = {
        "modalities": modalities,
        "layer": layer,
        "symmetries": symmetries,
        "columns": columns,
        "measured": measured,
        "alter": alter,
        "batch": batch,
        "precision": precision,
    }
    tables = list(embed_stream(model, store, split=split, rows=rows, progress=progress, **options))
    if not tables:  # no rows: a table of one galaxy gives the shapes
        return next(embed_stream(model, store, rows=np.arange(1), **options)).take(np.arange(0))
    return EmbeddingTable.concat(tables)


def embed_stream(
    model: FoundationModel,
    store: GalaxyStore,
    *,
    modalities: Sequence[str] | None = None,
    split: str | None = None,
    rows: np.ndarray | None = None,
    layer: int | None = None,
    symmetries: int = 1,
    columns: Sequence[str] | None = None,
    measured: bool = True,
    alter: Callable[[Galaxies], Galaxies] | None = None,
    batch: int = 128,
    precision: str = "fp32",
    progress: Progress = silent,
) -> Iterator[EmbeddingTable]:
    """Embed the galaxies of a store of any size, batch after batch, at constant memory.

    Parameters
    ----------
    model : FoundationModel
    store : GalaxyStore
    modalities : sequence of str, optional
        Modalities that the model may see; default all that each galaxy has.
    split : str, optional
        Only this split; default all.
    rows : array of int, optional
        Only these rows of the store, besides the split.
    layer : int, optional
        Block whose output is pooled; default the model's.
    symmetries : int
        Symmetries of the square to average over, 1 to 8. With 8 (four rotations, each also mirrored) the
        embedding does not depend on a galaxy's orientation, at 8 times the cost. From 2 on, the table also
        gets the space ``shape`` (see `EmbeddingTable.spaces`).
    columns : sequence of str, optional
        Columns of the store to copy; default its flags. The release is always there.
    measured : bool
        Whether to add the space ``measured``: numbers measured on the images that the model sees, in the form
        `euclidfm.measure.Measurements.for_models`; their names are in `info`.
    alter : callable, optional
        Changes the galaxies of a batch before the model sees them, such as `euclidfm.store.alter.noisier`.
    batch : int
        Galaxies at a time.
    precision : str
        ``fp32``, ``bf16``, or ``auto``: bf16 where the device has units for it (`euclidfm.model.device`).
        Redshifts and masses from linear probes need float32, as measured in ``docs/benchmarks.md``; classes
        and searches hardly do.
    progress : callable, optional

    Yields
    ------
    EmbeddingTable
        The next galaxies in order of storage.

    Raises
    ------
    InputError
        If a modality is not one of the model's, the model and the store share none, the store lacks a
        column, or `symmetries` is not from 1 to 8.
    """
    keep, bands = _inputs(model.config, store, modalities, symmetries)
    copied = _columns(store, columns)
    number = choose_precision(precision, model.device)
    info = _info(model, store, keep, layer, symmetries, number)
    measured = measured and bool(bands)
    info |= {"measured": list(measured_names(bands))} if measured else {}
    chosen = store.rows(split)
    chosen = np.sort(chosen if rows is None else np.intersect1d(chosen, rows))
    done = 0
    for read in store.batches(chosen, max(batch, READ // batch * batch), bands):
        for start in range(0, len(read), batch):
            galaxies = read.take(np.arange(start, min(start + batch, len(read))))
            galaxies = galaxies if alter is None else alter(galaxies)
            with autocast(model.device, number):
                vectors = _embed_batch(model, galaxies, store, keep, layer, symmetries)
            if measured:
                vectors["spaces"]["measured"] = _measured(galaxies, bands, model.config, store)
            if SED in keep and store.info.sed_bands:
                vectors["spaces"][PHOTOMETRY] = _photometry(galaxies, store)
            index = store.index.take(chosen[done : done + len(galaxies)])
            done += len(galaxies)
            own = {n: index.column(n).to_numpy() for n in copied}
            release = np.full(len(galaxies), store.info.release, dtype=object)
            yield EmbeddingTable(
                **{k: index.column(k).to_numpy() for k in ("object_id", "ra", "dec", "split")},
                **vectors,
                info=info,
                columns={"release": release} | own,
            )
            progress(done, len(chosen))


def _inputs(
    config: ModelConfig, store: GalaxyStore, modalities: Sequence[str] | None, symmetries: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Modalities to be seen and image bands to be read, after checking that both exist."""
    if not 1 <= symmetries <= 8:
        msg = f"symmetries must be from 1 to 8, got {symmetries}"
        raise InputError(msg)
    keep = tuple(modalities or config.modalities)
    for m in keep:
        if m not in config.modalities:
            msg = f"the model has no modality {m!r}; it has {', '.join(config.modalities)}"
            raise InputError(msg)
    info = store.info
    wanted = [*(b for m in config.images if m.name in keep for b in m.bands)]
    wanted += config.measured if MEASURED in keep else ()
    bands = tuple(b for b in dict.fromkeys(wanted) if b in info.image_bands)
    check_images(config, store, bands)
    scalars = set(config.scalars) & set(info.names()) if SCALARS in keep else set()
    if not bands and not scalars and not (SED in keep and info.sed_bands):
        msg = f"store {store.path} has none of the modalities {', '.join(keep)} of the model"
        raise InputError(msg)
    return keep, bands


def _columns(store: GalaxyStore, columns: Sequence[str] | None) -> list[str]:
    """Names of the store's columns to copy."""
    have = store.index.column_names
    chosen = [n for n in have if n.startswith("flag_")] if columns is None else list(columns)
    for n in chosen:
        if n not in have:
            msg = f"store {store.path} has no column {n!r} to copy; it has {', '.join(have)}"
            raise InputError(msg)
    return [n for n in chosen if n not in ("object_id", "ra", "dec", "split")]


def _info(
    model: FoundationModel,
    store: GalaxyStore,
    keep: tuple[str, ...],
    layer: int | None,
    symmetries: int,
    number: torch.dtype,
) -> dict[str, Any]:
    return {
        "model": model.identity(),
        "store": str(store.path),
        "release": store.info.release,
        "layer": layer or model.config.layer,
        "modalities": list(keep),
        "symmetries": symmetries,
        "precision": str(number).removeprefix("torch."),
        "pooling": _pooling(model),
    }


def _measured(
    galaxies: Galaxies, bands: Sequence[str], config: ModelConfig, store: GalaxyStore
) -> np.ndarray:
    """(n, P) numbers measured on the part of the cutouts that the model reads."""
    uncalibrated = store.info.uncalibrated
    return measure(galaxies, bands, crop=config.crop, uncalibrated=uncalibrated).for_models()


def _pooling(model: FoundationModel) -> str:
    """How the joint vectors are made, in words."""
    tokens = "mean over each modality's tokens"
    if model.images is not None:
        tokens = "image summary, and mean over the tokens of each modality that is not an image"
    return f"{tokens}, joined; the mean over training galaxies where a part is absent"


def _photometry(galaxies: Galaxies, store: GalaxyStore) -> np.ndarray:
    """(n, 2 K) fluxes, then their errors, µJy, in order of wavelength; NaN where not measured."""
    names = [b.name for b in sorted(store.info.sed_bands, key=lambda b: b.wavelength_nm)]
    order = [galaxies.sed_bands.index(name) for name in names]
    return np.concatenate([galaxies.flux[:, order], galaxies.fluxerr[:, order]], axis=1)


def _embed_batch(
    model: FoundationModel,
    galaxies: Galaxies,
    store: GalaxyStore,
    keep: tuple[str, ...],
    layer: int | None,
    symmetries: int,
) -> dict[str, Any]:
    """Joint vectors, those of each modality (n, D), averaged over symmetries; and further spaces."""
    joint: Any = 0.0
    images: Any = 0.0
    by_modality: dict[str, Any] = dict.fromkeys(keep, 0.0)
    image = next((m.name for m in model.config.images if m.name in keep), None)
    central = []
    for symmetry in range(symmetries):
        symmetry_index = np.full(len(galaxies), symmetry)
        tokens = model.tokenizer(galaxies, store.info.wavelengths_nm, symmetry_index)
        seen = drop_modalities({m: t.to(model.device) for m, t in tokens.items()}, keep)
        found = embed_tokens(model, seen, layer)
        joint = joint + found.joint / symmetries
        by_modality = {m: v + found.by_modality[m] / symmetries for m, v in by_modality.items()}
        central += [found.central[image].cpu().numpy()] if image else []
        images = None if found.images is None else images + found.images / symmetries
    spaces = {}
    if image and images is not None:
        spaces[IMAGES] = images.cpu().numpy()
    if image and symmetries > 1:
        several = np.stack(central)
        spaces["shape"] = np.concatenate([several.mean(axis=0), several.std(axis=0)], axis=1)
    apart = {m: v.cpu().numpy() for m, v in by_modality.items()}
    return {"vectors": joint.cpu().numpy(), "by_modality": apart, "spaces": spaces}
