"""Who is in a tile: galaxies, stars and quasars with their physical properties.

Galaxies are drawn in redshift and stellar mass from mass functions of star-forming and
quiescent galaxies; their spectra, sizes and shapes follow from published relations; the
flux limit then selects, so n(z) and the counts emerge.

Sources
-------
Muzzin et al. 2013 (ApJ 777, 18): mass functions. van der Wel et al. 2014 (ApJ 788, 28):
sizes. Taylor et al. 2011 (MNRAS 418, 1587): mass-to-light ratios from g - i. Garn & Best
2010 (MNRAS 409, 421): dust with mass. Planck Collaboration 2020: flat LCDM, H0 = 67.7,
Om = 0.31.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.seds import galaxy_table, quasar_table, star_colours, template_weights
from euclidfm.survey import AB_ZEROPOINT_UJY, SED_BANDS, abmag_from_ujy, ujy_from_abmag

__all__ = [
    "Table",
    "draw_galaxies",
    "draw_quasars",
    "draw_stars",
    "kpc_per_arcsec",
    "luminosity_distance_mpc",
]

Table = dict[str, np.ndarray]
"""Columns of equal length."""

VIS = SED_BANDS.index("VIS")
H0, OMEGA_M = 67.7, 0.31
SUN_I_ABMAG = 4.58
"""Absolute AB magnitude of the Sun in SDSS i (Taylor et al. 2011)."""

# Single Schechter fits: redshift, log M*, phi* (1e-4 / Mpc^3), slope (Muzzin et al. 2013, Table 1).
_STAR_FORMING = np.array(
    [
        [0.35, 10.81, 11.35, -1.34],
        [0.75, 10.78, 12.71, -1.26],
        [1.25, 10.76, 8.87, -1.21],
        [1.75, 10.85, 5.68, -1.16],
    ]
)
_QUIESCENT = np.array(
    [
        [0.35, 11.21, 10.09, -0.92],
        [0.75, 10.87, 13.68, -0.44],
        [1.25, 10.73, 8.81, -0.17],
        [1.75, 10.67, 4.15, 0.03],
    ]
)

# Shares of rare shapes among the galaxies that can show them: in nature, and boosted.
RARE = {"ring": (0.01, 0.05), "merger": (0.02, 0.07), "lens": (0.0003, 0.015)}


@cache
def _distance_grid() -> tuple[np.ndarray, np.ndarray]:
    z = np.linspace(0, 6, 6001)
    inverse_e = 1 / np.sqrt(OMEGA_M * (1 + z) ** 3 + 1 - OMEGA_M)
    steps = 0.5 * (inverse_e[1:] + inverse_e[:-1]) * np.diff(z)
    return z, 299792.458 / H0 * np.concatenate([[0.0], np.cumsum(steps)])


def luminosity_distance_mpc(z: np.ndarray) -> np.ndarray:
    """Luminosity distance in Mpc."""
    return np.interp(z, *_distance_grid()) * (1 + z)


def kpc_per_arcsec(z: np.ndarray) -> np.ndarray:
    """Proper kpc in one arcsecond."""
    return np.interp(z, *_distance_grid()) / (1 + z) * 1000 / 206264.8


def _schechter(log_mass: np.ndarray, z: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Number density per Mpc^3 and dex on the grid, parameters linear in redshift."""
    m_star, phi, alpha = (np.interp(z, fit[:, 0], fit[:, k])[:, None] for k in (1, 2, 3))
    x = 10 ** (log_mass[None] - m_star)
    return np.log(10) * phi * 1e-4 * x ** (alpha + 1) * np.exp(-x)


@cache
def _mass_redshift_grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Redshifts, log masses and expected galaxies per arcmin^2 per cell, for the two types."""
    z = np.linspace(0.025, 2.475, 246)
    log_mass = np.linspace(7.8, 12.0, 127)
    distance = np.interp(z, *_distance_grid())
    shell = distance**2 * 299792.458 / H0 / np.sqrt(OMEGA_M * (1 + z) ** 3 + 1 - OMEGA_M)
    per_arcmin2 = shell * (z[1] - z[0]) * (np.pi / 180 / 60) ** 2 * (log_mass[1] - log_mass[0])
    density = np.stack([_schechter(log_mass, z, fit) for fit in (_STAR_FORMING, _QUIESCENT)])
    return z, log_mass, density * per_arcmin2[None, :, None]


def draw_galaxies(cfg: SkyConfig, n: int, rng: np.random.Generator) -> Table:
    """Draw `n` galaxies that pass the flux limit.

    Returns
    -------
    Table
        `z`, `log_mass`, `quiescent`, `bulge_fraction` (of VIS light), `re_arcsec`,
        `bulge_re_arcsec`, `axis_ratio`, `position_angle` (deg), `sersic_index`, `age_type`,
        `bulge_flux` and `disc_flux` ``(n, bands)`` in µJy, `subtype`.
    """
    parts: list[Table] = []
    have = 0
    while have < n:
        part = _select(cfg, _draw_parent(6 * n + 200, rng), rng)
        parts.append(part)
        have += part["z"].size
    table = {k: np.concatenate([p[k] for p in parts])[:n] for k in parts[0]}
    table["subtype"] = _subtypes(cfg, table, rng)
    return table


def _draw_parent(n: int, rng: np.random.Generator) -> Table:
    """Galaxies before selection."""
    z_grid, m_grid, expected = _mass_redshift_grid()
    shape = expected.shape
    # Favour cells that can pass the limit: faint dwarfs far away never do.
    reachable = expected * (m_grid[None, None] > 7.8 + 1.9 * np.log10(z_grid / 0.1 + 0.3)[None, :, None])
    cell = rng.choice(reachable.size, size=n, p=(reachable / reachable.sum()).ravel())
    quiescent, iz, im = np.unravel_index(cell, shape)
    quiescent = quiescent == 1
    z = z_grid[iz] + (rng.random(n) - 0.5) * (z_grid[1] - z_grid[0])
    log_mass = m_grid[im] + (rng.random(n) - 0.5) * (m_grid[1] - m_grid[0])

    massive = log_mass - 10.0
    spheroid = quiescent & (rng.random(n) < np.clip(0.35 + 0.35 * massive, 0.1, 0.9))
    disc_bt = np.clip(rng.beta(1.3, 4.5, n) * (0.6 + 0.5 * np.clip(massive + 0.6, 0, 1.6)), 0, 0.7)
    disc_bt[(log_mass < 9.3) & ~quiescent] *= 0.2
    bt = np.where(spheroid, 1.0, np.where(quiescent, rng.beta(5, 5, n), disc_bt))

    fluxes, age_type = _spectra(z, log_mass, quiescent, bt, rng)
    cos_i = rng.random(n)
    thickness = np.clip(0.2 + 0.05 * rng.standard_normal(n) + 0.1 * (log_mass < 9), 0.1, 0.5)
    disc_q = np.sqrt(cos_i**2 * (1 - thickness**2) + thickness**2)
    q = np.where(spheroid, np.clip(1 - rng.beta(1.7, 4.0, n), 0.3, 1.0), disc_q)
    inclined = np.where(spheroid | quiescent, 0.0, 0.7 * np.log10(1 / disc_q))
    dimming = 10 ** (
        -0.4 * inclined[:, None] * (np.array([1.5, 1.2, 0.85, 0.65, 0.5, 0.75, 0.4, 0.27, 0.18]))
    )

    re_kpc = _size_kpc(log_mass, z, quiescent, rng)
    re = re_kpc / kpc_per_arcsec(z)
    bulge_re = np.where(spheroid, re, re * np.clip(0.15 + 0.35 * bt, 0.1, 0.5))
    index = np.where(
        spheroid,
        np.clip(rng.normal(3.2 + 0.8 * massive, 0.7), 1.5, 6.0),
        np.clip(rng.normal(2.5, 0.7, n), 1.0, 4.0),
    )
    return {
        "z": z,
        "log_mass": log_mass,
        "quiescent": quiescent,
        "spheroid": spheroid,
        "bulge_fraction": bt,
        "re_arcsec": re,
        "bulge_re_arcsec": bulge_re,
        "axis_ratio": q,
        "position_angle": rng.random(n) * 180.0,
        "sersic_index": index,
        "age_type": age_type,
        "bulge_flux": fluxes[0],
        "disc_flux": fluxes[1] * dimming,
    }


def _spectra(
    z: np.ndarray, log_mass: np.ndarray, quiescent: np.ndarray, bt: np.ndarray, rng: np.random.Generator
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Fluxes of bulge and disc in µJy, and the disc's spectral type."""
    n, massive = z.size, log_mass - 10.0
    table = galaxy_table()
    metal = np.clip(0.55 + 0.25 * massive - 0.15 * z + 0.18 * rng.standard_normal(n), 0, 1)
    bulge_type = np.clip(0.05 + 0.1 * z + 0.10 * np.abs(rng.standard_normal(n)), 0, 1)
    bulge_type += np.where(
        quiescent, 0.0, np.clip(0.25 - 0.3 * massive + 0.25 * rng.standard_normal(n), 0, 1.6)
    )
    disc_type = np.where(
        quiescent,
        bulge_type + 0.25 * rng.random(n),
        np.clip(1.75 - 0.62 * massive + 0.35 * z + 0.42 * rng.standard_normal(n), 0.7, 3.9),
    )
    a_halpha = np.clip(0.91 + 0.77 * massive + 0.11 * massive**2 - 0.09 * massive**3, 0, 2.5)
    av = np.where(
        quiescent,
        np.abs(0.08 * rng.standard_normal(n)) - 0.05,
        np.clip(0.45 * (a_halpha - 0.8) + 0.28 * rng.standard_normal(n), -0.3, 2.2),
    )
    strength = np.where(quiescent, 0.1, 1.0) * 10 ** (0.25 * rng.standard_normal(n))
    balmer = strength * 0.8 * np.exp(0.62 * (disc_type - 1.0)) * (1 + z) ** 0.6
    oxygen = balmer * 10 ** np.clip(-0.55 * massive - 0.55 + 0.2 * rng.standard_normal(n), -1.5, 0.7)

    none = np.zeros(n)
    bulge, bulge_gi = table.fluxes(
        template_weights(bulge_type, metal, none, none), z, np.clip(0.6 * av, -0.3, 2.2)
    )
    disc, disc_gi = table.fluxes(template_weights(disc_type, metal, balmer, oxygen), z, av)
    to_disc = ((1 - bt) / np.maximum(bt, 1e-6)) * bulge[:, VIS] / disc[:, VIS]
    to_disc = np.minimum(to_disc, 1e6)
    bulge_share = np.where(bt > 0, 1.0, 0.0)
    gi = bulge_gi * bulge_share[:, None] + disc_gi * to_disc[:, None]
    log_ml_i = -0.68 + 0.70 * -2.5 * np.log10(gi[:, 0] / gi[:, 1])
    abs_i = SUN_I_ABMAG - 2.5 * (log_mass - log_ml_i)
    modulus = 5 * np.log10(luminosity_distance_mpc(z) * 1e5)
    scale = ujy_from_abmag(abs_i + modulus) / gi[:, 1] * (1 + z) ** 2
    # Table fluxes hold f_lambda(rest)/(1+z); an f_nu at distance D_L is (1+z) L_nu / 4 pi D_L^2.
    scale = scale / (1 + z) ** 2
    return (bulge * (scale * bulge_share)[:, None], disc * (scale * to_disc)[:, None]), disc_type


def _size_kpc(
    log_mass: np.ndarray, z: np.ndarray, quiescent: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Half-light radius along the major axis, kpc (van der Wel et al. 2014, Table 1 and Fig. 5)."""
    x = log_mass - np.log10(5e10)
    late = np.log10(8.9) - 0.75 * np.log10(1 + z) + 0.22 * x + 0.18 * rng.standard_normal(z.size)
    steep = (
        np.log10(5.6) - 1.48 * np.log10(1 + z) + 0.75 * np.maximum(x, -0.4) + 0.25 * np.minimum(x + 0.4, 0)
    )
    early = steep + 0.13 * rng.standard_normal(z.size)
    return 10 ** np.where(quiescent, early, late)


def _select(cfg: SkyConfig, t: Table, rng: np.random.Generator) -> Table:
    mag = abmag_from_ujy(t["bulge_flux"][:, VIS] + t["disc_flux"][:, VIS])
    keep = (mag < cfg.look.vis_limit) & (mag > 16.5)
    keep &= rng.random(mag.size) < 10 ** (-cfg.faint_thinning * np.maximum(mag - 20.5, 0))
    return {k: v[keep] for k, v in t.items()}


def _subtypes(cfg: SkyConfig, t: Table, rng: np.random.Generator) -> np.ndarray:
    """Shape class of each galaxy."""
    n = t["z"].size
    q, log_mass, spheroid, quiescent = t["axis_ratio"], t["log_mass"], t["spheroid"], t["quiescent"]
    u = rng.random(n)
    out = np.full(n, "spiral", dtype="U16")
    out[u < 0.32] = "barred"
    out[(log_mass < 9.2 + 0.3 * t["z"]) & (u > 0.45)] = "irregular"
    out[quiescent] = "lenticular"
    out[spheroid] = "elliptical"
    out[~spheroid & (q < 0.3)] = "edge_on"
    mag = abmag_from_ujy(t["bulge_flux"][:, VIS] + t["disc_flux"][:, VIS])
    shows = (t["re_arcsec"] > 0.3) & (mag < 23.0)
    shows_share = max(shows.mean(), 0.05)
    for name, (natural, boosted) in RARE.items():
        share = natural ** (1 - cfg.rarity_boost) * boosted**cfg.rarity_boost
        can = shows & {"ring": ~spheroid & (q > 0.45), "merger": q > 0, "lens": spheroid | quiescent}[name]
        p = min(1.0, share / shows_share * shows.sum() / max(can.sum(), 1))
        out[can & (rng.random(n) < p)] = name
    return out


def draw_stars(n: int, rng: np.random.Generator) -> Table:
    """Galactic stars: a temperature mix that runs from turn-off to M dwarfs with depth.

    Counts rise as 10**(0.2 mag), the slope at high latitude (e.g. Robin et al. 2003).
    """
    u = rng.random(n)
    mag = 16.0 + np.log10(1 + u * (10 ** (0.2 * 8.3) - 1)) / 0.2
    dwarf = rng.random(n) < np.clip(0.35 + 0.07 * (mag - 17), 0, 0.8)
    teff = np.where(dwarf, rng.normal(3500, 320, n), rng.normal(5500, 600, n))
    hot = rng.random(n) < 0.03
    teff = np.clip(np.where(hot, rng.uniform(7000, 16000, n), teff), 2500, 20000)
    flux = star_colours(teff, np.clip(rng.normal(0.6, 0.25, n), 0, 1)) * ujy_from_abmag(mag)[:, None]
    return {"flux": flux, "teff": teff}


def draw_quasars(n: int, rng: np.random.Generator) -> Table:
    """Quasars: 0.3 < z < 4.5 peaking near 1.6, power laws with broad lines, mild reddening."""
    z = np.clip(rng.gamma(5.0, 0.34, n) + 0.1, 0.3, 4.5)
    mag = 23.5 - 4.5 * rng.beta(1.6, 2.2, n)
    share = rng.random(n)
    av = np.clip(rng.exponential(0.08, n), 0, 1.5)
    flux, _ = quasar_table().fluxes(np.column_stack([1 - share, share]), z, av)
    return {"z": z, "flux": flux / flux[:, [VIS]] * ujy_from_abmag(mag)[:, None]}


assert AB_ZEROPOINT_UJY == 23.9
