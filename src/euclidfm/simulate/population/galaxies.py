"""Galaxies of a catalogue: draws from the parent population that pass the selection."""

from __future__ import annotations

import numpy as np

from euclidfm.core.bands import SED_BANDS
from euclidfm.core.units import abmag_from_ujy
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.population.parent import draw_parent, galaxy_fluxes
from euclidfm.simulate.population.selection import selection_probability
from euclidfm.simulate.seds.flux_table import Table, galaxy_table

__all__ = ["draw_galaxies"]

VIS = SED_BANDS.index("VIS")

RARE = {"ring": (0.01, 0.05), "merger": (0.02, 0.07), "lens": (0.0003, 0.015)}
"""Shares of rare shapes among galaxies that can show them: in nature, and boosted.

Rings: Fernandez et al. 2021 (MNRAS 506), of order a per cent. Major mergers: Lotz et al.
2011 (ApJ 742, 103). Lenses: the Q1 strong-lens search, some 500 in 1e6 bright galaxies."""


def draw_galaxies(cfg: SkyConfig, n: int, rng: np.random.Generator) -> Table:
    """Draw `n` galaxies that pass the selection.

    Returns
    -------
    Table
        As `draw_parent`, with `bulge_flux` and `disc_flux` ``(n, bands)`` in µJy and
        `subtype`.
    """
    parts: list[Table] = []
    have = 0
    while have < n:
        part = draw_parent(8 * n + 200, rng)
        part["bulge_flux"], part["disc_flux"] = galaxy_fluxes(part, galaxy_table(cfg.curves))
        mag = abmag_from_ujy(part["bulge_flux"][:, VIS] + part["disc_flux"][:, VIS])
        keep = rng.random(mag.size) < selection_probability(mag, cfg.conditions.vis_limit, cfg.faint_thinning)
        part = {k: v[keep] for k, v in part.items()}
        parts.append(part)
        have += part["z"].size
    table = {k: np.concatenate([p[k] for p in parts])[:n] for k in parts[0]}
    table["subtype"] = _subtypes(cfg, table, rng)
    return table


def _subtypes(cfg: SkyConfig, t: Table, rng: np.random.Generator) -> np.ndarray:
    """Shape class of each galaxy.

    A third of discs are barred (Masters et al. 2011, MNRAS 411, 2026); low masses and high
    redshifts are irregular.
    """
    n = t["z"].size
    q, log_mass, spheroid, quiescent = t["axis_ratio"], t["log_mass"], t["spheroid"], t["quiescent"]
    u = rng.random(n)
    out = np.full(n, "spiral", dtype="U22")
    out[u < 0.32] = "barred"
    out[(log_mass < 9.2 + 0.3 * t["z"]) & (u > 0.45)] = "irregular"
    out[t["diffuse"]] = "low_surface_brightness"
    out[quiescent] = "lenticular"
    out[spheroid] = "elliptical"
    out[~spheroid & ~t["diffuse"] & (q < 0.27)] = "edge_on"
    mag = abmag_from_ujy(t["bulge_flux"][:, VIS] + t["disc_flux"][:, VIS])
    shows = (t["re_arcsec"] > 0.3) & (mag < 23.0)
    shows_share = max(float(shows.mean()), 0.05)
    for name, (natural, boosted) in RARE.items():
        share = natural ** (1 - cfg.rarity_boost) * boosted**cfg.rarity_boost
        can = shows & {"ring": ~spheroid & (q > 0.45), "merger": q > 0, "lens": spheroid | quiescent}[name]
        p = min(1.0, share / shows_share * shows.sum() / max(int(can.sum()), 1))
        out[can & (rng.random(n) < p)] = name
    return out
