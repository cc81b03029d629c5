"""Point sources: Galactic stars and quasars."""

from __future__ import annotations

import numpy as np

from euclidfm.core.bands import SED_BANDS
from euclidfm.core.units import ujy_from_abmag
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.cosmology import kpc_per_arcsec
from euclidfm.simulate.seds.flux_table import Table, galaxy_table
from euclidfm.simulate.seds.quasars import quasar_table
from euclidfm.simulate.seds.stars import star_colours
from euclidfm.simulate.seds.templates import template_weights

__all__ = ["draw_quasars", "draw_stars"]

VIS = SED_BANDS.index("VIS")


def draw_stars(cfg: SkyConfig, n: int, rng: np.random.Generator) -> Table:
    """Galactic stars at high latitude.

    Counts rise as 10**(0.15 mag) between VIS 16 and the limit, and the mix goes from
    main-sequence turn-off stars of the disc and halo to M dwarfs with depth (the behaviour
    of the Besancon model, Robin et al. 2003, A&A 409, 523). 3% are hot (white dwarfs,
    blue horizontal branch).

    Returns
    -------
    Table
        `flux` in µJy ``(n, bands)`` and `teff` in K.
    """
    span = 10 ** (0.15 * (cfg.conditions.vis_limit - 16.0)) - 1
    mag = 16.0 + np.log10(1 + rng.random(n) * span) / 0.15
    dwarf = rng.random(n) < np.clip(0.35 + 0.07 * (mag - 17), 0, 0.8)
    teff = np.where(dwarf, rng.normal(3500, 320, n), rng.normal(5500, 600, n))
    hot = rng.random(n) < 0.03
    teff = np.clip(np.where(hot, rng.uniform(7000, 16000, n), teff), 2500, 20000)
    flux = (
        star_colours(teff, np.clip(rng.normal(0.6, 0.25, n), 0, 1), cfg.curves) * ujy_from_abmag(mag)[:, None]
    )
    return {"flux": flux, "teff": teff}


def draw_quasars(cfg: SkyConfig, n: int, rng: np.random.Generator) -> Table:
    """Quasars: 0.3 < z < 4.5 peaking near 1.5, mildly reddened power laws with broad lines.

    Magnitudes rise as 10**(0.45 mag) to VIS 20 and 10**(0.2 mag) beyond (the break of
    Palanque-Delabrouille et al. 2016, A&A 587, A41).

    Returns
    -------
    Table
        `z`, `flux` of the nucleus and `host_flux` in µJy ``(n, bands)``, and the host's
        `re_arcsec`, `axis_ratio`, `position_angle`.
    """
    z = np.clip(rng.gamma(5.0, 0.34, n) + 0.1, 0.3, 4.5)
    grid = np.arange(18.0, min(cfg.conditions.vis_limit, 23.5), 0.05)
    rate = np.where(grid < 20, 10 ** (0.45 * (grid - 20)), 10 ** (0.2 * (grid - 20)))
    mag = rng.choice(grid, n, p=rate / rate.sum()) + 0.05 * rng.random(n)
    share = rng.random(n)
    av = np.clip(rng.exponential(0.08, n), 0, 1.5)
    flux = quasar_table(cfg.curves).fluxes(np.column_stack([1 - share, share]), z, av)
    flux = flux / flux[:, [VIS]] * ujy_from_abmag(mag)[:, None]
    return {"z": z, "flux": flux} | _hosts(cfg, z, flux[:, VIS], rng)


def _hosts(cfg: SkyConfig, z: np.ndarray, vis: np.ndarray, rng: np.random.Generator) -> Table:
    """Host galaxies of quasars at z < 1.2: 2 to 40% of the VIS light, early to intermediate spectra."""
    n = len(z)
    none = np.zeros(n)
    weights = template_weights(np.ones(n, bool), rng.uniform(2.8, 5.0, n), none, none, none)
    spectrum = galaxy_table(cfg.curves).fluxes(weights, np.minimum(z, 2.5), np.full(n, 0.1))
    share = np.where(z < 1.2, 10 ** rng.uniform(np.log10(0.02), np.log10(0.4), n), 0.0)
    return {
        "host_flux": spectrum / spectrum[:, [VIS]] * (share * vis)[:, None],
        "re_arcsec": 10 ** rng.normal(0.6, 0.2, n) / kpc_per_arcsec(z),
        "axis_ratio": rng.uniform(0.4, 1.0, n),
        "position_angle": rng.random(n) * 180.0,
    }
