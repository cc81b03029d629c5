"""Structure of mergers: a companion with tidal tails, and shells."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit

from euclidfm.simulate.images.components import Component, Knots
from euclidfm.simulate.images.discs import Disc, smooth, spiral, split_light

__all__ = ["companion", "merger", "shells"]


def companion(d: Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """A second galaxy, and the tidal tails of both: curved ribbons that fade and widen outwards."""
    where, far = rng.uniform(0, 2 * np.pi), rng.uniform(1.2, 2.2) * d.re
    x, y = far * math.cos(where), far * math.sin(where)
    sweep, thick = rng.uniform(1.6, 2.8), rng.uniform(0.12, 0.22) * d.re
    hand, lengths = float(rng.choice([-1.0, 1.0])), rng.uniform(1.5, 3.0, 2) * d.re
    t = np.linspace(0.1, 1.0, 16)
    tail_x, tail_y = [], []
    for start, cx, cy, length in ((0.0, x, y, lengths[0]), (np.pi, 0.0, 0.0, lengths[1])):
        angle, r = where + start + hand * sweep * t, 0.8 * (0.5 * d.re + length * t)
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


def shells(d: Disc, flux: np.ndarray, rng: np.random.Generator) -> Component:
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


def merger(d: Disc, flux: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """A disc with a companion; one in five has shells, half of the others have arms."""
    main, other = split_light(flux, rng.uniform(0.3, 0.6), -0.2)
    if rng.random() < 0.2:
        main, shell_light = split_light(main, 0.1, 0.0)
        return [*smooth(d, main, rng), *companion(d, other, rng), shells(d, shell_light, rng)]
    first = spiral(d, main, rng) if rng.random() < 0.5 else smooth(d, main, rng)
    return [*first, *companion(d, other, rng)]
