"""The parent population: galaxies with their physical properties, before any selection.

Galaxies are drawn in redshift and stellar mass from the mass functions of star-forming and
quiescent galaxies. Shape, size, star-formation rate, dust and spectrum follow. The flux limit
then selects, so that n(z) and the number counts are results, not inputs.

Sources
-------
Sizes: van der Wel et al. 2014 (ApJ 788, 28). Axis ratios: random orientation of oblate discs
of thickness 0.2 (e.g. Unterborn & Ryden 2008, ApJ 687, 976) and of spheroids.
"""

from __future__ import annotations

import numpy as np

from euclidfm.simulate.cosmology import kpc_per_arcsec
from euclidfm.simulate.population.mass_function import mass_redshift_grid
from euclidfm.simulate.population.star_formation import draw_spectra
from euclidfm.simulate.seds.flux_table import FluxTable, Table

__all__ = ["draw_parent", "galaxy_fluxes"]


def draw_parent(n: int, rng: np.random.Generator) -> Table:
    """Draw galaxies before any selection.

    Returns
    -------
    Table
        `z`, `log_mass`, `log_sfr` (Msun/yr), `quiescent`, `spheroid`, `diffuse`, `bulge_fraction`
        (of light), `re_arcsec`, `bulge_re_arcsec`, `axis_ratio`, `position_angle` (deg),
        `sersic_index`, and the spectra for `galaxy_fluxes`: `bulge_weights`, `bulge_av`,
        `disc_weights`, `disc_av`.
    """
    z, log_mass, quiescent = _draw_masses(n, rng)
    massive = log_mass - 10.0
    spheroid = quiescent & (rng.random(n) < np.clip(0.35 + 0.35 * massive, 0.1, 0.9))
    bt = _bulge_fractions(log_mass, quiescent, spheroid, rng)
    q, disc_q = _axis_ratios(log_mass, spheroid, rng)
    inclination_av = np.where(quiescent, 0.0, 0.7 * np.log10(1 / disc_q))
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
    return shape | draw_spectra(z, log_mass, quiescent, bt, inclination_av, rng)


def galaxy_fluxes(t: Table, table: FluxTable) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes of bulge and disc in µJy through the filters of `table`, each ``(n, bands)``."""
    bulge = table.fluxes(t["bulge_weights"], t["z"], t["bulge_av"])
    return bulge, table.fluxes(t["disc_weights"], t["z"], t["disc_av"])


def _draw_masses(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Redshift, log stellar mass (Msun), and whether each galaxy is quiescent."""
    z_grid, m_grid, expected = mass_redshift_grid()
    cell = rng.choice(expected.size, size=n, p=(expected / expected.sum()).ravel())
    kind, iz, im = np.unravel_index(cell, expected.shape)
    z = z_grid[iz] + (rng.random(n) - 0.5) * (z_grid[1] - z_grid[0])
    log_mass = m_grid[im] + (rng.random(n) - 0.5) * (m_grid[1] - m_grid[0])
    return z, log_mass, kind == 1


def _bulge_fractions(
    log_mass: np.ndarray, quiescent: np.ndarray, spheroid: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Share of the light in the bulge; 1 for spheroids."""
    n, massive = log_mass.size, log_mass - 10.0
    disc_bt = np.clip(rng.beta(1.3, 4.5, n) * (0.6 + 0.5 * np.clip(massive + 0.6, 0, 1.6)), 0, 0.7)
    disc_bt[(log_mass < 9.3) & ~quiescent] *= 0.2
    return np.where(spheroid, 1.0, np.where(quiescent, rng.beta(5, 5, n), disc_bt))


def _axis_ratios(
    log_mass: np.ndarray, spheroid: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Projected axis ratios of the galaxies and of their discs, randomly oriented."""
    n = log_mass.size
    cos_i = rng.random(n)
    thickness = np.clip(0.2 + 0.05 * rng.standard_normal(n) + 0.1 * (log_mass < 9), 0.1, 0.5)
    disc_q = np.sqrt(cos_i**2 * (1 - thickness**2) + thickness**2)
    return np.where(spheroid, np.clip(1 - rng.beta(1.7, 4.0, n), 0.3, 1.0), disc_q), disc_q


def _size_kpc(
    log_mass: np.ndarray, z: np.ndarray, quiescent: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Half-light radius along the major axis, kpc (van der Wel et al. 2014, Table 1 and Fig. 6).

    The relation of early types flattens below 2e10 solar masses, as in that paper.
    """
    x = log_mass - np.log10(5e10)
    late = np.log10(8.9) - 0.75 * np.log10(1 + z) + 0.22 * x + 0.18 * rng.standard_normal(z.size)
    steep = (
        np.log10(5.6) - 1.48 * np.log10(1 + z) + 0.75 * np.maximum(x, -0.4) + 0.25 * np.minimum(x + 0.4, 0)
    )
    early = steep + 0.13 * rng.standard_normal(z.size)
    return 10 ** np.where(quiescent, early, late)
