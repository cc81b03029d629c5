"""One tile: everything drawn into four mosaics, with noise, and every source measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from euclidfm.core.bands import BANDS, EUCLID_BANDS, SED_BANDS
from euclidfm.core.units import abmag_from_ujy, ujy_from_abmag
from euclidfm.simulate import artefacts, field
from euclidfm.simulate.artefacts import FLAG_BITS, Stamp
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.field import Maps
from euclidfm.simulate.measure import measure
from euclidfm.simulate.population.galaxies import draw_galaxies
from euclidfm.simulate.population.point_sources import draw_quasars, draw_stars
from euclidfm.simulate.render import Component, Psf, render, stamp_size
from euclidfm.simulate.shapes import components

__all__ = ["Source", "Tile", "make_tile"]

IMAGED = [SED_BANDS.index(b) for b in EUCLID_BANDS]
"""Places of the imaged bands among the SED's (the same in all presets)."""

FAINT = np.array([0.15 * BANDS[b].pixel_rms_ujy for b in EUCLID_BANDS])
"""Surface brightness, µJy per pixel, at which stamps end: well below the noise."""

SATURATION_MAG = 18.0
"""VIS magnitude of a star whose central pixel is full (Euclid Collaboration: Cropper et al. 2025)."""

MEASURED_SIZE = 200
"""Largest side, in pixels, on which a source is measured."""

TRUTH = (
    "z",
    "log_mass",
    "log_sfr",
    "re_arcsec",
    "axis_ratio",
    "position_angle",
    "sersic_index",
    "bulge_fraction",
    "teff",
)
"""Properties that the truth table keeps."""


@dataclass
class Source:
    """A catalogued source and what is true of it.

    Attributes
    ----------
    x, y : float
        Position in the mosaic, pixels from zero.
    kind, subtype : str
    blended : bool
        Put on another source's outskirts.
    flux : array
        True total flux in the SED bands, µJy.
    truth : dict
        Physical properties.
    measured : dict
        Catalogue columns measured on the VIS stamp.
    seed : SeedSequence
        For what is still to be drawn (photometric noise, votes).
    """

    x: float
    y: float
    kind: str
    subtype: str
    blended: bool
    flux: np.ndarray
    truth: dict[str, float]
    measured: dict[str, float]
    seed: np.random.SeedSequence


@dataclass
class Tile:
    """Mosaics of a tile and its sources.

    Attributes
    ----------
    index : int
    image, rms, flag : dict of arrays by band
        µJy per pixel; `field.NO_DATA` in `rms` marks pixels without data.
    sources : list of Source
    """

    index: int
    image: Maps
    rms: Maps
    flag: Maps
    sources: list[Source]


def make_tile(cfg: SkyConfig, index: int) -> Tile:
    """Simulate tile `index`; depends on nothing but the configuration and the index."""
    size = cfg.tile_pixels
    root = np.random.SeedSequence(cfg.seed, spawn_key=(index,))
    tile_seed, noise_seed, objects_seed = root.spawn(3)
    rng = np.random.default_rng(tile_seed)
    content = _content(cfg, cfg.tile_objects(index), rng)
    reach = np.array([min(15 * float(p.get("re_arcsec", 0.4)), 60.0) for _, _, p in content])
    places, blended = _positions(cfg, size, reach, rng)
    slope = rng.uniform(-1, 1, 4)
    gx, gy = rng.uniform(60, 110) * np.array([np.cos(turn := rng.uniform(0, 2 * np.pi)), np.sin(turn)])
    noise, rms = field.draw_noise(cfg, size, np.random.default_rng(noise_seed))
    image = {b: np.zeros((size, size), np.float32) for b in EUCLID_BANDS}
    flag = {b: np.zeros((size, size), np.int32) for b in EUCLID_BANDS}
    sources = []
    seeds = objects_seed.spawn(len(content))
    for (kind, subtype, p), (x, y), seed, mixed in zip(content, places.tolist(), seeds, blended, strict=True):
        shape_seed, later = seed.spawn(2)
        psfs = field.draw_psfs(cfg, x, y, size, slope)
        stamp, flux, subtype = _draw(kind, subtype, p, psfs, (x, y), np.random.default_rng(shape_seed))
        _add(image, flag, stamp, x, y)
        if subtype == "saturated_star":
            _add(
                image,
                flag,
                artefacts.star_ghost(flux[IMAGED], np.random.default_rng(later.spawn(1)[0])),
                x + gx,
                y + gy,
            )
        measured = _measure(stamp, noise["VIS"], rms["VIS"], x, y, psfs[0].fwhm)
        truth = {str(k): float(p[k]) for k in TRUTH if k in p}
        sources.append(Source(x, y, kind, subtype, bool(mixed), flux, truth, measured, later))
    _litter(image, flag, size, rng)
    field.add_noise(image, noise, rms)
    field.lose_pixels(image, rms, flag, rng)
    return Tile(index, image, rms, flag, sources)


def _content(cfg: SkyConfig, n: int, rng: np.random.Generator) -> list[tuple[str, str, dict[str, Any]]]:
    """Kind, subtype and properties of every source of the tile."""
    shares = (cfg.star_fraction, cfg.quasar_fraction, cfg.artefact_fraction)
    n_star, n_quasar, n_artefact = (int(np.floor(n * f + rng.random())) for f in shares)
    n_galaxy = max(0, n - n_star - n_quasar - n_artefact)
    out: list[tuple[str, str, dict[str, Any]]] = []
    if n_galaxy:
        table = draw_galaxies(cfg, n_galaxy, rng)
        rows = ({k: v[i] for k, v in table.items()} for i in range(n_galaxy))
        out += [("galaxy", str(row["subtype"]), row) for row in rows]
    draws: tuple[tuple[str, int, Callable[..., Any]], ...] = (
        ("star", n_star, draw_stars),
        ("quasar", n_quasar, draw_quasars),
    )
    for kind, count, draw in draws:
        if count:
            table = draw(cfg, count, rng)
            out += [(kind, kind, {k: v[i] for k, v in table.items()}) for i in range(count)]
    names = list(artefacts.ARTEFACTS)
    share = np.array([artefacts.ARTEFACTS[k][0] for k in names])
    out += [("artefact", str(k), {}) for k in rng.choice(names, n_artefact, p=share / share.sum())]
    return out[:n]


def _positions(
    cfg: SkyConfig, size: int, reach: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the sources: random, but rarely closer than they are large (deblending's limit).

    A share of them is then moved onto the outskirts of another: blends.
    """
    n = len(reach)
    out, placed, radii = np.empty((n, 2)), np.empty((n, 2)), np.empty(n)
    order = np.argsort(-reach, kind="stable")
    for k, i in enumerate(order):
        for _ in range(40):
            p = rng.uniform(8, size - 8, 2)
            d = placed[:k] - p
            if np.all(d[:, 0] ** 2 + d[:, 1] ** 2 > (radii[:k] + reach[i] + 4) ** 2):
                break
        placed[k], radii[k], out[i] = p, reach[i], p
    blended = np.zeros(n, bool)
    if n > 1:
        for i in np.flatnonzero(rng.random(n) < cfg.blend_fraction):
            j, turn = int(rng.integers(n)), rng.uniform(0, 2 * np.pi)
            if j != i and not blended[j]:
                away = rng.uniform(0.5, 1.0) * (reach[i] + reach[j]) / 2 + 3
                out[i] = np.clip(out[j] + away * np.array([np.cos(turn), np.sin(turn)]), 8, size - 8)
                blended[i] = True
    return out, blended


def _draw(
    kind: str,
    subtype: str,
    p: dict[str, Any],
    psfs: list[Psf],
    place: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[Stamp, np.ndarray, str]:
    """Stamp, true fluxes and final subtype of one source."""
    dx, dy = (float(v - np.floor(v + 0.5)) for v in place)
    if kind == "artefact":
        stamp = artefacts.draw_artefact(subtype, rng)
        c = stamp.image.shape[-1] // 2
        flux = np.zeros(len(SED_BANDS))
        flux[IMAGED] = stamp.image[:, c - 15 : c + 15, c - 15 : c + 15].sum((1, 2))
        return stamp, flux, subtype
    smallest = 48
    if kind == "galaxy":
        parts = components(subtype, p, p["bulge_flux"], p["disc_flux"], rng)
    else:
        parts = [Component(flux=np.asarray(p["flux"]))]
        mag = float(abmag_from_ujy(p["flux"][IMAGED[0]]))
        smallest = 64 if mag > 20 else 128 if mag > SATURATION_MAG else 256
        if kind == "quasar" and p["host_flux"].sum() > 0:
            parts.append(
                Component(
                    flux=p["host_flux"],
                    re=float(p["re_arcsec"]),
                    index=2.5,
                    axis_ratio=float(p["axis_ratio"]),
                    angle=float(np.radians(p["position_angle"])),
                )
            )
    flux = np.sum([c.flux for c in parts], axis=0)
    imaged = [Component(**{**vars(c), "flux": c.flux[IMAGED]}) for c in parts]
    size = stamp_size(imaged, FAINT, smallest)
    image = render(imaged, psfs, size, dx, dy)
    flag = np.zeros(image.shape, np.int32)
    if kind == "star" and smallest == 256:
        subtype = "saturated_star"
        image += artefacts.spikes(rng, flux[IMAGED], size)
        full = np.float32(ujy_from_abmag(SATURATION_MAG) * 0.16)
        over = image[0] > full
        image[0][over] = full
        flag[0][over] |= FLAG_BITS["saturated"]
    return Stamp(image, flag), flux, subtype


def _overlap(
    shape: tuple[int, int], n: int, x: float, y: float
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of a mosaic and of a stamp of side `n` centred on (x, y) that cover each other."""
    x0, y0 = int(np.floor(x + 0.5)) - n // 2, int(np.floor(y + 0.5)) - n // 2
    xs, xe, ys, ye = max(0, -x0), min(n, shape[1] - x0), max(0, -y0), min(n, shape[0] - y0)
    xe, ye = max(xs, xe), max(ys, ye)
    return (slice(y0 + ys, y0 + ye), slice(x0 + xs, x0 + xe)), (slice(ys, ye), slice(xs, xe))


def _add(image: Maps, flag: Maps, stamp: Stamp, x: float, y: float) -> None:
    there, here = _overlap(image["VIS"].shape, stamp.image.shape[-1], x, y)
    for k, b in enumerate(EUCLID_BANDS):
        image[b][there] += stamp.image[k][here]
        flag[b][there] |= stamp.flag[k][here]


def _measure(
    stamp: Stamp, noise: np.ndarray, rms: np.ndarray, x: float, y: float, fwhm: float
) -> dict[str, float]:
    """Measure a source on its own light plus the noise of its place."""
    n = min(stamp.image.shape[-1], MEASURED_SIZE)
    first = (stamp.image.shape[-1] - n) // 2
    own = stamp.image[0, first : first + n, first : first + n].copy()
    there, here = _overlap(noise.shape, n, x, y)
    own[here] += noise[there] * rms[there]
    centre = rms[min(int(y + 0.5), len(rms) - 1), min(int(x + 0.5), len(rms) - 1)]
    return measure(own, float(centre) * BANDS["VIS"].noise_correlation, fwhm)


def _litter(image: Maps, flag: Maps, size: int, rng: np.random.Generator) -> None:
    """Artefacts that nobody catalogued: 1 per 2 square arcminutes, and at times a trail right across."""
    names = [k for k in artefacts.ARTEFACTS if k != "satellite_trail"]
    for name in rng.choice(names, rng.poisson(size**2 / 360000 / 2)):
        x, y = rng.uniform(0, size, 2)
        _add(image, flag, artefacts.draw_artefact(str(name), rng), x, y)
    if rng.random() < 0.3:
        image["VIS"] += artefacts.long_trail(size, rng)
