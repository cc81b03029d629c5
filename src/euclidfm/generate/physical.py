"""Conversion of generated tokens to galaxies in physical units.

N is the number of galaxies, S the side of a cutout, and K the number of SED bands.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from euclidfm.generate.complete import Completed
from euclidfm.model.config import SCALARS, SED, ImageModality, ModelConfig
from euclidfm.model.patches import join_patches
from euclidfm.model.tokenizer import Tokenizer
from euclidfm.store import Galaxies

__all__ = ["crop_galaxies", "to_physical"]


def crop_galaxies(galaxies: Galaxies, model: ModelConfig, hide_half: bool) -> Galaxies:
    """Copy the centres of the cutouts. With `hide_half` the lower half of each copy is masked."""
    images, masks = {}, {}
    for b, image in galaxies.images.items():
        start = (image.shape[-1] - model.crop) // 2
        inside = slice(start, start + model.crop)
        images[b] = image[:, inside, inside]
        masks[b] = galaxies.masks[b][:, inside, inside].copy()
        if hide_half:
            masks[b][:, : model.crop // 2] = True
    return replace(galaxies, images=images, masks=masks)


def to_physical(tokenizer: Tokenizer, galaxies: Galaxies, done: Completed, to: tuple[str, ...]) -> Galaxies:
    """Convert tokens to µJy. Given tokens of a completed modality keep their measured values.

    Parameters
    ----------
    tokenizer : Tokenizer
    galaxies : Galaxies
        The measured galaxies.
    done : Completed
        Their tokens, given and generated.
    to : tuple of str
        Modalities to convert.

    Returns
    -------
    Galaxies
    """
    images: dict[str, np.ndarray] = {}
    masks: dict[str, np.ndarray] = {}
    noise: dict[str, np.ndarray] = {}
    for m in tokenizer.config.images:
        if m.name in to:
            _image(tokenizer, m, done, images, masks, noise)
    names = galaxies.sed_bands if SED in to else ()
    flux = np.full((len(galaxies), len(names)), np.nan, np.float32)
    error = flux.copy()
    if SED in to:
        _sed(tokenizer, galaxies, done, flux, error)
    return replace(
        galaxies,
        images=images,
        masks=masks,
        noise=noise,
        flux=flux,
        fluxerr=error,
        sed_bands=names,
        columns=_scalars(tokenizer, galaxies, done) if SCALARS in to else {},
    )


def _scalars(tokenizer: Tokenizer, galaxies: Galaxies, done: Completed) -> dict[str, np.ndarray]:
    """Convert scalars to their units. Given scalars keep their measured values and have no error."""
    value = done.tokens[SCALARS].target[..., 0].cpu().numpy()
    scale = done.scale[SCALARS][..., 0].cpu().numpy()
    made = done.made[SCALARS].cpu().numpy()
    out: dict[str, np.ndarray] = {}
    for i, name in enumerate(tokenizer.config.scalars):
        new = tokenizer.scalar_from_scaled(name, value[:, i])
        old = np.asarray(galaxies.columns.get(name, new), np.float64)
        out[name] = np.where(made[:, i], new, old)
        width = scale[:, i] * tokenizer.config.scalar_spread.get(name, 1.0)
        out[f"{name}_err"] = np.where(made[:, i], width, np.nan).astype(np.float64)
    return out


def _image(
    tokenizer: Tokenizer,
    m: ImageModality,
    done: Completed,
    images: dict[str, np.ndarray],
    masks: dict[str, np.ndarray],
    noise: dict[str, np.ndarray],
) -> None:
    t = done.tokens[m.name]
    order = tokenizer.patch_order(tokenizer.config.crop // m.patch)
    made = done.made[m.name][..., None]
    usable = (t.weight > 0) | made
    scaled, scale, good = (
        join_patches(v.float().cpu(), m.patch, order).numpy() for v in (t.target, done.scale[m.name], usable)
    )
    for c, b in enumerate(m.bands):
        unit = tokenizer.pixel_unit_ujy(b)
        masks[b] = good[:, c] < 0.5
        images[b] = np.where(masks[b], 0.0, tokenizer.pixels_to_ujy(b, scaled[:, c])).astype(np.float32)
        width = scale[:, c] * np.hypot(images[b], unit)  # d f = a s cosh(x) dx
        known = np.isfinite(width).any(axis=(1, 2))
        noise[b] = np.full(len(width), np.nan, np.float32)
        noise[b][known] = np.nanmedian(width[known], axis=(1, 2))


def _sed(
    tokenizer: Tokenizer, galaxies: Galaxies, done: Completed, flux: np.ndarray, error: np.ndarray
) -> None:
    value = done.tokens[SED].target[..., 0].cpu().numpy()
    scale = done.scale[SED][..., 0].cpu().numpy()
    made = done.made[SED].cpu().numpy()
    for k, b in enumerate(galaxies.sed_bands):
        flux[:, k] = np.where(made[:, k], tokenizer.sed_to_ujy(b, value[:, k]), galaxies.flux[:, k])
        soft = 2 * tokenizer.softening_ujy(b)
        width = scale[:, k] * tokenizer.config.sed_spread * np.hypot(flux[:, k], soft)
        error[:, k] = np.where(made[:, k], width, galaxies.fluxerr[:, k])
