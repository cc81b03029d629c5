"""Scaling of fluxes and scalars to numbers near one, fitted on the training split of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from euclidfm.core.bands import PIXEL_ARCSEC, Band
from euclidfm.core.errors import InputError
from euclidfm.measure import measured_names
from euclidfm.model.config import MEASURED, SCALARS, SED, ImageModality, ModelConfig
from euclidfm.model.measured import fit_measured
from euclidfm.model.readout import sed_summary
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["UNKNOWN_NOISE_UJY", "check_images", "fit_scaling", "scaled_scalars"]

UNKNOWN_NOISE_UJY = 0.01
"""Noise of a pixel in a band without any."""


def fit_scaling(config: ModelConfig, store: GalaxyStore, rows: np.ndarray) -> ModelConfig:
    """Fit the scaling on (training) rows of a store, and drop the modalities that the store lacks.

    Parameters
    ----------
    config : ModelConfig
    store : GalaxyStore
    rows : array of int
        Rows to fit on; use the training split.

    Returns
    -------
    ModelConfig
        With the modalities that the store has, and the fitted fields filled in.

    Raises
    ------
    InputError
        If the store has none of the model's modalities, lacks a scalar, or its cutouts are too small.
    """
    images, sed = _modalities_of(config, store)
    if images and not sed and config.image_encoder and not config.measured:
        config = replace(config, measured=config.image_bands)
    config = fit_measured(config, store, rows)
    keep = {*(m.name for m in images), *((SED,) if sed else ()), *(v.name for v in config.vectors)}
    keep |= ({SCALARS} if config.scalars else set()) | ({MEASURED} if config.measured else set())
    center, spread = _fit_scalars(config.scalars, store, rows)
    index = store.index.take(rows)
    bands = {b for m in images for b in m.bands if b in store.info.image_bands}
    softening, mean, width = _fit_sed(index, store.info.sed_names if sed else ())
    readout: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    if images and config.image_encoder and sed:
        readout = _fit_readout(index, store.info.sed_bands, softening, mean, max(width, 1e-3))
    elif images and config.image_encoder and config.measured:
        count = len(measured_names(config.measured))  # they are standardised already
        readout = (0.0,) * count, (1.0,) * count
    return replace(
        config,
        images=images,
        sed=sed,
        order=tuple(n for n in config.order if n in keep),
        pixel_arcsec=_pixel_scale(store),
        image_wavelengths_nm={b: nm for b, nm in store.info.image_wavelengths_nm.items() if b in bands},
        uncalibrated=tuple(b for b in store.info.uncalibrated if b in bands),
        pixel_noise_ujy={b: _median(index, f"noise_{b}", UNKNOWN_NOISE_UJY) for b in sorted(bands)},
        sed_softening_ujy=softening,
        sed_center=mean,
        sed_spread=max(width, 1e-3),
        scalar_center=center,
        scalar_spread=spread,
        readout_center=readout[0],
        readout_spread=readout[1],
    )


def _pixel_scale(store: GalaxyStore) -> float:
    """Pixel scale in arcsec; that of the MER mosaics where the store does not know it."""
    known = store.info.pixel_arcsec
    return known if np.isfinite(known) else PIXEL_ARCSEC


def check_images(config: ModelConfig, store: GalaxyStore, bands: Sequence[str]) -> None:
    """Check that a model can read the images of a store.

    Parameters
    ----------
    config : ModelConfig
    store : GalaxyStore
    bands : sequence of str
        Bands that the model reads, which the store has.

    Raises
    ------
    InputError
        If the cutouts are too small, or a band is in µJy on one side and uncalibrated on the other.
    """
    info = store.info
    if bands and info.image_size < config.crop:
        msg = f"cutouts of {store.path} are {info.image_size} px, the model needs {config.crop}"
        raise InputError(msg)
    learned = {*config.uncalibrated, *config.measured_uncalibrated}
    for b in bands:
        if (b in learned) != (b in info.uncalibrated):
            sides = "is uncalibrated and the model learned it in µJy"
            if b in learned:
                sides = "is in µJy and the model learned it uncalibrated"
            msg = (
                f"band {b} of store {store.path} {sides}; ingest it again with the other unit in the recipe, "
                "or pre-train a model on this store"
            )
            raise InputError(msg)


def _modalities_of(config: ModelConfig, store: GalaxyStore) -> tuple[tuple[ImageModality, ...], bool]:
    """Image modalities that the store has, and whether it has SEDs."""
    info = store.info
    images = tuple(m for m in config.images if any(b in info.image_bands for b in m.bands))
    sed = config.sed and bool(info.sed_bands)
    measured = any(b in info.image_bands for b in config.measured)
    if not (images or sed or config.scalars or measured):
        have = ", ".join(info.image_bands) or "no images"
        msg = f"store {store.path} has {have} and no SED: none of the modalities {config.modalities}"
        raise InputError(msg)
    if images and info.image_size < config.crop:
        msg = (
            f"cutouts of store {store.path} are {info.image_size} px, the model wants {config.crop}; "
            f"ingest with size {config.crop} or more, or set crop to at most {info.image_size}"
        )
        raise InputError(msg)
    return images, sed


def _fit_sed(index: pa.Table, names: Sequence[str]) -> tuple[dict[str, float], float, float]:
    """Softening of each band in µJy, and mean and standard deviation of the asinh fluxes."""
    softening, values = {}, []
    for name in names:
        flux = np.asarray(index.column(f"flux_{name}"), float)
        fallback = 0.05 * float(np.nanmedian(np.abs(flux))) if np.isfinite(flux).any() else 0.05
        softening[name] = 0.5 * _median(index, f"fluxerr_{name}", fallback)
        values.append(np.arcsinh(flux / (2 * softening[name])) + np.log(softening[name]))
    known = np.concatenate(values) if values else np.zeros(1)
    known = known[np.isfinite(known)]
    mean = float(known.mean()) if len(known) else 0.0
    return softening, mean, float(known.std()) if len(known) > 1 else 1.0


def _fit_readout(
    index: pa.Table, bands: Sequence[Band], softening: Mapping[str, float], center: float, spread: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Median and standard deviation of the image encoder's targets, (K,) each."""
    flux = np.stack([np.asarray(index.column(f"flux_{b.name}"), float) for b in bands], axis=1)
    soft = np.array([softening[b.name] for b in bands])
    values = (np.arcsinh(flux / (2 * soft)) + np.log(soft) - center) / spread
    here = torch.from_numpy(np.isfinite(values))
    summary, known = sed_summary(
        torch.from_numpy(np.nan_to_num(values)), here, torch.tensor([b.wavelength_nm for b in bands])
    )
    targets = np.where(known.numpy(), summary.numpy(), np.nan)
    fitted = [t[np.isfinite(t)] for t in targets.T]
    medians = tuple(float(np.median(t)) if len(t) else 0.0 for t in fitted)
    return medians, tuple(float(max(t.std(), 1e-3)) if len(t) else 1.0 for t in fitted)


def _fit_scalars(
    names: Sequence[str], store: GalaxyStore, rows: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and standard deviation of columns over rows of a store."""
    center, spread = {}, {}
    for name in names:
        values = _numbers(name, store.column(name))[rows]
        if name in store.info.names("truth"):
            msg = f"column {name!r} is the truth of a mock sky, which no model may read: leave it out"
            raise InputError(msg)
        values = values[np.isfinite(values)]
        if not len(values):
            msg = f"column {name!r} of store {store.path} has no value in the training split: leave it out"
            raise InputError(msg)
        center[name] = float(values.mean())
        width = float(values.std())
        spread[name] = width if width > 1e-6 * max(abs(center[name]), 1e-12) else 1.0
    return center, spread


def scaled_scalars(config: ModelConfig, galaxies: Galaxies) -> np.ndarray:
    """Standardised scalars of a batch, (B, n); NaN where missing."""
    out = np.full((len(galaxies), len(config.scalars)), np.nan, np.float32)
    for i, name in enumerate(config.scalars):
        if name in galaxies.columns:
            values = _numbers(name, galaxies.columns[name])
            out[:, i] = (values - config.scalar_center.get(name, 0.0)) / config.scalar_spread.get(name, 1.0)
    out[~np.isfinite(out)] = np.nan
    return out


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    """A column of numbers as float64."""
    values = np.asarray(values)
    if values.dtype.kind not in "fiub":
        msg = f"column {name!r} holds {values.dtype} and not numbers, so it can't be a scalar: leave it out"
        raise InputError(msg)
    return values.astype(np.float64)


def _median(index: Any, name: str, fallback: float) -> float:
    values = np.asarray(index.column(name), float)
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if len(values) else fallback
