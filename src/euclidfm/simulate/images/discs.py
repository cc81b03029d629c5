"""Structure of discs: arms, bars, rings, clumps and dust lanes.

The light of a structure is moved out of the smooth disc band by band, bluer or redder than it, so
that the components still sum to the galaxy's fluxes.
"""

from __future__ import annotations

import math

import numpy as np

from euclidfm.core.bands import SED_BANDS, band
from euclidfm.simulate.images.components import Component, Knots, Picture

__all__ = [
    "WAVELENGTH_NM", "Disc", "barred", "edge_on", "irregular", "ring", "smooth", "spiral", "split_light",
]  # fmt: skip

WAVELENGTH_NM = np.array([band(b).wavelength_nm for b in SED_BANDS])

_EXPONENTIAL = 1.678
"""Half-light radius of an exponential disc in scale lengths."""


def split_light(flux: np.ndarray, share: float, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Split a spectrum in two: the second has `share` of the VIS light and goes as lambda**slope."""
    part = np.clip(share * (WAVELENGTH_NM / band("VIS").wavelength_nm) ** slope, 0.0, 0.9) * flux
    return flux - part, part


class Disc:
    """Coordinates in the plane of an inclined disc.

    Parameters
    ----------
    re : float
        Half-light radius, arcsec.
    q : float
        Projected axis ratio.
    angle : float
        Position angle, radians from the x axis.
    """

    def __init__(self, re: float, q: float, angle: float) -> None:
        self.re, self.q, self.angle = re, max(q, 0.12), angle
        self.cos, self.sin = math.cos(angle), math.sin(angle)

    def __call__(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From the sky to the plane of the disc, arcsec."""
        u, v = x * self.cos + y * self.sin, (y * self.cos - x * self.sin) / self.q
        return u, v

    def to_sky(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From the plane of the disc to the sky, arcsec."""
        v = v * self.q
        return u * self.cos - v * self.sin, u * self.sin + v * self.cos


def smooth(d: Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """An exponential disc without structure."""
    return [Component(flux=flux, re=d.re, index=1.0, axis_ratio=d.q, angle=d.angle)]


def _arms(d: Disc, rng: np.random.Generator, arms: int, start: float) -> Picture:
    """Logarithmic spiral arms: ridges at ``arms * (phi - ln(r) / tan(pitch)) = 0``."""
    pitch = math.radians(rng.uniform(12, 32))
    phase, hand = rng.uniform(0, 2 * np.pi), float(rng.choice([-1.0, 1.0]))
    sharp = rng.uniform(2.0, 5.0)
    flocculent = rng.random() < 0.25
    waves = (rng.uniform(-6, 6, (5, 2)) / d.re).tolist()
    offsets = rng.uniform(0, 2 * np.pi, 5).tolist()

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = d(x, y)
        r = np.sqrt(u * u + v * v) + 0.02 * d.re
        phi = arms * (hand * np.arctan2(v, u) - np.log(r / d.re) / math.tan(pitch)) + phase
        ridge = np.exp(sharp * (np.cos(phi) - 1))
        if flocculent:
            ridge = ridge * np.clip(
                1 + 0.7 * sum(np.sin(a * u + b * v + o) for (a, b), o in zip(waves, offsets, strict=True)),
                0,
                3,
            )
        inner = 1 / (1 + np.exp(-(r - start * d.re) / (0.12 * d.re)))
        return ridge * inner * np.exp(-1.45 * r / d.re)

    return picture


def _clumps(d: Disc, flux: np.ndarray, rng: np.random.Generator, n: int, size: float) -> Component:
    """Star-forming knots, n of them, of a power-law flux distribution."""
    r, phi = d.re * np.sqrt(-np.log(rng.uniform(1e-3, 1.0, n))) * 0.85, rng.uniform(0, 2 * np.pi, n)
    x, y = d.to_sky(r * np.cos(phi), r * np.sin(phi))
    weight, width = rng.pareto(1.5, n) + 0.3, size * d.re * rng.uniform(0.7, 1.4, n)
    return Component(flux=flux, re=d.re, knots=Knots(weight=np.minimum(weight, 4.0), x=x, y=y, sigma=width))


def spiral(d: Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """A disc with two to four arms and star-forming clumps."""
    rest, arms = split_light(flux, rng.uniform(0.3, 0.55), -0.45)
    rest, knots = split_light(rest, 0.04, -0.8)
    n_arms = int(rng.choice([2, 2, 2, 3, 4]))
    return [
        *smooth(d, rest, rng),
        Component(flux=arms, re=d.re, picture=_arms(d, rng, n_arms, 0.25)),
        _clumps(d, knots, rng, 5, 0.06),
    ]


def barred(d: Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """A disc with a bar and two arms that start at its ends."""
    rest, bar = split_light(flux, rng.uniform(0.15, 0.3), 0.35)
    rest, arms = split_light(rest, rng.uniform(0.25, 0.45), -0.45)
    twist, length, width = rng.uniform(0, np.pi), rng.uniform(0.5, 0.9) * d.re, rng.uniform(0.16, 0.25)

    cos, sin = math.cos(twist), math.sin(twist)

    def bar_picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = d(x, y)
        a, b = u * cos + v * sin, v * cos - u * sin
        r4 = (np.abs(a) / length) ** 3 + (np.abs(b) / (width * length)) ** 3
        return np.exp(-(r4**0.75))

    return [
        *smooth(d, rest, rng),
        Component(flux=bar, re=d.re, picture=bar_picture),
        Component(flux=arms, re=d.re, picture=_arms(d, rng, 2, length / d.re)),
    ]


def ring(d: Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """A small disc inside a ring."""
    rest, ring = split_light(flux, rng.uniform(0.45, 0.65), -0.5)
    radius, width = rng.uniform(1.0, 1.5) * d.re, rng.uniform(0.1, 0.18) * d.re
    lump, phase = rng.uniform(0, 0.4), rng.uniform(0, 2 * np.pi)

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = d(x, y)
        r = np.sqrt(u * u + v * v)
        return np.exp(-0.5 * ((r - radius) / width) ** 2) * (1 + lump * np.cos(2 * np.arctan2(v, u) + phase))

    inner = Disc(0.6 * d.re, d.q, d.angle)
    return [*smooth(inner, rest, rng), Component(flux=ring, re=d.re, picture=picture)]


def irregular(d: Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """Two offset discs and clumps."""
    rest, knots = split_light(flux, rng.uniform(0.3, 0.5), -0.6)
    off = rng.uniform(-0.3, 0.3, 2) * d.re
    base = Component(flux=0.7 * rest, re=d.re, index=0.8, axis_ratio=d.q, angle=d.angle)
    side = Component(
        flux=0.3 * rest, re=0.6 * d.re, index=0.7, axis_ratio=float(rng.uniform(0.4, 0.9)),
        angle=float(rng.uniform(0, np.pi)), x=float(off[0]), y=float(off[1]),
    )  # fmt: skip
    return [base, side, _clumps(d, knots, rng, int(rng.integers(4, 10)), float(rng.uniform(0.08, 0.16)))]


def edge_on(d: Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """A disc seen from the side, often with a dust lane."""
    h, z0 = d.re / _EXPONENTIAL, d.re * rng.uniform(0.07, 0.12)
    lane = rng.random() < 0.6
    depth, tilt = rng.uniform(0.5, 0.85), rng.uniform(-0.3, 0.3) * z0

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        cos, sin = d.cos, d.sin
        u, v = np.abs(x * cos + y * sin) / h, y * cos - x * sin
        r = np.maximum(u, 1e-3)
        sheet = np.exp(-r) * (1 + 0.8 * r) / np.cosh(np.clip(v / z0, -20, 20)) ** 2
        if lane:
            sheet = sheet * (1 - depth * np.exp(-0.5 * ((v - tilt) / (0.35 * z0)) ** 2) * (u < 2.5))
        return sheet

    return [Component(flux=flux, re=d.re, picture=picture)]
