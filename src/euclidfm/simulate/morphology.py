"""From a galaxy's properties to the components that are drawn.

Bulges and ellipticals are Sersic profiles. Discs carry structure: the light of arms, bars,
rings and clumps is moved out of the smooth disc band by band, bluer or redder than it, so
that the components still sum to the galaxy's fluxes.
"""

from __future__ import annotations

import numpy as np

from euclidfm.simulate.render import Component
from euclidfm.survey import SED_BANDS, band

__all__ = ["components"]

_WAVELENGTH = np.array([band(b).wavelength_nm for b in SED_BANDS])
_EXPONENTIAL = 1.678
"""Half-light radius of an exponential disc in scale lengths."""


def _split(flux: np.ndarray, share: float, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Split a spectrum in two: the second has `share` of the VIS light and goes as lambda**slope."""
    part = np.clip(share * (_WAVELENGTH / 715.0) ** slope, 0.0, 0.9) * flux
    return flux - part, part


class _Disc:
    """Deprojected coordinates of an inclined disc."""

    def __init__(self, re: float, q: float, angle: float) -> None:
        self.re, self.q, self.angle = re, max(q, 0.12), angle

    def __call__(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        u, v = x * cos + y * sin, (y * cos - x * sin) / np.float32(self.q)
        return u, v


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
    re, q, angle = galaxy["re_arcsec"], galaxy["axis_ratio"], np.radians(galaxy["position_angle"])
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
        parts[0] = Component(**{**vars(parts[0]), "flux": bulge * 0.8})
        parts += _companion(shape, 0.2 * bulge, rng)
    if subtype == "lens":
        total = bulge + disc
        parts = [Component(**{**vars(p), "flux": p.flux * 0.8}) for p in parts] + _lens(
            shape, 0.2 * total, rng
        )
    return parts


def _smooth(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    return [Component(flux=flux, re=d.re, index=1.0, axis_ratio=d.q, angle=d.angle)]


def _arms(d: _Disc, rng: np.random.Generator, arms: int, start: float):  # type: ignore[no-untyped-def]
    """Logarithmic spiral arms: ridges at ``arms * (phi - ln(r) / tan(pitch)) = 0``."""
    pitch = np.radians(rng.uniform(12, 32))
    phase, hand = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
    sharp = rng.uniform(2.0, 5.0)
    flocculent = rng.random() < 0.25
    waves = rng.uniform(-6, 6, (5, 2)) / d.re
    offsets = rng.uniform(0, 2 * np.pi, 5)

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = d(x, y)
        r = np.sqrt(u * u + v * v) + np.float32(0.02 * d.re)
        turn = arms * (hand * np.arctan2(v, u) - np.log(r / d.re) / np.tan(pitch)) + phase
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


def _clumps(d: _Disc, flux: np.ndarray, rng: np.random.Generator, n: int, size: float) -> list[Component]:
    """Star-forming knots, n of them, of a power-law flux distribution."""
    share = rng.pareto(1.5, n) + 0.3
    share /= share.sum()
    r, phi = d.re * np.sqrt(-np.log(rng.uniform(1e-3, 1.0, n))) * 0.85, rng.uniform(0, 2 * np.pi, n)
    u, v = r * np.cos(phi), r * np.sin(phi) * d.q
    cos, sin = np.cos(d.angle), np.sin(d.angle)
    return [
        Component(
            flux=flux * s, re=size * d.re, index=1.0, x=float(a * cos - b * sin), y=float(a * sin + b * cos)
        )
        for s, a, b in zip(share, u, v, strict=True)
    ]


def _spiral(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    rest, arms = _split(flux, rng.uniform(0.3, 0.55), -0.45)
    rest, knots = _split(rest, 0.06, -0.8)
    n_arms = int(rng.choice([2, 2, 2, 3, 4]))
    return [
        *_smooth(d, rest, rng),
        Component(flux=arms, re=d.re, picture=_arms(d, rng, n_arms, 0.25)),
        *_clumps(d, knots, rng, 5, 0.06),
    ]


def _barred(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    rest, bar = _split(flux, rng.uniform(0.15, 0.3), 0.35)
    rest, arms = _split(rest, rng.uniform(0.25, 0.45), -0.45)
    twist, length, width = rng.uniform(0, np.pi), rng.uniform(0.5, 0.9) * d.re, rng.uniform(0.16, 0.25)

    def bar_picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = d(x, y)
        a, b = u * np.cos(twist) + v * np.sin(twist), v * np.cos(twist) - u * np.sin(twist)
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
    return [base, side, *_clumps(d, knots, rng, int(rng.integers(4, 10)), float(rng.uniform(0.08, 0.16)))]


def _edge_on(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    h, z0 = d.re / _EXPONENTIAL, d.re * rng.uniform(0.07, 0.12)
    lane = rng.random() < 0.6
    depth, tilt = rng.uniform(0.5, 0.85), rng.uniform(-0.3, 0.3) * z0

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        cos, sin = np.cos(d.angle), np.sin(d.angle)
        u, v = np.abs(x * cos + y * sin) / h, y * cos - x * sin
        r = np.maximum(u, 1e-3)
        sheet = np.exp(-r) * (1 + 0.8 * r) / np.cosh(np.clip(v / z0, -20, 20)) ** 2
        if lane:
            sheet = sheet * (1 - depth * np.exp(-0.5 * ((v - tilt) / (0.35 * z0)) ** 2) * (u < 2.5))
        return sheet

    return [Component(flux=flux, re=d.re, picture=picture)]


def _companion(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """A second galaxy, and the tidal tails of both: curved ribbons that fade outwards."""
    where, far = rng.uniform(0, 2 * np.pi), rng.uniform(1.2, 2.2) * d.re
    x, y = float(far * np.cos(where)), float(far * np.sin(where))
    body, tails = 0.6 * flux, 0.4 * flux
    sweep, thick = rng.uniform(1.6, 2.8), rng.uniform(0.12, 0.22) * d.re
    hand, lengths = rng.choice([-1.0, 1.0]), rng.uniform(1.5, 3.0, 2) * d.re

    def picture(px: np.ndarray, py: np.ndarray) -> np.ndarray:
        out = np.zeros(np.broadcast_shapes(px.shape, py.shape), np.float32)
        for sign, cx, cy, length in ((1.0, x, y, lengths[0]), (-1.0, 0.0, 0.0, lengths[1])):
            for t in np.linspace(0.15, 1.0, 14):
                turn = where + (0 if sign > 0 else np.pi) + hand * sweep * t
                r = 0.5 * d.re + length * t
                tx, ty = cx + r * np.cos(turn) * 0.8, cy + r * np.sin(turn) * 0.8
                s = thick * (1 + t)
                out += (1.1 - t) * np.exp(-0.5 * ((px - tx) ** 2 + (py - ty) ** 2) / s**2) / s
        return out

    return [
        Component(flux=body, re=0.5 * d.re, index=float(rng.uniform(1, 3)), axis_ratio=float(rng.uniform(0.5, 0.95)),
                  angle=float(rng.uniform(0, np.pi)), x=x, y=y),
        Component(flux=tails, re=2.0 * d.re, picture=picture),
    ]  # fmt: skip


def _merger(d: _Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    main, other = _split(flux, rng.uniform(0.3, 0.6), -0.2)
    first = _spiral(d, main, rng) if rng.random() < 0.5 else _smooth(d, main, rng)
    return [*first, *_companion(d, other, rng)]


def _lens(d: _Disc, total: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """Arcs of a blue background disc behind a singular isothermal ellipsoid.

    Ray shooting with the deflection of Kormann, Schneider & Bartelmann 1994 (A&A 284, 285).
    """
    blue = total[5] * (_WAVELENGTH / 715.0) ** 0.4
    q, ring = float(np.clip(d.q, 0.55, 0.95)), rng.uniform(0.8, 1.8)
    sx, sy = rng.normal(0, 0.18, 2) * ring
    size, sq, sa = rng.uniform(0.08, 0.2), rng.uniform(0.5, 1), rng.uniform(0, np.pi)
    f = np.sqrt(1 - q * q)

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        cos, sin = np.cos(d.angle), np.sin(d.angle)
        u, v = x * cos + y * sin, y * cos - x * sin
        psi = np.sqrt(q * q * u * u + v * v) + 1e-6
        bu = u - ring * np.sqrt(q) / f * np.arctan(f * u / psi) - sx
        bv = v - ring * np.sqrt(q) / f * np.arctanh(np.clip(f * v / psi, -0.999, 0.999)) - sy
        a, b = bu * np.cos(sa) + bv * np.sin(sa), (bv * np.cos(sa) - bu * np.sin(sa)) / sq
        return np.exp(-1.678 * np.sqrt(a * a + b * b) / size)

    return [Component(flux=blue, re=0.7 * ring, picture=picture)]
