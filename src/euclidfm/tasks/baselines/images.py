"""Cutouts of a store as network input: scaled fluxes, or images divided by their maximum.

Shapes: n galaxies, B bands, S pixels a side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from euclidfm.core.bands import BANDS
from euclidfm.store import GalaxyStore

__all__ = ["load_images"]


def load_images(
    store: GalaxyStore,
    rows: np.ndarray,
    bands: Sequence[str],
    *,
    size: int = 0,
    normalise: str = "asinh",
) -> np.ndarray:
    """Images as float16, masked pixels 0.

    Parameters
    ----------
    store : GalaxyStore
    rows : (n,) array of int
    bands : sequence of str
    size : int
        Central crop in pixels; 0 keeps the cutouts' size.
    normalise : {"asinh", "max"}
        ``asinh``: ``arcsinh(f / 3 sigma)`` with sigma the RMS of a pixel in the band, which keeps brightness
        and colours. It is that of the survey table in µJy, or else the median noise of the store's galaxies.
        ``max``: each image of each band divided by its own maximum, as in the reference's CNN, which removes
        them.

    Returns
    -------
    (n, B, S, S) float16 array
    """
    full = store.info.image_size
    size = size or full
    edge = (full - size) // 2
    out = np.zeros((len(rows), len(bands), size, size), np.float16)
    order = np.argsort(rows, kind="stable")
    for start in range(0, len(rows), 512):
        at = order[start : start + 512]
        galaxies = store.read(rows[at], bands)
        for j, b in enumerate(bands):
            image = galaxies.images[b][:, edge : edge + size, edge : edge + size]
            if normalise == "asinh":
                out[at, j] = np.arcsinh(image / (3.0 * _pixel_rms(store, b)))
            else:
                peak = image.max(axis=(1, 2), keepdims=True)
                out[at, j] = image / np.where(peak > 0, peak, 1.0)
    return out


def _pixel_rms(store: GalaxyStore, band: str) -> float:
    tabulated = band in BANDS and band not in store.info.uncalibrated
    known = BANDS[band].pixel_rms_ujy if tabulated else float("nan")
    if not np.isfinite(known):
        noise = store.column(f"noise_{band}").astype(float)
        noise = noise[np.isfinite(noise) & (noise > 0)]
        known = float(np.median(noise)) if len(noise) else 0.005
    return known
