"""Cutouts as images: an asinh stretch of one band, a colour composite of three.

The stretch follows from the noise (black at -1 sigma, linear up to a few sigma) and from the
brightest pixels, so that faint and bright galaxies are both visible. Masked pixels are hatched in
grey.

Shapes: S side of a cutout in pixels. Pictures are (S, S, 3) uint8, first row at the bottom
of the sky (they are flipped when written, as mosaics are shown).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from euclidfm.store import Galaxies

__all__ = ["COMPOSITE", "composite", "contact_sheet", "data_uri", "grey", "heat_map", "pictures"]

COMPOSITE = ("H", "Y", "VIS")
"""Bands shown as red, green and blue."""

_BALANCE = {"H": 0.55, "J": 0.65, "Y": 0.75, "VIS": 1.6}
"""Factors that make a galaxy of mean colour (z about 0.5) come out white."""

_SATURATION = 0.8
"""Power of the ratio between the bands: below 1, colours are softened."""

_SOFTENING = 3.0
"""Sigma of the sky where the stretch turns from linear to logarithmic."""


def grey(
    image: np.ndarray,
    mask: np.ndarray,
    noise: float = float("nan"),
    *,
    stretch: float = 1.0,
    softening: float = _SOFTENING,
) -> np.ndarray:
    """One band with an asinh stretch.

    Parameters
    ----------
    image : (S, S) array, µJy per pixel
    mask : (S, S) bool
        True = do not use.
    noise : float
        RMS of a sky pixel, µJy; measured from the pixels if not known.
    stretch : float
        White is reached at the usual level divided by this: above 1 shows what is fainter.
    softening : float
        Sigma of the sky where the stretch turns from linear to logarithmic.
    """
    sigma = _sigma(image, mask, noise)
    shown = _asinh(image / sigma, _white(image, mask, sigma) / stretch, softening)
    return _hatched(np.repeat(shown[..., None], 3, axis=2), mask)


def composite(
    images: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    noise: Mapping[str, float],
    bands: tuple[str, str, str] = COMPOSITE,
    *,
    stretch: float = 1.0,
    softening: float = _SOFTENING,
) -> np.ndarray | None:
    """Three bands as red, green and blue, with the hue kept (after Lupton et al. 2004).

    The stretch acts on the mean of the three, and all three are scaled alike, so that a
    bright core keeps its colour. None if one of the bands has no usable pixel. `stretch`
    and `softening` are those of `grey`.
    """
    if any(b not in images or masks[b].all() for b in bands):
        return None
    layers = np.stack([images[b] * _BALANCE.get(b, 1.0) for b in bands], axis=-1)
    sigmas = [_sigma(images[b], masks[b], noise.get(b, np.nan)) * _BALANCE.get(b, 1.0) for b in bands]
    hidden = np.any([masks[b] for b in bands], axis=0)
    sigma = float(np.sqrt(np.sum(np.square(sigmas)))) / 3.0
    intensity = layers.mean(axis=-1)
    stretched = _asinh(intensity / sigma, _white(intensity, hidden, sigma) / stretch, softening)
    # Hue from pixels averaged 3 x 3, fading to grey where the signal is not above the noise.
    smooth = np.stack([_average(layers[..., i], hidden) for i in range(3)], axis=-1)
    mean = smooth.mean(axis=-1)
    hue = (np.maximum(smooth, 0) / np.maximum(mean, 1e-12)[..., None]) ** _SATURATION
    weight = np.clip(mean / sigma - 0.7, 0.0, 1.5)[..., None] / 1.5
    hue = hue / np.maximum(hue.max(axis=-1, keepdims=True), 1e-12)  # so that no channel saturates first
    shown = stretched[..., None] * (weight * hue + (1 - weight))
    return _hatched(shown, hidden)


def _average(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Mean of the usable pixels in 3 x 3 around each."""
    padded = np.pad(np.where(hidden, 0.0, image), 1)
    count = np.pad((~hidden).astype(float), 1)
    window = np.lib.stride_tricks.sliding_window_view
    total = window(padded, (3, 3)).sum(axis=(2, 3))
    return np.asarray(total / np.maximum(window(count, (3, 3)).sum(axis=(2, 3)), 1.0))


def pictures(galaxies: Galaxies, row: int, bands: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Pictures of one galaxy: each band that it has, and ``colour`` if H, Y and VIS are there."""
    images = {b: v[row] for b, v in galaxies.images.items()}
    masks = {b: v[row] for b, v in galaxies.masks.items()}
    noise = {b: float(v[row]) for b, v in galaxies.noise.items()}
    wanted = [b for b in (images if bands is None else bands) if b in images and not masks[b].all()]
    out = {b: grey(images[b], masks[b], noise[b]) for b in wanted}
    colour = composite(images, masks, noise)
    return out if colour is None else out | {"colour": colour}


def data_uri(picture: np.ndarray) -> str:
    """A picture as a PNG inside a page."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture[::-1]).save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def contact_sheet(
    galaxies: Galaxies,
    titles: Sequence[str],
    out_png: str | Path,
    columns: int = 4,
    inches: float = 1.1,
) -> None:
    """Write a PNG with the cutouts of some galaxies, all bands and the composite of each.

    Parameters
    ----------
    galaxies : Galaxies
        In the order shown.
    titles : sequence of str
        One a galaxy.
    out_png : path
    columns : int
        Galaxies a row of the sheet.
    inches : float
        Side of one cutout.
    """
    from matplotlib.figure import Figure

    shown = [pictures(galaxies, i) for i in range(len(galaxies))]
    names = [b for b in (*galaxies.images, "colour") if any(b in s for s in shown)] or ["none"]
    columns = max(1, min(columns, len(shown)))
    rows = -(-len(shown) // columns)
    fig = Figure(figsize=(columns * (len(names) * inches + 0.2), max(rows, 1) * (inches + 0.35)))
    outer = fig.add_gridspec(
        max(rows, 1), columns, left=0.01, right=0.99, top=0.97, bottom=0.01, wspace=0.06, hspace=0.3
    )
    for i, (have, title) in enumerate(zip(shown, titles, strict=True)):
        inner = outer[divmod(i, columns)].subgridspec(1, len(names), wspace=0.03)
        for j, name in enumerate(names):
            axis = fig.add_subplot(inner[j])
            axis.set_axis_off()
            if name in have:
                axis.imshow(have[name], origin="lower", interpolation="nearest")
                axis.text(0.04, 0.04, name, transform=axis.transAxes, fontsize=6, color="white")
            else:
                axis.text(0.5, 0.5, f"no {name}", transform=axis.transAxes, fontsize=6, ha="center")
            if j == 0:
                axis.set_title(title, fontsize=7, loc="left", pad=3)
    fig.savefig(out_png, dpi=150, facecolor="white")


def _sigma(image: np.ndarray, mask: np.ndarray, noise: float) -> float:
    if np.isfinite(noise) and noise > 0:
        return float(noise)
    pixels = image[~mask]
    if not pixels.size:
        return 1.0
    spread = 1.4826 * float(np.median(np.abs(pixels - np.median(pixels))))
    return spread or float(np.abs(pixels).max()) / 100.0 or 1.0


def _white(image: np.ndarray, mask: np.ndarray, sigma: float) -> float:
    """Level shown as white, in sigma: the brightest pixels, but never less than 10 sigma."""
    pixels = image[~mask]
    return max(10.0, float(np.percentile(pixels, 99.8)) / sigma) if pixels.size else 10.0


def _asinh(signal: np.ndarray, white: float, softening: float) -> np.ndarray:
    lowest = -np.arcsinh(1.0 / softening)
    top = np.arcsinh(white / softening)
    return np.asarray(np.clip((np.arcsinh(signal / softening) - lowest) / (top - lowest), 0.0, 1.0))


def _hatched(shown: np.ndarray, mask: np.ndarray) -> np.ndarray:
    picture = (255 * np.clip(np.nan_to_num(shown), 0, 1)).astype(np.uint8)
    diagonal = np.add.outer(np.arange(mask.shape[0]), np.arange(mask.shape[1]))
    picture[mask] = np.where(diagonal[mask] % 4 == 0, 150, 96)[:, None].astype(np.uint8)
    return picture


def heat_map(picture: np.ndarray, surprisal: np.ndarray) -> np.ndarray:
    """Overlay a map of surprisal on an image: red where the surprisal is largest.

    Parameters
    ----------
    picture : (S, S, 3) uint8
    surprisal : (T,) array
        Surprisal of each token, in raster order from the first row. The tokens tile the cutout in a
        square grid, so T must be a square number. NaN = no token.
    """
    side = int(np.sqrt(len(surprisal)))
    if side * side != len(surprisal):
        msg = f"{len(surprisal)} tokens do not tile a square cutout"
        raise ValueError(msg)
    grid = np.asarray(surprisal, float).reshape(side, side)
    low, high = np.nanpercentile(grid, [20, 99.5]) if np.isfinite(grid).any() else (0.0, 1.0)
    weight = np.nan_to_num(np.clip((grid - low) / max(high - low, 1e-12), 0, 1))
    pixel = np.arange(picture.shape[0]) * side // picture.shape[0]
    weight = 0.75 * np.take(np.take(weight, pixel, 0), pixel, 1)[..., None]
    return np.asarray(picture * (1 - weight) + np.array([230.0, 60.0, 20.0]) * weight).astype(np.uint8)
