"""Sources that are not astrophysical but appear in catalogues: cosmic rays, trails, ghosts.

Every artefact is a set of additive images (µJy per pixel) and flag bits on a small stamp, in one or
several bands. Mosaics and measurements then treat it like any source.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from euclidfm.core.bands import EUCLID_BANDS
from euclidfm.simulate.images.stamp import FLAG_BITS, Stamp

__all__ = ["ARTEFACTS", "draw_artefact", "long_trail", "spikes", "star_ghost"]


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size, dtype=np.float32) - size // 2
    return axis[None, :], axis[:, None]


def _empty(size: int) -> Stamp:
    n = len(EUCLID_BANDS)
    return Stamp(np.zeros((n, size, size), np.float32), np.zeros((n, size, size), np.int32))


def _segment(size: int, angle: float, length: float, width: float) -> np.ndarray:
    x, y = _grid(size)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.exp(-0.5 * (across / width) ** 2) * (np.abs(along) < length / 2)


def _cosmic_ray(rng: np.random.Generator) -> Stamp:
    """Unresolved tracks in VIS: one long or a few short, sharper than the PSF."""
    out = _empty(64)
    for _ in range(int(rng.integers(1, 4))):
        track = _segment(64, rng.uniform(0, np.pi), rng.uniform(3, 32), 0.45)
        track = np.roll(track, rng.integers(-6, 7, 2), (0, 1)) * rng.lognormal(-0.7, 0.7)
        out.image[0] += track
    out.flag[0][out.image[0] > 0.02] |= FLAG_BITS["cosmic_ray"]
    return out


def _satellite_trail(rng: np.random.Generator) -> Stamp:
    """A straight trail across the stamp in VIS."""
    out = _empty(192)
    trail = _segment(192, rng.uniform(0, np.pi), 180, rng.uniform(1.5, 4))
    out.image[0] += trail * rng.lognormal(-2.6, 0.6)
    return out


def long_trail(size: int, rng: np.random.Generator) -> np.ndarray:
    """A satellite trail across a whole VIS mosaic, µJy per pixel."""
    x, y = _grid(size)
    angle, offset, width = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3) * size, rng.uniform(1.5, 4)
    across = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle)) - np.float32(offset)
    near = np.abs(across) < 6 * width
    out = np.zeros((size, size), np.float32)
    out[near] = rng.lognormal(-3.2, 0.5) * np.exp(-0.5 * (across[near] / width) ** 2)
    return out


def _ghost(rng: np.random.Generator) -> Stamp:
    """Out-of-focus reflection of a bright star: a ring-like disc with a central hole, VIS or NISP."""
    size = 96
    out = _empty(size)
    x, y = _grid(size)
    r, outer = np.sqrt(x * x + y * y), rng.uniform(14, 30)
    inner = outer * rng.uniform(0.3, 0.5)
    disc = 1 / (1 + np.exp((r - outer) / 0.8)) / (1 + np.exp(-(r - inner) / 0.8))
    disc *= 1 + 0.25 * np.cos(np.arctan2(y, x) + rng.uniform(0, 6.3))
    level = rng.lognormal(-4.3, 0.4)
    for b in (0,) if rng.random() < 0.5 else (1, 2, 3):
        out.image[b] += disc * level * (1 if b == 0 else 2.5)
        out.flag[b][disc > 0.3] |= FLAG_BITS["ghost"]
    return out


def star_ghost(flux: np.ndarray, rng: np.random.Generator) -> Stamp:
    """Out-of-focus reflection that a bright star leaves in VIS: a disc with a hole, 0.5% of its light.

    Parameters
    ----------
    flux : array
        The star's flux in the imaged bands, µJy.
    """
    out = _empty(96)
    x, y = _grid(96)
    r, outer = np.sqrt(x * x + y * y), rng.uniform(24, 30)
    disc = 1 / (1 + np.exp((r - outer) / 0.8)) / (1 + np.exp(-(r - 0.4 * outer) / 0.8))
    out.image[0] += disc / disc.sum() * 0.005 * float(flux[0])
    out.flag[0][disc > 0.3] |= FLAG_BITS["ghost"]
    return out


def spikes(rng: np.random.Generator, flux: np.ndarray, size: int, arms: int = 6) -> np.ndarray:
    """Diffraction spikes of a star with `flux` in µJy per band: six arms, falling as 1/r^1.5."""
    x, y = _grid(size)
    r = np.sqrt(x * x + y * y) + 2.0
    first = 0.35 + 0.02 * rng.standard_normal()
    out = np.zeros((len(flux), size, size), np.float32)
    for k in range(arms // 2):
        a = first + np.pi * k / (arms // 2)
        across = y * np.cos(a) - x * np.sin(a)
        for b in range(len(flux)):
            out[b] += flux[b] * 4e-3 * np.exp(-0.5 * (across / (0.8 if b == 0 else 2.0)) ** 2) * r**-1.5
    edge = np.clip((size / 2 - r) / (0.15 * size), 0, 1)
    return out * edge


def _saturated_spike(rng: np.random.Generator) -> Stamp:
    """A piece of a spike far from its star, catalogued as a source."""
    out = _empty(96)
    angle = 0.35 + np.pi / 3 * int(rng.integers(3))
    x, y = _grid(96)
    along = x * np.cos(angle) + y * np.sin(angle)
    fade = np.exp(-(along + 48) / rng.uniform(30, 80))
    piece = _segment(96, angle, 90, 1.0) * fade * rng.lognormal(-2.3, 0.5)
    colour = np.array([1.0, 0.6, 0.6, 0.6]) * rng.uniform(0.7, 1.3, 4)
    out.image[:] += piece[None] * colour[:, None, None]
    return out


def _bad_column(rng: np.random.Generator) -> Stamp:
    """A hot or dead column of NISP or VIS, one to three pixels wide."""
    out = _empty(96)
    b = int(rng.integers(4))
    width = 1 if b == 0 else 3
    out.image[b, 2:-2, 48 : 48 + width] += (
        rng.choice([1.0, 1.0, -1.0]) * rng.lognormal(-2.3, 0.5) * (1 if b == 0 else 2)
    )
    out.flag[b, 2:-2, 48 : 48 + width] |= FLAG_BITS["hot"]
    return out


def _persistence(rng: np.random.Generator) -> Stamp:
    """The fading image of an earlier bright source, and its spectrum's trace, in NISP only."""
    out = _empty(96)
    x, y = _grid(96)
    s, r2 = rng.uniform(2, 4), x * x + y * y
    blob = np.exp(-0.5 * r2 / s**2) + 0.25 * _segment(96, 0.0, 80, 1.6)
    level = rng.lognormal(-2.2, 0.5)
    for b, fade in zip((1, 2, 3), rng.permutation([1.0, 0.55, 0.3]), strict=True):
        out.image[b] += blob * level * fade
    return out


ARTEFACTS: dict[str, tuple[float, Callable[[np.random.Generator], Stamp]]] = {
    "cosmic_ray": (0.3, _cosmic_ray),
    "satellite_trail": (0.15, _satellite_trail),
    "ghost": (0.15, _ghost),
    "spike": (0.15, _saturated_spike),
    "bad_column": (0.1, _bad_column),
    "persistence": (0.15, _persistence),
}
"""Share among the catalogued artefacts, and how each is drawn."""


def draw_artefact(subtype: str, rng: np.random.Generator) -> Stamp:
    """Draw one artefact."""
    return ARTEFACTS[subtype][1](rng)
