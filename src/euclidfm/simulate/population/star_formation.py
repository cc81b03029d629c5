"""Star-formation rates, dust and spectra of galaxies of given redshift and stellar mass.

Sources
-------
Main sequence: Speagle et al. 2014 (ApJS 214, 15), eq. 28. Dust with mass: Garn & Best 2010
(MNRAS 409, 421). H-alpha equivalent width with specific star formation: after Fumagalli et al.
2012 (ApJ 757, L22). Mass-to-light ratio from g - i: Taylor et al. 2011 (MNRAS 418, 1587), eq. 7.

The constants from `NUV_R_AT_MINUS_9` to `HALPHA_NM` come from no paper: they were tuned on the
median colours of zCOSMOS galaxies.
"""

from __future__ import annotations

import numpy as np

from euclidfm.core.units import ujy_from_abmag
from euclidfm.simulate.cosmology import age_gyr, luminosity_distance_mpc
from euclidfm.simulate.seds.flux_table import Table, rest_table
from euclidfm.simulate.seds.templates import template_weights

__all__ = ["draw_spectra"]

SUN_I_ABMAG = 4.58
"""Absolute AB magnitude of the Sun in SDSS i (Taylor et al. 2011)."""

NUV_R_AT_MINUS_9 = 1.2
"""NUV - r without dust, AB, of a disc with a specific star-formation rate of 1e-9 per year."""

NUV_R_SLOPE = -0.85
"""Change of the dust-free NUV - r per dex of specific star-formation rate."""

NUV_R_SCATTER = 0.35
"""Scatter of the dust-free NUV - r at a given specific star-formation rate, magnitudes."""

DUST_IN_TEMPLATES = 0.15
"""Visual attenuation of the spirals that the templates were observed from, magnitudes."""

AGE, AGE_PER_Z = 0.6, -0.16
"""Age parameter (0 to 1, see `template_weights`) of a quiescent galaxy of 1e10 Msun, and its slope with z."""

HALPHA_NM = 1.6
"""Equivalent width of H-alpha, nm, at a specific star-formation rate of 1e-9 per year."""

AV_RANGE = (-0.3, 2.2)
"""Smallest and largest visual attenuation relative to the templates, magnitudes."""


def draw_spectra(
    z: np.ndarray,
    log_mass: np.ndarray,
    quiescent: np.ndarray,
    bulge_fraction: np.ndarray,
    inclination_av: np.ndarray,
    rng: np.random.Generator,
) -> Table:
    """Template weights (scaled to µJy) and attenuations of bulge and disc.

    The ultraviolet colour of a disc follows its specific star-formation rate, so trends with
    age and mass are those of the main sequence. Old populations are redder at higher mass.

    Parameters
    ----------
    z, log_mass, quiescent : array of shape ``(galaxies,)``
        Redshift, log10 of the stellar mass in Msun, and whether the galaxy is quiescent.
    bulge_fraction : array of shape ``(galaxies,)``
        Share of the rest-frame i light in the bulge.
    inclination_av : array of shape ``(galaxies,)``
        Additional visual attenuation of an inclined disc, magnitudes.
    rng : Generator

    Returns
    -------
    Table
        `log_sfr` (Msun/yr), `bulge_weights`, `bulge_av`, `disc_weights`, `disc_av`.
    """
    n, massive = z.size, log_mass - 10.0
    log_sfr = _log_sfr(z, log_mass, quiescent, rng)
    log_ssfr = log_sfr - log_mass
    age = np.clip(AGE + 0.22 * massive + AGE_PER_Z * z + 0.2 * rng.standard_normal(n), 0, 1)
    bulge_colour = 4.9 - np.clip(0.6 - 0.7 * massive + 0.5 * rng.standard_normal(n), 0, 2.5)
    disc_colour = NUV_R_AT_MINUS_9 + NUV_R_SLOPE * (log_ssfr + 9.0) + NUV_R_SCATTER * rng.standard_normal(n)
    av = _stellar_av(massive, quiescent, rng)
    halpha = HALPHA_NM * 10 ** np.clip(0.7 * (log_ssfr + 9.0) + 0.15 * rng.standard_normal(n), -3, 0.8)
    oxygen = halpha * 10 ** np.clip(-0.55 * massive - 0.55 + 0.2 * rng.standard_normal(n), -1.5, 0.7)

    zero = np.zeros(n)
    bulge_w = template_weights(~quiescent, bulge_colour, age, zero, zero)
    disc_w = template_weights(~quiescent, disc_colour, np.clip(age - 0.15, 0, 1), halpha, oxygen)
    bulge_av, disc_av = np.clip(0.6 * av, *AV_RANGE), np.clip(av, *AV_RANGE)
    rest = rest_table()
    bulge, disc = rest.fluxes(bulge_w, zero, bulge_av), rest.fluxes(disc_w, zero, disc_av)
    equal_i = (bulge[:, 1] / disc[:, 1])[:, None]
    bt = bulge_fraction
    total = bt[:, None] * bulge + (1 - bt)[:, None] * disc * equal_i
    scale = _i_flux_ujy(z, log_mass, total) / total[:, 1]
    return {
        "log_sfr": log_sfr,
        "bulge_weights": bulge_w * (scale * bt)[:, None],
        "bulge_av": bulge_av,
        "disc_weights": disc_w * equal_i * (scale * (1 - bt))[:, None],
        "disc_av": np.clip(disc_av + inclination_av, -0.3, 2.39),
    }


def _log_sfr(
    z: np.ndarray, log_mass: np.ndarray, quiescent: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Star-formation rate: main sequence of scatter 0.3 dex; quiescent galaxies 1.7 dex below."""
    t = age_gyr(z)
    sequence = (0.84 - 0.026 * t) * log_mass - (6.51 - 0.11 * t)
    offset = np.where(quiescent, -1.7, 0.0) + np.where(quiescent, 0.4, 0.3) * rng.standard_normal(z.size)
    return sequence + offset


def _stellar_av(massive: np.ndarray, quiescent: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Visual attenuation of the stars, relative to the dust that the templates hold."""
    a_halpha = np.clip(0.91 + 0.77 * massive + 0.11 * massive**2 - 0.09 * massive**3, 0, 2.5)
    # Stars have 0.44 of the gas's colour excess (Calzetti et al. 2000).
    stellar_av = 4.05 * 0.44 / 3.33 * a_halpha - DUST_IN_TEMPLATES
    scatter = rng.standard_normal(massive.size)
    return np.where(quiescent, np.abs(0.08 * scatter) - 0.05, np.clip(stellar_av + 0.28 * scatter, -0.3, 2.0))


def _i_flux_ujy(z: np.ndarray, log_mass: np.ndarray, rest_gi: np.ndarray) -> np.ndarray:
    """Flux of a galaxy in rest-frame i at its distance, µJy, from its mass and its g - i colour."""
    log_ml_i = -0.68 + 0.70 * -2.5 * np.log10(rest_gi[:, 0] / rest_gi[:, 1])
    abs_i = SUN_I_ABMAG - 2.5 * (log_mass - log_ml_i)
    modulus = 5 * np.log10(luminosity_distance_mpc(z) * 1e5)
    return ujy_from_abmag(abs_i + modulus)
