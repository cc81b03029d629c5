"""One tile: everything drawn into four mosaics, with noise, and every source measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage, optimize

from euclidfm.simulate import artefacts, population
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.measure import measure
from euclidfm.simulate.morphology import components
from euclidfm.simulate.render import Component, Psf, render, stamp_size
from euclidfm.survey import BANDS, EUCLID_BANDS, PIXEL_ARCSEC, SED_BANDS, abmag_from_ujy, ujy_from_abmag

__all__ = ["NO_DATA", "Source", "Tile", "make_tile", "smoothing_sigma"]

NO_DATA = 1e16
"""RMS of pixels without data."""

IMAGED = [SED_BANDS.index(b) for b in EUCLID_BANDS]
_FAINT = np.array([0.15 * BANDS[b].pixel_rms_ujy for b in EUCLID_BANDS])
"""Surface brightness, µJy per pixel, at which stamps end: well below the noise."""

SATURATION_MAG = 18.0
"""VIS magnitude of a star whose central pixel is full (Euclid Collaboration: Cropper et al. 2025)."""


@dataclass
class Source:
    """A catalogued source and what is true of it.

    Attributes
    ----------
    x, y : float
        Position in the mosaic, pixels from zero.
    kind, subtype : str
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
        µJy per pixel; NO_DATA in `rms` marks pixels without data.
    sources : list of Source
    """

    index: int
    image: dict[str, np.ndarray]
    rms: dict[str, np.ndarray]
    flag: dict[str, np.ndarray]
    sources: list[Source]


def smoothing_sigma(ratio: float) -> float:
    """Width (pixels) of the Gaussian that lowers white noise to `ratio` of its deviation."""
    if ratio >= 1:
        return 0.0
    axis = np.arange(-20, 21)

    def excess(s: float) -> float:
        w = np.exp(-0.5 * (axis / s) ** 2)
        return float(((w / w.sum()) ** 2).sum()) - ratio

    return float(optimize.brentq(excess, 0.05, 10.0))


def _noise(
    cfg: SkyConfig, size: int, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Noise realisations and RMS maps, µJy per pixel.

    The RMS map holds the white-noise equivalent; the realisation is smoothed as resampling
    does, so that its pixels scatter less than the map says but sums over many do not.
    Depth varies with the number of exposures: gaps between detectors cross the tile.
    """
    noise, rms = {}, {}
    axis = np.arange(size)
    for name in EUCLID_BANDS:
        b = BANDS[name]
        exposures = np.full((size, size), 4.0, np.float32)
        for _ in range(2):
            start, width = rng.integers(0, size), int(rng.integers(30, 90))
            exposures[:, (axis >= start) & (axis < start + width)] -= 1
            start = rng.integers(0, size)
            exposures[(axis >= start) & (axis < start + width)] -= 1
        level = np.float32(b.pixel_rms_ujy * cfg.look.noise) * np.sqrt(4.0 / np.maximum(exposures, 1))
        level = level.astype(np.float32) * np.float32(1 + 0.03 * rng.standard_normal())
        white = rng.standard_normal((size, size), dtype=np.float32)
        white = ndimage.gaussian_filter(
            white, smoothing_sigma(b.noise_correlation), mode="wrap", truncate=5.0
        )
        noise[name], rms[name] = white * level, level
    return noise, rms


def _psfs(cfg: SkyConfig, x: float, y: float, size: int, slope: np.ndarray) -> list[Psf]:
    """PSF of each band at a place: width and shape vary by a few per cent across the tile."""
    u, v = x / size - 0.5, y / size - 0.5
    return [
        Psf(fwhm=w * (1 + 0.04 * (slope[0] * u + slope[1] * v)), beta=cfg.look.psf_beta, e1=0.03 * slope[2] * u, e2=0.03 * slope[3] * v)
        for w in cfg.psf_fwhm().values()
    ]  # fmt: skip


def _positions(n: int, size: int, reach: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Places of the sources: random, but rarely closer than they are large (deblending's limit)."""
    placed = np.empty((0, 2))
    order = np.argsort(-reach)
    out = np.empty((n, 2))
    radii: list[float] = []
    for i in order:
        for _ in range(40):
            p = rng.uniform(8, size - 8, 2)
            if not len(placed) or np.all(np.hypot(*(placed - p).T) > np.asarray(radii) + reach[i] + 4):
                break
        placed = np.vstack([placed, p])
        radii.append(float(reach[i]))
        out[i] = p
    return out


def _add(target: np.ndarray, stamp: np.ndarray, x: int, y: int, combine: Any = np.add) -> None:
    """Combine a stamp centred on pixel (x, y) into a mosaic, cut at the edges."""
    n, half = stamp.shape[0], stamp.shape[0] // 2
    x0, y0 = x - half, y - half
    sx, sy = (
        slice(max(0, -x0), min(n, target.shape[1] - x0)),
        slice(max(0, -y0), min(n, target.shape[0] - y0)),
    )
    if sx.start >= sx.stop or sy.start >= sy.stop:
        return
    view = target[y0 + sy.start : y0 + sy.stop, x0 + sx.start : x0 + sx.stop]
    combine(view, stamp[sy, sx], out=view)


def _cut(image: np.ndarray, x: int, y: int, n: int) -> np.ndarray:
    """Cut a stamp of side `n`, zero outside the mosaic."""
    out = np.zeros((n, n), image.dtype)
    x0, y0 = x - n // 2, y - n // 2
    sx, sy = slice(max(0, -x0), min(n, image.shape[1] - x0)), slice(max(0, -y0), min(n, image.shape[0] - y0))
    if sx.start < sx.stop and sy.start < sy.stop:
        out[sy, sx] = image[y0 + sy.start : y0 + sy.stop, x0 + sx.start : x0 + sx.stop]
    return out


def _content(cfg: SkyConfig, n: int, rng: np.random.Generator) -> list[tuple[str, str, dict[str, Any]]]:
    """Kind, subtype and properties of every source of the tile."""
    n_star, n_quasar, n_artefact = (
        int(np.floor(n * f + rng.random()))
        for f in (cfg.star_fraction, cfg.quasar_fraction, cfg.artefact_fraction)
    )
    n_galaxy = max(0, n - n_star - n_quasar - n_artefact)
    out: list[tuple[str, str, dict[str, Any]]] = []
    if n_galaxy:
        table = population.draw_galaxies(cfg, n_galaxy, rng)
        out += [
            ("galaxy", str(table["subtype"][i]), {k: v[i] for k, v in table.items()}) for i in range(n_galaxy)
        ]
    for kind, count, draw in (
        ("star", n_star, population.draw_stars),
        ("quasar", n_quasar, population.draw_quasars),
    ):
        if count:
            table = draw(count, rng)
            out += [(kind, kind, {k: v[i] for k, v in table.items()}) for i in range(count)]
    names = list(artefacts.ARTEFACTS)
    share = np.array([artefacts.ARTEFACTS[k][0] for k in names])
    out += [("artefact", str(k), {}) for k in rng.choice(names, n_artefact, p=share / share.sum())]
    return out[:n]


def make_tile(cfg: SkyConfig, index: int) -> Tile:
    """Simulate tile `index`; depends on nothing but the configuration and the index."""
    size, n = cfg.tile_pixels, cfg.tile_objects(index)
    root = np.random.SeedSequence(cfg.seed, spawn_key=(index,))
    tile_seed, noise_seed, objects_seed = root.spawn(3)
    rng = np.random.default_rng(tile_seed)
    content = _content(cfg, n, rng)
    reach = np.array([min(15 * float(p.get("re_arcsec", 0.4)), 60.0) for _, _, p in content])
    positions = _positions(len(content), size, reach, rng)
    slope = rng.uniform(-1, 1, 4)
    noise, rms = _noise(cfg, size, np.random.default_rng(noise_seed))
    image = {b: np.zeros((size, size), np.float32) for b in EUCLID_BANDS}
    flag = {b: np.zeros((size, size), np.int32) for b in EUCLID_BANDS}
    sources = []
    for (kind, subtype, p), (x, y), seed in zip(
        content, positions, objects_seed.spawn(len(content)), strict=True
    ):
        shape_seed, later = seed.spawn(2)
        psfs = _psfs(cfg, x, y, size, slope)
        stamp, flux, subtype = _draw(kind, subtype, p, psfs, x, y, np.random.default_rng(shape_seed))
        ix, iy = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        for k, b in enumerate(EUCLID_BANDS):
            _add(image[b], stamp.image[k], ix, iy)
            if stamp.flag[k].any():
                _add(flag[b], stamp.flag[k], ix, iy, np.bitwise_or)
        side = min(stamp.image.shape[-1], 200)
        half, c = side // 2, stamp.image.shape[-1] // 2
        own = stamp.image[0, c - half : c + half, c - half : c + half] + _cut(noise["VIS"], ix, iy, 2 * half)
        sigma = float(rms["VIS"][min(iy, size - 1), min(ix, size - 1)]) * BANDS["VIS"].noise_correlation
        measured = measure(own, sigma, psfs[0].fwhm)
        truth = {
            k: float(p[k])
            for k in (
                "z",
                "log_mass",
                "re_arcsec",
                "axis_ratio",
                "position_angle",
                "sersic_index",
                "bulge_fraction",
                "teff",
            )
            if k in p
        }
        sources.append(Source(float(x), float(y), kind, subtype, flux, truth, measured, later))
    for b in EUCLID_BANDS:
        image[b] += noise[b]
    _lose_pixels(image, rms, flag, rng)
    return Tile(index, image, rms, flag, sources)


def _draw(
    kind: str, subtype: str, p: dict[str, Any], psfs: list[Psf], x: float, y: float, rng: np.random.Generator
) -> tuple[artefacts.Stamp, np.ndarray, str]:
    """Stamp, true fluxes and final subtype of one source."""
    dx, dy = x - np.floor(x + 0.5), y - np.floor(y + 0.5)
    if kind == "artefact":
        stamp = artefacts.draw_artefact(subtype, rng)
        c = stamp.image.shape[-1] // 2
        flux = np.zeros(len(SED_BANDS))
        flux[IMAGED] = stamp.image[:, c - 15 : c + 15, c - 15 : c + 15].sum((1, 2))
        return stamp, flux, subtype
    if kind == "galaxy":
        parts = components(subtype, p, p["bulge_flux"], p["disc_flux"], rng)
        flux = np.sum([c.flux for c in parts], axis=0)
        size = stamp_size([Component(**{**vars(c), "flux": c.flux[IMAGED]}) for c in parts], _FAINT)
    else:
        flux = np.asarray(p["flux"])
        parts = [Component(flux=flux)]
        mag = float(abmag_from_ujy(flux[IMAGED[0]]))
        size = 64 if mag > 20 else 128 if mag > 18 else 256
    image = render([Component(**{**vars(c), "flux": c.flux[IMAGED]}) for c in parts], psfs, size, dx, dy)
    flag = np.zeros(image.shape, np.int32)
    if kind == "star" and size == 256:
        subtype = "saturated_star"
        image += artefacts.spikes(rng, flux[IMAGED], size)
        full = float(ujy_from_abmag(SATURATION_MAG)) * 0.16
        over = image[0] > full
        image[0][over] = full
        flag[0][over] |= artefacts.FLAG_BITS["saturated"]
    return artefacts.Stamp(image, flag), flux, subtype


def _lose_pixels(
    image: dict[str, np.ndarray],
    rms: dict[str, np.ndarray],
    flag: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> None:
    """Pixels without data: a corner that the exposures of a band did not reach, and the tile's rim."""
    size = image["VIS"].shape[0]
    for b in EUCLID_BANDS:
        lost = np.zeros((size, size), bool)
        w, h = (int(v) for v in rng.integers(0, size // 8, 2))
        lost[:h, :w] = True
        lost[-3:] = True
        image[b][lost], rms[b][lost] = 0.0, NO_DATA
        flag[b][lost] |= artefacts.FLAG_BITS["invalid"]


assert PIXEL_ARCSEC == 0.1
