"""Generation of modalities for the galaxies of a store.

The result is a store in physical units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from euclidfm.core.bands import BANDS, resolve_bands
from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.generate.complete import complete
from euclidfm.generate.physical import crop_galaxies, to_physical
from euclidfm.model.config import MEASURED, SCALARS, SED, ModelConfig
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.scaling import check_images
from euclidfm.model.tokens import drop_modalities
from euclidfm.store import Column, Galaxies, GalaxyStore, StoreInfo, StoreWriter

__all__ = ["GenerateConfig", "generate", "write"]


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Settings of the generation."""

    to: tuple[str, ...]
    """Modalities to generate. If one is also given, only its missing patches or bands are generated."""
    given: tuple[str, ...] = ()
    """Modalities that the model reads; by default all that are not generated."""
    temperature: float = 0.0
    """With 0, a token is the location of its distribution; with 1, it is a draw from it."""
    seed: int = 0
    """Seed of the draws. It is combined with the object_id of each galaxy."""
    hide_half: bool = False
    """Whether to hide the lower half of the images, to test how well it is completed."""
    split: str | None = None
    """Split to read; by default all splits."""
    limit: int = 0
    """Largest number of galaxies; 0 means all."""
    batch: int = 64
    """Number of galaxies that are generated together."""


def generate(
    model: FoundationModel, store: GalaxyStore, config: GenerateConfig, progress: Progress = silent
) -> Iterator[tuple[Galaxies, Galaxies, Galaxies]]:
    """Generate modalities for the galaxies of a store, batch by batch.

    Parameters
    ----------
    model : FoundationModel
    store : GalaxyStore
    config : GenerateConfig
    progress : callable, optional

    Yields
    ------
    measured : Galaxies
        The galaxies of the store, cropped to the size of the model.
    given : Galaxies
        The same galaxies with only the images that the model reads.
    made : Galaxies
        The generated modalities. Scalars are in ``columns``. ``noise``, ``fluxerr`` and the columns
        ``<scalar>_err`` hold the scale of the model's distribution, in the unit of the value. ``noise`` is
        the median over the pixels. For a model without likelihood the scales are NaN.

    Raises
    ------
    InputError
        If the model lacks a modality, or if its scaling removes the brightness.
    """
    to, given = _names(model.config, config)
    if not model.tokenizer.keeps_brightness and any(m not in (SED, SCALARS) for m in to):
        msg = "the model's scaling removes the brightness of images, so that it can't generate any"
        raise InputError(msg)
    info = store.info
    bands = tuple(b for b in model.config.image_bands if b in info.image_bands)
    check_images(model.config, store, bands)
    waves = info.wavelengths_nm
    rows = store.rows(config.split)
    rows = rows[: config.limit] if config.limit else rows
    done = 0
    for galaxies in store.batches(rows, config.batch, bands):
        measured = crop_galaxies(galaxies, model.config, hide_half=False)
        galaxies = crop_galaxies(galaxies, model.config, config.hide_half)
        if SED in to and not galaxies.sed_bands:
            galaxies = _with_bands(galaxies, _sed_names((), model.config))
        tokens = {m: t.to(model.device) for m, t in model.tokenizer(galaxies, waves).items()}
        tokens = drop_modalities(tokens, given)
        wanted = {m: ~tokens[m].valid for m in to}
        seeds = [(config.seed << 64) + (int(i) & (2**64 - 1)) for i in galaxies.object_id]
        completed = complete(model, tokens, wanted, temperature=config.temperature, seeds=seeds)
        seen = [b for m in model.config.images if m.name in given for b in m.bands if b in galaxies.images]
        images, masks = ({b: d[b] for b in seen} for d in (galaxies.images, galaxies.masks))
        yield (
            measured,
            replace(galaxies, images=images, masks=masks),
            to_physical(model.tokenizer, galaxies, completed, to),
        )
        done += len(galaxies)
        progress(done, len(rows))


def write(
    model: FoundationModel,
    store: GalaxyStore,
    config: GenerateConfig,
    out: str | Path,
    progress: Progress = silent,
    show: int = 8,
    overwrite: bool = False,
) -> tuple[GalaxyStore, list[Galaxies]]:
    """Generate modalities and write them as a store.

    Parameters
    ----------
    model : FoundationModel
    store : GalaxyStore
    config : GenerateConfig
    out : path
        Folder of the new store.
    progress : callable, optional
    show : int
        Number of galaxies to return for a figure.
    overwrite : bool
        Whether to replace an existing store.

    Returns
    -------
    GalaxyStore
        The new store.
    list of Galaxies
        The first galaxies as measured, given and made, see `generate`.

    Raises
    ------
    InputError
        If the store has no galaxies in the split.
    """
    to, _ = _names(model.config, config)
    bands = tuple(b for m in model.config.images if m.name in to for b in m.bands)
    sed = _sed_names(store.info.sed_names, model.config) if SED in to else ()
    info = StoreInfo(
        image_bands=bands,
        image_size=model.config.crop if bands else 0,
        pixel_arcsec=store.info.pixel_arcsec,
        uncalibrated=tuple(b for b in bands if b in model.config.uncalibrated),
        image_wavelengths_nm={b: nm for b, nm in model.config.image_wavelengths_nm.items() if b in bands},
        sed_bands=tuple(resolve_bands(sed, store.info.wavelengths_nm)),
        columns=_scalar_columns(store, model.config) if SCALARS in to else (),
        release=store.info.release,
        provenance={"generated_by": model.identity(), "from": str(store.path), "config": config},
    )
    first: list[tuple[Galaxies, Galaxies, Galaxies]] = []
    with StoreWriter(out, info, overwrite=overwrite) as writer:
        for batch in generate(model, store, config, progress):
            writer.add(batch[2])
            if sum(len(g) for g, *_ in first) < show:
                first.append(batch)
    if not first:
        msg = f"store {store.path} has no galaxies in split {config.split!r}: nothing to generate"
        raise InputError(msg)
    few = np.arange(show)
    shown = [Galaxies.concat([batch[i] for batch in first]) for i in range(3)]
    return GalaxyStore.open(out), [g.take(few[: len(g)]) for g in shown]


def _names(model: ModelConfig, config: GenerateConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the modalities to generate and to read, as the model spells them."""
    known = {m.lower(): m for m in model.modalities}
    for name in (*config.to, *config.given):
        if name.lower() not in known:
            msg = f"the model has no modality {name!r}; it has {', '.join(model.modalities)}"
            raise InputError(msg)
    to = tuple(known[m.lower()] for m in config.to)
    given = tuple(known[m.lower()] for m in config.given)
    if not to:
        msg = f"say what to generate: one or more of {', '.join(model.modalities)}"
        raise InputError(msg)
    if MEASURED in to:
        msg = f"{MEASURED} is measured on images; generate the images and measure these (euclidfm.measure)"
        raise InputError(msg)
    images = {m.name for m in model.images} & set(to)  # their measured numbers would give them away
    return to, given or tuple(m for m in model.modalities if m not in to and not (m == MEASURED and images))


def _scalar_columns(store: GalaxyStore, model: ModelConfig) -> tuple[Column, ...]:
    """Describe generated scalars. Their role is metadata, so that nobody takes them for labels."""
    units = {c.name: c.unit for c in store.info.columns}
    out = []
    for n in model.scalars:
        out += [
            Column(name=n, role="meta", unit=units.get(n, ""), description=f"{n}, generated where missing"),
            Column(
                name=f"{n}_err",
                role="meta",
                unit=units.get(n, ""),
                description="scale of the model's distribution",
            ),
        ]
    return tuple(out)


def _sed_names(have: tuple[str, ...], model: ModelConfig) -> tuple[str, ...]:
    """Return the SED bands to generate: those of the store, or else those of the training."""
    return have or tuple(b for b in model.sed_softening_ujy if b in BANDS)


def _with_bands(galaxies: Galaxies, names: tuple[str, ...]) -> Galaxies:
    """Add SED bands that hold no measurement."""
    empty = np.full((len(galaxies), len(names)), np.nan, np.float32)
    return replace(galaxies, sed_bands=names, flux=empty, fluxerr=empty.copy())
