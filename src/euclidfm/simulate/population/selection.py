"""Selection of the catalogued galaxies by their VIS magnitude."""

from __future__ import annotations

import numpy as np

from euclidfm.core.bands import SED_BANDS
from euclidfm.core.units import abmag_from_ujy
from euclidfm.simulate.population.mass_function import parent_density
from euclidfm.simulate.population.parent import draw_parent, galaxy_fluxes
from euclidfm.simulate.seds.flux_table import galaxy_table

__all__ = ["galaxy_density", "selection_probability"]

VIS = SED_BANDS.index("VIS")

BRIGHTEST = 16.5
"""VIS magnitude of the brightest galaxy: a brighter one would cover its neighbours."""

THINNED_FROM = 20.5
"""VIS magnitude from which `faint_thinning` removes galaxies."""


def selection_probability(vis_mag: np.ndarray, vis_limit: float, faint_thinning: float) -> np.ndarray:
    """Probability that a galaxy is in the catalogue.

    Parameters
    ----------
    vis_mag : array
        AB magnitude in VIS.
    vis_limit : float
        Faintest catalogued magnitude.
    faint_thinning : float
        See `euclidfm.simulate.SkyConfig`.
    """
    inside = (vis_mag < vis_limit) & (vis_mag > BRIGHTEST)
    return inside * 10 ** (-faint_thinning * np.maximum(vis_mag - THINNED_FROM, 0))


def galaxy_density(curves: tuple[str, ...], vis_limit: float, faint_thinning: float) -> float:
    """Catalogued galaxies per square arcminute: a Monte Carlo estimate with a fixed seed.

    Parameters
    ----------
    curves : tuple of str
        Response curves of the catalogue's bands.
    vis_limit, faint_thinning : float
        As in `selection_probability`.
    """
    t = draw_parent(30_000, np.random.default_rng(0))
    bulge, disc = galaxy_fluxes(t, galaxy_table(curves))
    mag = abmag_from_ujy(bulge[:, VIS] + disc[:, VIS])
    return parent_density() * float(selection_probability(mag, vis_limit, faint_thinning).mean())
