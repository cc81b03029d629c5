"""Which pixels belong to the galaxy in the middle of a cutout, and which to its neighbours.

Shapes: N galaxies, S pixels a side.
"""

from __future__ import annotations

import numpy as np

__all__ = ["border_pixels", "segment", "sky_scatter"]

THRESHOLD = 1.5
"""Detection threshold in units of the noise, after matched filtering."""
LEAST_AREA = 5
"""Smallest number of pixels of a source."""
GROWTH = 2
"""Pixels by which neighbours are grown, since their wings reach below the threshold."""
MIDDLE = 2
"""The galaxy is the source with most pixels at most so far from the centre."""


def segment(images: np.ndarray, masks: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Segments of the galaxy in the middle and of all other sources, by the source extraction of ``sep``.

    Detection and deblending are those of Bertin & Arnouts (1996, A&AS 117, 393; Barbary 2016, JOSS 1, 58).

    Parameters
    ----------
    images : (N, S, S) float32
    masks : (N, S, S) bool
        True = do not use.
    noise : (N,)
        RMS of a pixel, in the unit of the images. Where it is not known nothing is detected.

    Returns
    -------
    own, others : (N, S, S) bool each
        `own` is empty where there is no source in the middle.
    """
    import sep

    own, others = np.zeros(images.shape, bool), np.zeros(images.shape, bool)
    side = images.shape[-1]
    sep.set_extract_pixstack(4 * side * side)  # enough for every pixel; the default costs a millisecond
    sep.set_sub_object_limit(side * side)
    middle = slice(max((side - 1) // 2 - MIDDLE, 0), side // 2 + MIDDLE + 1)
    for i in np.flatnonzero(np.isfinite(noise) & (noise > 0)):
        if masks[i].all():
            continue
        _, labels = sep.extract(
            np.ascontiguousarray(images[i], np.float32),
            THRESHOLD,
            err=float(noise[i]),
            mask=masks[i],
            minarea=LEAST_AREA,
            segmentation_map=True,
        )
        count = np.bincount(labels[middle, middle].ravel())
        count[0] = 0
        own[i] = (labels == count.argmax()) & (labels > 0)
        others[i] = (labels > 0) & ~own[i]
    return own, _grown(others, GROWTH) & ~own


def _grown(pixels: np.ndarray, by: int) -> np.ndarray:
    """Sets of pixels with those up to `by` steps (up, down, left, right) away."""
    for _ in range(by):
        wider = pixels.copy()
        wider[:, 1:] |= pixels[:, :-1]
        wider[:, :-1] |= pixels[:, 1:]
        wider[:, :, 1:] |= pixels[:, :, :-1]
        wider[:, :, :-1] |= pixels[:, :, 1:]
        pixels = wider
    return pixels


def border_pixels(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N, Q) pixels of a frame of a sixteenth of the side; NaN where masked."""
    width = max(images.shape[-1] // 16, 1)
    border = np.ones(images.shape[1:], bool)
    border[width:-width, width:-width] = False
    return np.where(masks[:, border], np.nan, images[:, border])


def sky_scatter(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N,) standard deviation of the border pixels, 1.4826 MAD; NaN where there is none or it is 0."""
    pixels = border_pixels(images, masks)
    out = np.full(len(images), np.nan)
    some = np.isfinite(pixels).any(axis=1)
    away = np.abs(pixels[some] - np.nanmedian(pixels[some], axis=1, keepdims=True))
    out[some] = 1.4826 * np.nanmedian(away, axis=1)
    return np.where(out > 0, out, np.nan)
