"""Who is in a tile: galaxies with their physical properties, from published relations.

Galaxies are drawn in redshift and stellar mass from mass functions of star-forming and
quiescent galaxies. Star-formation rate, dust, spectrum, size and shape follow; the flux
limit then selects, so that n(z) and the counts emerge.

Sources
-------
Mass functions: Davidzon et al. 2017 (A&A 605, A70), Table 2, and at z = 0 Baldry et al. 2012
(MNRAS 421, 621). Main sequence: Speagle et al. 2014 (ApJS 214, 15), eq. 28. Dust with mass:
Garn & Best 2010 (MNRAS 409, 421). H-alpha equivalent width with specific star formation:
after Fumagalli et al. 2012 (ApJ 757, L22). Mass-to-light ratio from g - i: Taylor et al. 2011
(MNRAS 418, 1587), eq. 7. Sizes: van der Wel et al. 2014 (ApJ 788, 28). Axis ratios: random
orientation of oblate discs of thickness 0.2 (e.g. Unterborn & Ryden 2008, ApJ 687, 976) and
of spheroids.

Tuned, not taken from a paper: the five constants from `NUV_R_AT_MINUS_9` to `HALPHA_NM`, on
the median colours of zCOSMOS galaxies.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from euclidfm.core.bands import SED_BANDS, abmag_from_ujy, ujy_from_abmag
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.cosmology import age_gyr, kpc_per_arcsec, luminosity_distance_mpc, volume_per_arcmin2
from euclidfm.simulate.seds import FluxTable, Table, galaxy_table, rest_table, template_weights

__all__ = [
    "draw_galaxies",
    "draw_parent",
    "galaxy_density",
    "galaxy_fluxes",
    "mass_function",
    "parent_density",
]

VIS = SED_BANDS.index("VIS")
SUN_I_ABMAG = 4.58
"""Absolute AB magnitude of the Sun in SDSS i (Taylor et al. 2011)."""

BRIGHTEST = 16.5
"""VIS magnitude above which a galaxy would fill its neighbourhood."""

# Double Schechter fits: redshift, log M*, phi1, slope 1, phi2, slope 2; phi in 1e-3 / Mpc^3 per unit mass.
# The first row is local (Baldry et al. 2012), the others Davidzon et al. 2017 (Chabrier IMF, h = 0.7).
_STAR_FORMING = (
    (0.05, 10.72, 0.71, -1.45, 0.0, 0.0),
    (0.35, 10.26, 2.41, -1.29, 1.30, 1.01),
    (0.65, 10.40, 1.661, -1.32, 0.86, 0.84),
    (0.95, 10.35, 1.739, -1.29, 0.95, 0.81),
    (1.30, 10.42, 1.542, -1.21, 0.49, 1.11),
    (1.75, 10.40, 1.156, -1.24, 0.46, 0.90),
    (2.25, 10.45, 0.441, -1.50, 0.38, 0.59),
)
_QUIESCENT = (
    (0.05, 10.72, 0.08, -1.45, 3.25, -0.45),
    (0.35, 10.83, 0.098, -1.30, 1.58, -0.39),
    (0.65, 10.83, 0.012, -1.46, 1.44, -0.21),
    (0.95, 10.75, 0.0, 0.0, 1.724, -0.07),
    (1.30, 10.56, 0.0, 0.0, 0.757, 0.53),
    (1.75, 10.54, 0.0, 0.0, 0.251, 0.93),
    (2.25, 10.69, 0.0, 0.0, 0.068, 0.17),
)

RARE = {"ring": (0.01, 0.05), "merger": (0.02, 0.07), "lens": (0.0003, 0.015)}
"""Shares of rare shapes among galaxies that can show them: in nature, and boosted.

Rings: Fernandez et al. 2021 (MNRAS 506), of order a per cent. Major mergers: Lotz et al.
2011 (ApJ 742, 103). Lenses: the Q1 strong-lens search, some 500 in 1e6 bright galaxies."""


NUV_R_AT_MINUS_9 = 1.2
"""Dust-free NUV - r of a disc with 1e-9 stars formed per year and star."""

NUV_R_SLOPE = -0.85
"""Change of the dust-free NUV - r per dex of specific star-formation rate."""

NUV_R_SCATTER = 0.35
"""Scatter of the dust-free NUV - r at a given specific star-formation rate, magnitudes."""

DUST_IN_TEMPLATES = 0.15
"""Visual attenuation of the observed spirals behind the templates, magnitudes."""

AGE, AGE_PER_Z = 0.6, -0.16
"""Place of a quiescent galaxy of 1e10 solar masses among the passive templates, 0 to 1, and its change."""

HALPHA_NM = 1.6
"""Equivalent width of H-alpha at 1e-9 stars formed per year and star, nm."""


def mass_function(log_mass: np.ndarray, z: np.ndarray, quiescent: bool) -> np.ndarray:
    """Galaxies per Mpc^3 and dex, shape ``(redshifts, masses)``.

    Double Schechter functions of Baldry et al. 2012 and Davidzon et al. 2017; between their
    redshifts the logarithm of the number is interpolated, beyond them it is constant.
    """
    fits = np.array(_QUIESCENT if quiescent else _STAR_FORMING)
    x = 10 ** (log_mass[None] - fits[:, 1, None])
    phi1, slope1, phi2, slope2 = (fits[:, k, None] for k in (2, 3, 4, 5))
    number = np.log(10) * 1e-3 * np.exp(-x) * (phi1 * x ** (slope1 + 1) + phi2 * x ** (slope2 + 1))
    logs = np.log(np.maximum(number, 1e-30))
    return np.exp(np.stack([np.interp(z, fits[:, 0], column) for column in logs.T], axis=1))


@cache
def _mass_redshift_grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Redshifts, log masses and galaxies per arcmin^2 in each cell ``(2, z, mass)``.

    Cells whose galaxies are fainter than VIS 26.5 whatever their spectrum are empty.
    """
    z = np.linspace(0.025, 2.575, 256)
    log_mass = np.linspace(6.2, 12.0, 175)
    volume = volume_per_arcmin2(z, z[1] - z[0])[:, None] * (log_mass[1] - log_mass[0])
    density = np.stack([mass_function(log_mass, z, quiescent) for quiescent in (False, True)]) * volume
    reachable = log_mass[None] > 6.3 + 1.9 * np.log10(z / 0.1 + 0.3)[:, None]
    return z, log_mass, density * reachable


def parent_density() -> float:
    """Galaxies per square arcminute in the population that `draw_parent` draws from."""
    return float(_mass_redshift_grid()[2].sum())


def draw_parent(n: int, rng: np.random.Generator) -> Table:
    """Draw galaxies before any selection.

    Returns
    -------
    Table
        `z`, `log_mass`, `log_sfr` (Msun/yr), `quiescent`, `spheroid`, `bulge_fraction`
        (of light), `re_arcsec`, `bulge_re_arcsec`, `axis_ratio`, `position_angle` (deg),
        `sersic_index`, and the spectra: `bulge_weights`, `bulge_av`, `disc_weights`,
        `disc_av` for `galaxy_fluxes`.
    """
    z_grid, m_grid, expected = _mass_redshift_grid()
    cell = rng.choice(expected.size, size=n, p=(expected / expected.sum()).ravel())
    kind, iz, im = np.unravel_index(cell, expected.shape)
    quiescent = kind == 1
    z = z_grid[iz] + (rng.random(n) - 0.5) * (z_grid[1] - z_grid[0])
    log_mass = m_grid[im] + (rng.random(n) - 0.5) * (m_grid[1] - m_grid[0])
    massive = log_mass - 10.0

    spheroid = quiescent & (rng.random(n) < np.clip(0.35 + 0.35 * massive, 0.1, 0.9))
    disc_bt = np.clip(rng.beta(1.3, 4.5, n) * (0.6 + 0.5 * np.clip(massive + 0.6, 0, 1.6)), 0, 0.7)
    disc_bt[(log_mass < 9.3) & ~quiescent] *= 0.2
    bt = np.where(spheroid, 1.0, np.where(quiescent, rng.beta(5, 5, n), disc_bt))

    cos_i = rng.random(n)
    thickness = np.clip(0.2 + 0.05 * rng.standard_normal(n) + 0.1 * (log_mass < 9), 0.1, 0.5)
    disc_q = np.sqrt(cos_i**2 * (1 - thickness**2) + thickness**2)
    q = np.where(spheroid, np.clip(1 - rng.beta(1.7, 4.0, n), 0.3, 1.0), disc_q)
    inclined = np.where(quiescent, 0.0, 0.7 * np.log10(1 / disc_q))

    re = _size_kpc(log_mass, z, quiescent, rng) / kpc_per_arcsec(z)
    diffuse = ~quiescent & (log_mass < 9.8) & (rng.random(n) < 0.05)
    re = np.where(diffuse, re * 10 ** rng.uniform(0.25, 0.45, n), re)
    index = np.where(
        spheroid,
        np.clip(rng.normal(3.2 + 0.8 * massive, 0.7), 1.5, 6.0),
        np.clip(rng.normal(2.5, 0.7, n), 1.0, 4.0),
    )
    shape = {
        "z": z,
        "log_mass": log_mass,
        "quiescent": quiescent,
        "spheroid": spheroid,
        "diffuse": diffuse,
        "bulge_fraction": bt,
        "re_arcsec": re,
        "bulge_re_arcsec": np.where(spheroid, re, re * np.clip(0.15 + 0.35 * bt, 0.1, 0.5)),
        "axis_ratio": q,
        "position_angle": rng.random(n) * 180.0,
        "sersic_index": index,
    }
    return shape | _spectra(z, log_mass, quiescent, bt, inclined, rng)


def _log_sfr(
    z: np.ndarray, log_mass: np.ndarray, quiescent: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Star-formation rate: main sequence of scatter 0.3 dex; quiescent galaxies 1.7 dex below."""
    t = age_gyr(z)
    sequence = (0.84 - 0.026 * t) * log_mass - (6.51 - 0.11 * t)
    offset = np.where(quiescent, -1.7, 0.0) + np.where(quiescent, 0.4, 0.3) * rng.standard_normal(z.size)
    return sequence + offset


def _spectra(
    z: np.ndarray,
    log_mass: np.ndarray,
    quiescent: np.ndarray,
    bt: np.ndarray,
    inclined: np.ndarray,
    rng: np.random.Generator,
) -> Table:
    """Template weights (scaled to µJy) and attenuations of bulge and disc.

    The ultraviolet colour of a disc follows its specific star-formation rate, so age and mass
    trends are those of the main sequence; old populations are redder the more massive they are.
    """
    n, massive = z.size, log_mass - 10.0
    log_sfr = _log_sfr(z, log_mass, quiescent, rng)
    log_ssfr = log_sfr - log_mass
    age = np.clip(AGE + 0.22 * massive + AGE_PER_Z * z + 0.2 * rng.standard_normal(n), 0, 1)
    bulge_colour = 4.9 - np.clip(0.6 - 0.7 * massive + 0.5 * rng.standard_normal(n), 0, 2.5)
    disc_colour = NUV_R_AT_MINUS_9 + NUV_R_SLOPE * (log_ssfr + 9.0) + NUV_R_SCATTER * rng.standard_normal(n)
    a_halpha = np.clip(0.91 + 0.77 * massive + 0.11 * massive**2 - 0.09 * massive**3, 0, 2.5)
    # Stars see 0.44 of the gas's colour excess (Calzetti et al. 2000); the templates hold some dust.
    stellar_av = 4.05 * 0.44 / 3.33 * a_halpha - DUST_IN_TEMPLATES
    scatter = rng.standard_normal(n)
    av = np.where(quiescent, np.abs(0.08 * scatter) - 0.05, np.clip(stellar_av + 0.28 * scatter, -0.3, 2.0))
    halpha = HALPHA_NM * 10 ** np.clip(0.7 * (log_ssfr + 9.0) + 0.15 * rng.standard_normal(n), -3, 0.8)
    oxygen = halpha * 10 ** np.clip(-0.55 * massive - 0.55 + 0.2 * rng.standard_normal(n), -1.5, 0.7)

    none = np.zeros(n)
    bulge_w, disc_w = (
        template_weights(~quiescent, bulge_colour, age, none, none),
        template_weights(~quiescent, disc_colour, np.clip(age - 0.15, 0, 1), halpha, oxygen),
    )
    bulge_av, disc_av = np.clip(0.6 * av, -0.3, 2.2), np.clip(av, -0.3, 2.2)
    rest = rest_table()
    zero = np.zeros(n)
    bulge, disc = rest.fluxes(bulge_w, zero, bulge_av), rest.fluxes(disc_w, zero, disc_av)
    disc_w = disc_w * (bulge[:, 1] / disc[:, 1])[:, None]
    total = bt[:, None] * bulge + (1 - bt)[:, None] * disc * (bulge[:, 1] / disc[:, 1])[:, None]
    log_ml_i = -0.68 + 0.70 * -2.5 * np.log10(total[:, 0] / total[:, 1])
    abs_i = SUN_I_ABMAG - 2.5 * (log_mass - log_ml_i)
    modulus = 5 * np.log10(luminosity_distance_mpc(z) * 1e5)
    scale = ujy_from_abmag(abs_i + modulus) / total[:, 1]
    return {
        "log_sfr": log_sfr,
        "bulge_weights": bulge_w * (scale * bt)[:, None],
        "bulge_av": bulge_av,
        "disc_weights": disc_w * (scale * (1 - bt))[:, None],
        "disc_av": np.clip(disc_av + inclined, -0.3, 2.39),
    }


def galaxy_fluxes(t: Table, table: FluxTable) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes of bulge and disc in µJy through the filters of `table`, each ``(n, bands)``."""
    bulge = table.fluxes(t["bulge_weights"], t["z"], t["bulge_av"])
    return bulge, table.fluxes(t["disc_weights"], t["z"], t["disc_av"])


def _size_kpc(
    log_mass: np.ndarray, z: np.ndarray, quiescent: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Half-light radius along the major axis, kpc (van der Wel et al. 2014, Table 1 and Fig. 6).

    Early types flatten below 2e10 solar masses, as they find.
    """
    x = log_mass - np.log10(5e10)
    late = np.log10(8.9) - 0.75 * np.log10(1 + z) + 0.22 * x + 0.18 * rng.standard_normal(z.size)
    steep = (
        np.log10(5.6) - 1.48 * np.log10(1 + z) + 0.75 * np.maximum(x, -0.4) + 0.25 * np.minimum(x + 0.4, 0)
    )
    early = steep + 0.13 * rng.standard_normal(z.size)
    return 10 ** np.where(quiescent, early, late)


def selection_chance(cfg: SkyConfig, vis_mag: np.ndarray) -> np.ndarray:
    """Chance that a galaxy of this VIS magnitude is catalogued."""
    inside = (vis_mag < cfg.look.vis_limit) & (vis_mag > BRIGHTEST)
    return inside * 10 ** (-cfg.faint_thinning * np.maximum(vis_mag - 20.5, 0))


def galaxy_density(cfg: SkyConfig) -> float:
    """Catalogued galaxies per square arcminute, by a Monte Carlo estimate of a fixed seed."""
    t = draw_parent(30_000, np.random.default_rng(0))
    bulge, disc = galaxy_fluxes(t, galaxy_table(cfg.curves))
    return parent_density() * float(
        selection_chance(cfg, abmag_from_ujy(bulge[:, VIS] + disc[:, VIS])).mean()
    )


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
        keep = rng.random(mag.size) < selection_chance(cfg, mag)
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
