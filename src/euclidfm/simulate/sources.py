"""The sources of a tile: how many of each kind, and where they lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.images.artefacts import ARTEFACTS
from euclidfm.simulate.population.galaxies import draw_galaxies
from euclidfm.simulate.population.point_sources import draw_quasars, draw_stars

__all__ = ["draw_positions", "draw_sources"]


def draw_sources(cfg: SkyConfig, n: int, rng: np.random.Generator) -> list[tuple[str, str, dict[str, Any]]]:
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
    names = list(ARTEFACTS)
    share = np.array([ARTEFACTS[k][0] for k in names])
    out += [("artefact", str(k), {}) for k in rng.choice(names, n_artefact, p=share / share.sum())]
    return out[:n]


def draw_positions(
    cfg: SkyConfig, size: int, reach: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the sources and which are blended.

    Positions are random, but sources rarely lie closer than they are large (the limit of
    deblending). A share `cfg.blend_fraction` is then moved onto the outskirts of another source.

    Parameters
    ----------
    cfg : SkyConfig
    size : int
        Side of the tile, pixels.
    reach : array of shape ``(sources,)``
        Radius that a source covers, pixels.
    rng : Generator

    Returns
    -------
    positions : array of shape ``(sources, 2)``, pixels
    blended : array of bool, shape ``(sources,)``
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
            j, angle = int(rng.integers(n)), rng.uniform(0, 2 * np.pi)
            if j != i and not blended[j]:
                away = rng.uniform(0.5, 1.0) * (reach[i] + reach[j]) / 2 + 3
                out[i] = np.clip(out[j] + away * np.array([np.cos(angle), np.sin(angle)]), 8, size - 8)
                blended[i] = True
    return out, blended
