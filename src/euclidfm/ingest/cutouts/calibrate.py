"""From the numbers of the files to the images of the store: unit, sky, noise, size and masks.

Shapes: n galaxies, P planes of a file, S side of the cutout in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.ingest.cutouts.block import Block, Reader, fitted
from euclidfm.ingest.cutouts.border import sky_and_noise
from euclidfm.ingest.cutouts.section import CutoutBand, CutoutSection

__all__ = ["Images", "calibrated", "rebinned"]


@dataclass
class Images:
    """Images of n galaxies as the store has them.

    Attributes
    ----------
    images, masks : dict of band to (n, S, S)
        µJy per pixel, or the files' own unit where uncalibrated; True = do not use.
    noise, sky : dict of band to (n,) float32
        Of a pixel, in the same unit. The sky is that of the border, before it is subtracted.
    edge : (n,) bool
        The cutout reaches beyond the image.
    """

    images: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    sky: dict[str, np.ndarray]
    edge: np.ndarray


def calibrated(
    block: Block,
    section: CutoutSection,
    bands: tuple[CutoutBand, ...],
    reader: Reader,
    size: int,
    rebin: int,
    empty: np.ndarray | None = None,
) -> Images:
    """Images of the store.

    Parameters
    ----------
    block : Block
    section : CutoutSection
    bands : tuple of CutoutBand
        Bands of the store, a choice of the section's.
    reader : Reader
        Which read the block.
    size : int
        S.
    rebin : int
        Pixels to join each way.
    empty : (n,) int64, optional
        Bit k is set where band k of the section has no coverage.
    """
    n = len(block.planes)
    out = Images({}, {}, {}, {}, np.zeros(n, bool))
    for b in bands:
        place = section.bands.index(b)
        image = _plane(block.planes, b, place)
        image = rebinned(_transferred(image, section, reader.full_scale), rebin, section)
        image = image * np.float32(section.to_ujy(b))
        if empty is not None:
            image[(empty >> place) & 1 == 1] = np.nan
        sky, noise = sky_and_noise(image)
        floor = reader.step / np.sqrt(12.0) / rebin if section.uncalibrated else 0.0
        noise = np.maximum(noise, floor)
        if section.sky == "subtract":
            image -= np.nan_to_num(sky).astype(np.float32)[:, None, None]
        cutout = fitted(image, (size, size))
        mask = ~np.isfinite(cutout)
        if block.rms is not None:
            noise = _mapped_noise(block.rms, b, place, section, size, rebin, mask)
        out.images[b.name] = np.where(mask, np.float32(0.0), cutout) if mask.any() else cutout
        out.masks[b.name] = mask
        out.noise[b.name] = np.where(noise > 0, noise, np.nan).astype(np.float32)
        out.sky[b.name] = sky.astype(np.float32)
    short = min(reader.shape) // rebin < size
    out.edge[:] = short
    return out


def _plane(planes: np.ndarray, b: CutoutBand, place: int) -> np.ndarray:
    """(n, ny, nx): the plane of a band, as it lies in `planes`, or their mean."""
    if b.plane == "mean":
        return np.asarray(planes.mean(axis=1))
    return planes[:, place if b.plane is None else int(b.plane)]


def _transferred(image: np.ndarray, section: CutoutSection, full_scale: float) -> np.ndarray:
    """Numbers that are linear in the light, with NaN for pixels without data.

    The transfer curve of sRGB is that of IEC 61966-2-1. It keeps 0 and the largest number where they are.
    """
    if section.blank is not None:
        image = np.where(image == np.float32(section.blank), np.float32(np.nan), image)
    if section.transfer == "linear":
        return image
    x = image / np.float32(full_scale)
    light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return np.asarray(light * np.float32(full_scale), np.float32)


def rebinned(image: np.ndarray, rebin: int, section: CutoutSection) -> np.ndarray:
    """Join pixels: the sum of fluxes, the mean of numbers without a unit; the rest at the edge is dropped.

    A pixel that one without data contributes to has no data.
    """
    if rebin == 1:
        return image
    ny, nx = (side // rebin * rebin for side in image.shape[-2:])
    y0, x0 = (image.shape[-2] - ny) // 2, (image.shape[-1] - nx) // 2
    image = image[..., y0 : y0 + ny, x0 : x0 + nx]
    rows = image[..., ::rebin, :].copy()
    for i in range(1, rebin):
        rows += image[..., i::rebin, :]
    total = rows[..., ::rebin].copy()
    for j in range(1, rebin):
        total += rows[..., j::rebin]
    if section.uncalibrated:
        total /= np.float32(rebin**2)
    return total


def _mapped_noise(
    rms: np.ndarray,
    b: CutoutBand,
    place: int,
    section: CutoutSection,
    size: int,
    rebin: int,
    mask: np.ndarray,
) -> np.ndarray:
    """Median RMS of the unmasked pixels, from the map; variances add up where pixels are joined."""
    variance = _plane(rms, b, place) ** 2
    share = np.float32(rebin**2 if section.uncalibrated else 1.0)
    level = np.sqrt(rebinned(variance, rebin, section) / share) * np.float32(section.to_ujy(b))
    level = np.where(mask, np.nan, fitted(level, (size, size))).reshape(len(rms), -1)
    out = np.full(len(rms), np.nan)
    some = np.isfinite(level).any(axis=1)
    out[some] = np.nanmedian(level[some], axis=1)
    return out
