"""From cutouts to measured numbers.

Shapes: N galaxies, S pixels a side, P numbers a galaxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from euclidfm.core.progress import Progress, silent
from euclidfm.measure.apertures import aperture_fluxes, fill_mirrored
from euclidfm.measure.numbers import RADII_PX, SHAPES, Measurements, sharpest
from euclidfm.measure.profile import profiles
from euclidfm.measure.segments import border_pixels, segment, sky_scatter
from euclidfm.measure.shape import asymmetry, centroids, ellipticity, gini_and_m20
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["measure", "measure_store"]

CHUNK = 128
"""Galaxies at a time: their arrays stay in the processor's caches."""


def measure(
    galaxies: Galaxies,
    bands: Sequence[str] | None = None,
    *,
    crop: int = 0,
    uncalibrated: Sequence[str] = (),
    draws: int = 0,
    seed: int = 0,
) -> Measurements:
    """Measure the cutouts of galaxies.

    The zero level of a band that is not in µJy is not known: the median of its border is subtracted.
    Fluxes are those in circles around the middle of the cutout, in each band. Shapes are those of the
    sharpest band. Sources are found in the sharpest band that a galaxy has. Pixels of neighbours and masked
    ones are filled by those opposite the centre.

    Parameters
    ----------
    galaxies : Galaxies
        In any unit, with any bands.
    bands : sequence of str, optional
        Bands to measure; default those of the images. One that the galaxies lack gives NaN.
    crop : int
        Side of the central part of the cutouts that is read, pixels; 0 for all.
    uncalibrated : sequence of str
        Bands that are not in µJy.
    draws : int
        Shapes get errors if this is at least 2: the scatter over so many copies with the noise added again.
    seed : int
        Of these copies.

    Returns
    -------
    Measurements
        NaN where a number can't be measured, never 0.
    """
    bands = tuple(galaxies.images if bands is None else bands)
    parts = []
    for start in range(0, max(len(galaxies), 1), CHUNK):
        chunk = galaxies.take(np.arange(start, min(start + CHUNK, len(galaxies))))
        cutouts = _levelled(_cropped(chunk, crop), uncalibrated)
        values, errors = _measure(cutouts, bands)
        if draws >= 2 and bands:
            rng = np.random.default_rng([seed, start])
            again = [_measure(_noisy(cutouts, rng), bands)[0] for _ in range(draws)]
            shapes = np.stack(again)[:, :, -len(SHAPES) :]
            errors[:, -len(SHAPES) :] = shapes.std(axis=0, ddof=1)
        parts.append(Measurements(chunk.object_id, bands, values, errors, tuple(uncalibrated)))
    return Measurements.concat(parts)


def measure_store(
    store: GalaxyStore,
    rows: np.ndarray | None = None,
    bands: Sequence[str] | None = None,
    *,
    crop: int = 0,
    progress: Progress = silent,
) -> Measurements:
    """`measure` of rows of a store (default all) in their order, read in batches at constant memory."""
    wanted = store.rows() if rows is None else np.asarray(rows, np.int64)
    bands = tuple(store.info.image_bands if bands is None else bands)
    have = tuple(b for b in bands if b in store.info.image_bands)
    uncalibrated = store.info.uncalibrated
    parts, done = [], 0
    for galaxies in store.batches(wanted, bands=have):
        parts.append(measure(galaxies, bands, crop=crop, uncalibrated=uncalibrated))
        done += len(galaxies)
        progress(done, len(wanted))
    parts = parts or [measure(store.read([], have), bands, uncalibrated=uncalibrated)]
    return Measurements.concat(parts).take(np.argsort(np.argsort(wanted, kind="stable")))


def _measure(galaxies: Galaxies, bands: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(N, P) values and errors, in the order of `Measurements.names`."""
    n, have = len(galaxies), [b for b in bands if b in galaxies.images]
    if not bands:
        return np.empty((n, 0)), np.empty((n, 0))
    flux = np.full((n, len(RADII_PX), len(bands)), np.nan)
    error, shapes = flux.copy(), np.full((n, len(SHAPES)), np.nan)
    if have and n:
        images, masks, noise = _planes(galaxies, have)
        own, others = _sources(images, masks, noise, have)
        for b in have:
            filled, copied, holes = fill_mirrored(images[b], masks[b] | others)
            here = ~masks[b].all(axis=(1, 2))
            f, e = aperture_fluxes(filled, copied, holes, noise[b], RADII_PX)
            flux[here, :, bands.index(b)], error[here, :, bands.index(b)] = f[here], e[here]
            if b == sharpest(bands):
                usable = ~masks[b] & ~others
                shapes = _shapes(filled, holes, usable, own, noise[b])
                shapes[~here] = np.nan
    flat = n, len(RADII_PX) * len(bands)
    values = np.concatenate([flux.reshape(flat), shapes], axis=1)
    return values, np.concatenate([error.reshape(flat), np.full(shapes.shape, np.nan)], axis=1)


def _planes(galaxies: Galaxies, bands: Sequence[str]) -> tuple[dict[str, np.ndarray], ...]:
    """Images, masks and noise by band; the noise of the border where the galaxy's own is not known."""
    images, masks, noise = {}, {}, {}
    for b in bands:
        masks[b] = galaxies.masks[b] | ~np.isfinite(galaxies.images[b])
        images[b] = np.where(masks[b], np.float32(0), galaxies.images[b])
        own = galaxies.noise[b].astype(np.float64)
        known = np.isfinite(own) & (own > 0)
        noise[b] = own if known.all() else np.where(known, own, sky_scatter(images[b], masks[b]))
    return images, masks, noise


def _sources(
    images: dict[str, np.ndarray],
    masks: dict[str, np.ndarray],
    noise: dict[str, np.ndarray],
    bands: list[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Segments of galaxy and neighbours in the sharpest band that each galaxy has."""
    first = sharpest(bands)
    order = [first, *(b for b in bands if b != first)]
    image, mask, rms = images[first].copy(), masks[first].copy(), noise[first].copy()
    missing = mask.all(axis=(1, 2))
    for b in order[1:]:
        take = missing & ~masks[b].all(axis=(1, 2))
        image[take], mask[take], rms[take] = images[b][take], masks[b][take], noise[b][take]
        missing &= ~take
    return segment(image, mask, rms)


def _shapes(
    filled: np.ndarray, holes: np.ndarray, usable: np.ndarray, own: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """(N, 6) the numbers of `SHAPES`; NaN without a source in the middle, or with a hole in it."""
    x, y = centroids(filled, own)
    p = profiles(filled, x, y)
    grid = np.arange(filled.shape[-1])
    away = np.hypot(grid - x[:, None, None], grid[:, None] - y[:, None, None])
    clear = ~(holes & (away <= p.total_radius[:, None, None])).any(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        concentration = 5.0 * np.log10(p.r80 / p.r20)
    asymmetric = asymmetry(filled, usable, usable & ~own, noise, x, y, p.total_radius)
    gini, m20 = gini_and_m20(filled, ~holes, x, y, p.petrosian, p.flux_within)
    numbers = [p.r50, ellipticity(filled, own), concentration, asymmetric, gini, m20]
    return np.where(clear[:, None], np.stack(numbers, axis=1), np.nan)


def _cropped(galaxies: Galaxies, crop: int) -> Galaxies:
    """The central `crop` pixels each way, if the cutouts are larger."""
    if not crop or not galaxies.images:
        return galaxies
    edge = max((next(iter(galaxies.images.values())).shape[-1] - crop) // 2, 0)
    if not edge:
        return galaxies
    inside = (slice(None), slice(edge, edge + crop), slice(edge, edge + crop))
    images, masks = ({b: a[inside] for b, a in d.items()} for d in (galaxies.images, galaxies.masks))
    return replace(galaxies, images=images, masks=masks)


def _levelled(galaxies: Galaxies, bands: Sequence[str]) -> Galaxies:
    """The median of the border subtracted in some bands; of a galaxy whose border is masked, nothing."""
    images = dict(galaxies.images)
    for b in (b for b in bands if b in images and len(galaxies)):
        border = border_pixels(images[b], galaxies.masks[b])
        known = np.isfinite(border).any(axis=1)
        level = np.zeros(len(border), np.float32)
        level[known] = np.nanmedian(border[known], axis=1)
        images[b] = np.where(galaxies.masks[b], images[b], images[b] - level[:, None, None])
    return replace(galaxies, images=images)


def _noisy(galaxies: Galaxies, rng: np.random.Generator) -> Galaxies:
    """A copy with the noise of each band added once more."""
    images = {
        b: image
        + rng.standard_normal(image.shape, np.float32) * np.nan_to_num(galaxies.noise[b])[:, None, None]
        for b, image in galaxies.images.items()
    }
    return replace(galaxies, images=images)
