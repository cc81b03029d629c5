"""One tile: every source drawn into four mosaics, with noise, and measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from euclidfm.core.bands import BANDS, EUCLID_BANDS
from euclidfm.simulate.catalogue.measure import measure
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.images import noise as tile_noise
from euclidfm.simulate.images.artefacts import ARTEFACTS, draw_artefact, long_trail, star_ghost
from euclidfm.simulate.images.noise import Maps
from euclidfm.simulate.images.source import IMAGED, draw_source
from euclidfm.simulate.images.stamp import Stamp
from euclidfm.simulate.sources import draw_positions, draw_sources

__all__ = ["TRUTH", "Source", "Tile", "make_tile"]

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
"""Columns of the truth table besides identity, kind and fluxes."""


@dataclass
class Source:
    """A catalogued source, its true properties and its measurements.

    Attributes
    ----------
    x, y : float
        Position in the mosaic, pixels from zero.
    kind, subtype : str
    blended : bool
        Whether the source was placed on the outskirts of another one.
    flux : array
        True total flux in the SED bands, µJy.
    truth : dict
        Physical properties.
    measured : dict
        Catalogue columns measured on the VIS stamp.
    seed : SeedSequence
        Of the random numbers of its catalogue rows (photometric noise, votes).
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
        µJy per pixel; `images.noise.NO_DATA` in `rms` marks pixels without data.
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
    drawn = draw_sources(cfg, cfg.tile_objects(index), rng)
    reach = np.array([min(15 * float(p.get("re_arcsec", 0.4)), 60.0) for _, _, p in drawn])
    positions, blended = draw_positions(cfg, size, reach, rng)
    psf_slope = rng.uniform(-1, 1, 4)
    ghost_offset = rng.uniform(60, 110) * np.array([np.cos(a := rng.uniform(0, 2 * np.pi)), np.sin(a)])
    noise, rms = tile_noise.draw_noise(cfg, size, np.random.default_rng(noise_seed))
    image = {b: np.zeros((size, size), np.float32) for b in EUCLID_BANDS}
    flag = {b: np.zeros((size, size), np.int32) for b in EUCLID_BANDS}
    sources = []
    seeds = objects_seed.spawn(len(drawn))
    for (kind, subtype, p), (x, y), seed, blend in zip(
        drawn, positions.tolist(), seeds, blended, strict=True
    ):
        shape_seed, later = seed.spawn(2)
        psfs = tile_noise.draw_psfs(cfg, x, y, size, psf_slope)
        stamp, flux, subtype = draw_source(kind, subtype, p, psfs, (x, y), np.random.default_rng(shape_seed))
        _add(image, flag, stamp, x, y)
        if subtype == "saturated_star":
            ghost = star_ghost(flux[IMAGED], np.random.default_rng(later.spawn(1)[0]))
            _add(image, flag, ghost, x + ghost_offset[0], y + ghost_offset[1])
        measured = _measure(stamp, noise["VIS"], rms["VIS"], x, y, psfs[0].fwhm)
        truth = {str(k): float(p[k]) for k in TRUTH if k in p}
        sources.append(Source(x, y, kind, subtype, bool(blend), flux, truth, measured, later))
    _add_uncatalogued(image, flag, size, rng)
    tile_noise.add_noise(image, noise, rms)
    tile_noise.lose_pixels(image, rms, flag, rng)
    return Tile(index, image, rms, flag, sources)


def _overlap(
    shape: tuple[int, int], n: int, x: float, y: float
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of a mosaic and of a stamp of side `n` centred on (x, y) that cover each other."""
    x0, y0 = int(np.floor(x + 0.5)) - n // 2, int(np.floor(y + 0.5)) - n // 2
    xs, xe, ys, ye = max(0, -x0), min(n, shape[1] - x0), max(0, -y0), min(n, shape[0] - y0)
    xe, ye = max(xs, xe), max(ys, ye)
    return (slice(y0 + ys, y0 + ye), slice(x0 + xs, x0 + xe)), (slice(ys, ye), slice(xs, xe))


def _add(image: Maps, flag: Maps, stamp: Stamp, x: float, y: float) -> None:
    """Add a stamp to the mosaics at (x, y)."""
    there, here = _overlap(image["VIS"].shape, stamp.image.shape[-1], x, y)
    for k, b in enumerate(EUCLID_BANDS):
        image[b][there] += stamp.image[k][here]
        flag[b][there] |= stamp.flag[k][here]


def _measure(
    stamp: Stamp, noise: np.ndarray, rms: np.ndarray, x: float, y: float, fwhm: float
) -> dict[str, float]:
    """Measure a source on its own light plus the noise at its position, without its neighbours."""
    n = min(stamp.image.shape[-1], MEASURED_SIZE)
    first = (stamp.image.shape[-1] - n) // 2
    own = stamp.image[0, first : first + n, first : first + n].copy()
    there, here = _overlap(noise.shape, n, x, y)
    own[here] += noise[there] * rms[there]
    centre = rms[min(int(y + 0.5), len(rms) - 1), min(int(x + 0.5), len(rms) - 1)]
    return measure(own, float(centre) * BANDS["VIS"].noise_correlation, fwhm)


def _add_uncatalogued(image: Maps, flag: Maps, size: int, rng: np.random.Generator) -> None:
    """Artefacts that no catalogue lists: 1 per 2 square arcminutes, and in 30% of tiles a long trail."""
    names = [k for k in ARTEFACTS if k != "satellite_trail"]
    for name in rng.choice(names, rng.poisson(size**2 / 360000 / 2)):
        x, y = rng.uniform(0, size, 2)
        _add(image, flag, draw_artefact(str(name), rng), x, y)
    if rng.random() < 0.3:
        image["VIS"] += long_trail(size, rng)
