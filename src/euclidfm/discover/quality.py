"""Measurements on the cutouts that separate bad data from unusual galaxies.

A galaxy is at least as wide as the PSF and appears in every band that is deep enough. A cosmic ray or
a hot pixel is sharper than the PSF and appears in one band only; a ghost or a satellite trail appears
in one instrument only.
"""

from __future__ import annotations

import numpy as np

from euclidfm.core.progress import Progress, silent
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["QUALITY", "image_quality", "store_quality"]

QUALITY = ("masked", "masked_core", "sharpness", "vis_only", "elongation", "off_centre")
"""Names of the numbers of `image_quality`:

masked, masked_core : share of masked pixels (over the bands of the galaxy), in the cutout and
    in its central fifth;
sharpness : share of the light of the central 5 x 5 VIS pixels that is in the brightest one;
vis_only : log10 of the signal-to-noise ratio in VIS over that in Y + J + H;
elongation : 1 - axis ratio of the light's second moments in VIS;
off_centre : distance of the light's centroid from the centre, in half cutouts.
"""

_CLIP = 5.0


def image_quality(galaxies: Galaxies) -> np.ndarray:
    """The numbers of `QUALITY` for each galaxy, (N, 6) float32; NaN where not measurable."""
    n = len(galaxies)
    out = np.full((n, len(QUALITY)), np.nan, np.float32)
    bands = list(galaxies.images)
    if not bands or n == 0:
        return out
    here = np.stack([galaxies.has_image(b) for b in bands])  # (B, N)
    masked = np.stack([galaxies.masks[b].mean(axis=(1, 2)) for b in bands])
    side = galaxies.masks[bands[0]].shape[1]
    core = slice(side * 2 // 5, max(side * 3 // 5, side * 2 // 5 + 1))
    masked_core = np.stack([galaxies.masks[b][:, core, core].mean(axis=(1, 2)) for b in bands])
    count = np.maximum(here.sum(axis=0), 1)
    seen = here.any(axis=0)
    out[seen, 0] = ((masked * here).sum(axis=0) / count)[seen]
    out[seen, 1] = ((masked_core * here).sum(axis=0) / count)[seen]
    signal = {b: _signal_to_noise(galaxies, b, core) for b in bands}
    infrared = [signal[b] for b in ("Y", "J", "H") if b in signal]
    if "VIS" in signal:
        vis = galaxies.images["VIS"].astype(np.float64)
        ok = galaxies.has_image("VIS")
        out[ok, 2] = _sharpness(vis, side)[ok]
        if infrared:
            known = np.stack([np.isfinite(s) for s in infrared]).any(axis=0)
            total = np.sqrt(np.nansum(np.square(np.maximum(infrared, 0)), axis=0))
            ratio = np.log10(np.maximum(signal["VIS"], 1.0) / np.maximum(total, 1.0))
            out[known & ok, 3] = ratio[known & ok]
        elongation, off_centre = _moments(vis, galaxies.noise["VIS"], side)
        out[ok, 4], out[ok, 5] = elongation[ok], off_centre[ok]
    return out


def store_quality(
    store: GalaxyStore, rows: np.ndarray | None = None, progress: Progress = silent
) -> np.ndarray:
    """`image_quality` of rows of a store (default all), read in batches: (M, 6) float32."""
    wanted = store.rows() if rows is None else np.asarray(rows, np.int64)
    order = np.argsort(wanted, kind="stable")
    out = np.empty((len(wanted), len(QUALITY)), np.float32)
    done = 0
    for galaxies in store.batches(wanted):
        out[order[done : done + len(galaxies)]] = image_quality(galaxies)
        done += len(galaxies)
        progress(done, len(wanted))
    return out


def _signal_to_noise(galaxies: Galaxies, band: str, core: slice) -> np.ndarray:
    """Signal-to-noise ratio of the flux in the central fifth; the noise is that of the sky."""
    pixels = galaxies.images[band][:, core, core].astype(np.float64)
    noise = np.where(galaxies.has_image(band), galaxies.noise[band], np.nan)
    return np.asarray(pixels.sum(axis=(1, 2)) / (noise * np.sqrt(pixels[0].size)))


def _sharpness(vis: np.ndarray, side: int) -> np.ndarray:
    middle = vis[:, side // 2 - 3 : side // 2 + 3, side // 2 - 3 : side // 2 + 3]
    peak = middle.max(axis=(1, 2))
    total = np.maximum(middle, 0).sum(axis=(1, 2))
    return np.asarray(peak / np.maximum(total, 1e-12))


def _moments(vis: np.ndarray, noise: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Elongation and offset of the light above 5 sigma."""
    level = np.where(np.isfinite(noise), noise, 0.0)[:, None, None] * _CLIP
    light = np.where(vis > level, vis, 0.0)
    total = np.maximum(light.sum(axis=(1, 2)), 1e-12)
    at = np.arange(side) - (side - 1) / 2
    x = light.sum(axis=1) @ at / total
    y = light.sum(axis=2) @ at / total
    xx = light.sum(axis=1) @ at**2 / total - x**2 + 1 / 12
    yy = light.sum(axis=2) @ at**2 / total - y**2 + 1 / 12
    xy = np.einsum("nij,i,j->n", light, at, at) / total - x * y
    spread = np.sqrt(np.maximum((xx - yy) ** 2 / 4 + xy**2, 0))
    short, long = (xx + yy) / 2 - spread, (xx + yy) / 2 + spread
    ratio = np.sqrt(np.clip(short, 1e-12, None) / np.clip(long, 1e-12, None))
    empty = light.sum(axis=(1, 2)) <= 0
    elongation = np.where(empty, np.nan, 1 - ratio)
    return elongation, np.where(empty, np.nan, np.hypot(x, y) / (side / 2))
