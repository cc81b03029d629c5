"""From a galaxy's properties to the components that are drawn.

Bulges and ellipticals are Sersic profiles. Discs carry structure: the light of arms, bars,
rings and clumps is moved out of the smooth disc band by band, bluer or redder than it, so
that the components still sum to the galaxy's fluxes.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit

from euclidfm.core.bands import SED_BANDS, band
from euclidfm.simulate.render import Component, Knots, Picture

__all__ = ["components"]

_WAVELENGTH = np.array([band(b).wavelength_nm for b in SED_BANDS])
_EXPONENTIAL = 1.678
"""Half-light radius of an exponential disc in scale lengths."""


def _split(flux: np.ndarray, share: float, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Split a spectrum in two: the second has `share` of the VIS light and goes as lambda**slope."""
    part = np.clip(share * (_WAVELENGTH / band("VIS").wavelength_nm) ** slope, 0.0, 0.9) * flux
    return flux - part, part


class _Disc:
    """Deprojected coordinates of an inclined disc."""

    def __init__(self, re: float, q: float, angle: float) -> None:
        self.re, self.q, self.angle = re, max(q, 0.12), angle
        self.cos, self.sin = math.cos(angle), math.sin(angle)

    def __call__(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u, v = x * self.cos + y * self.sin, (y * self.cos - x * self.sin) / self.q
        return u, v

    def to_sky(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From the disc's plane to the sky."""
        v = v * self.q
        return u * self.cos - v * self.sin, u * self.sin + v * self.cos


def components(
    subtype: str, galaxy: dict[str, float], bulge: np.ndarray, disc: np.ndarray, rng: np.random.Generator
) -> list[Component]:
    """Components of a galaxy.

    Parameters
    ----------
    subtype : str
    galaxy : dict
        `re_arcsec`, `bulge_re_arcsec`, `axis_ratio`, `position_angle` (degrees),
        `sersic_index`, `z`.
    bulge, disc : array
        Fluxes in the bands of the SED, µJy.
    rng : Generator
        The galaxy's own random numbers.
    """
    re, q = float(galaxy["re_arcsec"]), float(galaxy["axis_ratio"])
    angle = math.radians(galaxy["position_angle"])
    parts: list[Component] = []
    if bulge.sum() > 0:
        round_q = (
            q if subtype in ("elliptical", "lens") and disc.sum() == 0 else max(q, 0.6 + 0.3 * rng.random())
        )
        parts.append(
            Component(
                flux=bulge,
                re=galaxy["bulge_re_arcsec"],
                index=galaxy["sersic_index"],
                axis_ratio=round_q,
                angle=angle,
            )
        )
    shape = _Disc(re, q, angle)
    if disc.sum() > 0:
        draw = {
            "spiral": _spiral, "barred": _barred, "ring": _ring, "irregular": _irregular, "edge_on": _edge_on,
            "merger": _merger,
        }.get(subtype, _smooth)  # fmt: skip
        parts += draw(shape, disc, rng)
    elif subtype == "merger":
        parts[0] = Component(**{**vars(parts[0]), "flux": bulge * 0.75})
        parts += _companion(shape, 0.15 * bulge, rng)
        parts.append(_shells(shape, 0.1 * bulge, rng))
    if subtype == "lens":
        total = bulge + disc
        parts = [Component(**{**vars(p), "flux": p.flux * 0.8}) for p in parts] + _lens(
            shape, 0.2 * total, rng
        )
    return parts


def _smooth(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    return [Component(flux=flux, re=d.re, index=1.0, axis_ratio=d.q, angle=d.angle)]


def _arms(d: _Disc, rng: np.random.Generator, arms: int, start: float) -> Picture:
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
        turn = arms * (hand * np.arctan2(v, u) - np.log(r / d.re) / math.tan(pitch)) + phase
        ridge = np.exp(sharp * (np.cos(turn) - 1))
        if flocculent:
            ridge = ridge * np.clip(
                1 + 0.7 * sum(np.sin(a * u + b * v + o) for (a, b), o in zip(waves, offsets, strict=True)),
                0,
                3,
            )
        inner = 1 / (1 + np.exp(-(r - start * d.re) / (0.12 * d.re)))
        return ridge * inner * np.exp(-1.45 * r / d.re)

    return picture


def _clumps(d: _Disc, flux: np.ndarray, rng: np.random.Generator, n: int, size: float) -> Component:
    """Star-forming knots, n of them, of a power-law flux distribution."""
    r, phi = d.re * np.sqrt(-np.log(rng.uniform(1e-3, 1.0, n))) * 0.85, rng.uniform(0, 2 * np.pi, n)
    x, y = d.to_sky(r * np.cos(phi), r * np.sin(phi))
    weight, width = rng.pareto(1.5, n) + 0.3, size * d.re * rng.uniform(0.7, 1.4, n)
    return Component(flux=flux, re=d.re, knots=Knots(weight=np.minimum(weight, 4.0), x=x, y=y, sigma=width))


def _spiral(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    rest, arms = _split(flux, rng.uniform(0.3, 0.55), -0.45)
    rest, knots = _split(rest, 0.04, -0.8)
    n_arms = int(rng.choice([2, 2, 2, 3, 4]))
    return [
        *_smooth(d, rest, rng),
        Component(flux=arms, re=d.re, picture=_arms(d, rng, n_arms, 0.25)),
        _clumps(d, knots, rng, 5, 0.06),
    ]


def _barred(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    rest, bar = _split(flux, rng.uniform(0.15, 0.3), 0.35)
    rest, arms = _split(rest, rng.uniform(0.25, 0.45), -0.45)
    twist, length, width = rng.uniform(0, np.pi), rng.uniform(0.5, 0.9) * d.re, rng.uniform(0.16, 0.25)

    cos, sin = math.cos(twist), math.sin(twist)

    def bar_picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = d(x, y)
        a, b = u * cos + v * sin, v * cos - u * sin
        r4 = (np.abs(a) / length) ** 3 + (np.abs(b) / (width * length)) ** 3
        return np.exp(-(r4**0.75))

    return [
        *_smooth(d, rest, rng),
        Component(flux=bar, re=d.re, picture=bar_picture),
        Component(flux=arms, re=d.re, picture=_arms(d, rng, 2, length / d.re)),
    ]


def _ring(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    rest, ring = _split(flux, rng.uniform(0.45, 0.65), -0.5)
    radius, width = rng.uniform(1.0, 1.5) * d.re, rng.uniform(0.1, 0.18) * d.re
    lump, phase = rng.uniform(0, 0.4), rng.uniform(0, 2 * np.pi)

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = d(x, y)
        r = np.sqrt(u * u + v * v)
        return np.exp(-0.5 * ((r - radius) / width) ** 2) * (1 + lump * np.cos(2 * np.arctan2(v, u) + phase))

    inner = _Disc(0.6 * d.re, d.q, d.angle)
    return [*_smooth(inner, rest, rng), Component(flux=ring, re=d.re, picture=picture)]


def _irregular(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    rest, knots = _split(flux, rng.uniform(0.3, 0.5), -0.6)
    off = rng.uniform(-0.3, 0.3, 2) * d.re
    base = Component(flux=0.7 * rest, re=d.re, index=0.8, axis_ratio=d.q, angle=d.angle)
    side = Component(
        flux=0.3 * rest, re=0.6 * d.re, index=0.7, axis_ratio=float(rng.uniform(0.4, 0.9)),
        angle=float(rng.uniform(0, np.pi)), x=float(off[0]), y=float(off[1]),
    )  # fmt: skip
    return [base, side, _clumps(d, knots, rng, int(rng.integers(4, 10)), float(rng.uniform(0.08, 0.16)))]


def _edge_on(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
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


def _companion(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """A second galaxy, and the tidal tails of both: curved ribbons that fade and widen outwards."""
    where, far = rng.uniform(0, 2 * np.pi), rng.uniform(1.2, 2.2) * d.re
    x, y = far * math.cos(where), far * math.sin(where)
    sweep, thick = rng.uniform(1.6, 2.8), rng.uniform(0.12, 0.22) * d.re
    hand, lengths = float(rng.choice([-1.0, 1.0])), rng.uniform(1.5, 3.0, 2) * d.re
    t = np.linspace(0.1, 1.0, 16)
    tail_x, tail_y = [], []
    for turn, cx, cy, length in ((0.0, x, y, lengths[0]), (np.pi, 0.0, 0.0, lengths[1])):
        angle, r = where + turn + hand * sweep * t, 0.8 * (0.5 * d.re + length * t)
        tail_x.append(cx + r * np.cos(angle))
        tail_y.append(cy + r * np.sin(angle))
    tails = Knots(
        weight=np.tile(1.1 - t, 2), x=np.concatenate(tail_x), y=np.concatenate(tail_y),
        sigma=np.tile(thick * (1 + t), 2),
    )  # fmt: skip
    second = Component(
        flux=0.5 * flux,
        re=0.5 * d.re,
        index=float(rng.uniform(1, 3)),
        axis_ratio=float(rng.uniform(0.5, 0.95)),
        angle=float(rng.uniform(0, np.pi)),
        x=x,
        y=y,
    )
    return [second, Component(flux=0.5 * flux, re=2.0 * d.re, knots=tails)]


def _shells(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> Component:
    """Shells of a merger on a radial orbit: arcs on alternate sides, each with a sharp outer edge.

    Aligned with the major axis and interleaved in radius, as in NGC 3923 (Malin & Carter
    1983, ApJ 274, 534).
    """
    count = int(rng.integers(3, 7))
    radii = d.re * np.sort(rng.uniform(1.0, 3.5, count))
    side, width = float(rng.choice([-1.0, 1.0])), rng.uniform(0.35, 0.6)

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = x * d.cos + y * d.sin, y * d.cos - x * d.sin
        r, out = np.sqrt(u * u + v * v), np.zeros(np.broadcast(u, v).shape, np.float32)
        for k, radius in enumerate(radii.tolist()):
            off_axis = np.arctan2(v, side * (-1) ** k * u)
            inside = np.exp(np.minimum(r - radius, 0) / (0.15 * radius)) * expit((radius - r) / 0.03)
            out += inside * np.exp(-0.5 * (off_axis / width) ** 2) / radius
        return out

    return Component(flux=flux, re=d.re, picture=picture)


def _merger(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    main, other = _split(flux, rng.uniform(0.3, 0.6), -0.2)
    if rng.random() < 0.2:
        main, shells = _split(main, 0.1, 0.0)
        return [*_smooth(d, main, rng), *_companion(d, other, rng), _shells(d, shells, rng)]
    first = _spiral(d, main, rng) if rng.random() < 0.5 else _smooth(d, main, rng)
    return [*first, *_companion(d, other, rng)]


def _lens(d: _Disc, total: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """Arcs of a blue background disc behind a singular isothermal ellipsoid.

    Ray shooting with the deflection of Kormann, Schneider & Bartelmann 1994 (A&A 284, 285).
    """
    blue = total[5] * (_WAVELENGTH / band("VIS").wavelength_nm) ** 0.4
    q, ring = float(np.clip(d.q, 0.55, 0.95)), rng.uniform(0.8, 1.8)
    sx, sy = (rng.normal(0, 0.18, 2) * ring).tolist()
    size, sq, sa = rng.uniform(0.08, 0.2), rng.uniform(0.5, 1), rng.uniform(0, np.pi)
    f = math.sqrt(1 - q * q)
    cos_s, sin_s = math.cos(sa), math.sin(sa)

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        cos, sin = d.cos, d.sin
        u, v = x * cos + y * sin, y * cos - x * sin
        psi = np.sqrt(q * q * u * u + v * v) + 1e-6
        bu = u - ring * math.sqrt(q) / f * np.arctan(f * u / psi) - sx
        bv = v - ring * math.sqrt(q) / f * np.arctanh(np.clip(f * v / psi, -0.999, 0.999)) - sy
        a, b = bu * cos_s + bv * sin_s, (bv * cos_s - bu * sin_s) / sq
        return np.exp(-1.678 * np.sqrt(a * a + b * b) / size)

    return [Component(flux=blue, re=0.7 * ring, picture=picture)]
