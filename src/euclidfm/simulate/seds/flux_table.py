"""Template fluxes on a grid of redshift and attenuation, so that a mixture's fluxes are a look-up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from euclidfm.simulate.seds.attenuation import attenuation, igm_transmission
from euclidfm.simulate.seds.filters import SED_CURVES, WAVE, integrator
from euclidfm.simulate.seds.templates import rest_templates

__all__ = ["AV_GRID", "FluxTable", "Table", "flux_table", "galaxy_table", "rest_table"]

AV_GRID = np.linspace(-0.3, 2.4, 19)
"""Visual attenuation in magnitudes, relative to the templates' own."""

Table = dict[str, np.ndarray]
"""Columns of equal length."""


@dataclass(frozen=True)
class FluxTable:
    """Template fluxes on a grid of redshift and attenuation, linearly interpolated.

    Attributes
    ----------
    z : array of shape ``(Z,)``
    values : array of shape ``(Z, A, templates, bands)``
        Mean f_nu, observed, for a template of unit weight at unit distance.
    """

    z: np.ndarray
    values: np.ndarray

    def fluxes(self, weights: np.ndarray, z: np.ndarray, av: np.ndarray) -> np.ndarray:
        """Observed fluxes ``(objects, bands)`` of mixtures ``(objects, templates)``."""
        iz, fz = _locate(self.z, z)
        ia, fa = _locate(AV_GRID, av)
        out = np.zeros((len(z), self.values.shape[-1]))
        for dz in (0, 1):
            for da in (0, 1):
                share = np.where(dz, fz, 1 - fz) * np.where(da, fa, 1 - fa)
                out += share[:, None] * np.einsum("nt,ntb->nb", weights, self.values[iz + dz, ia + da])
        return out


def _locate(grid: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    position = (np.clip(x, grid[0], grid[-1]) - grid[0]) / (grid[1] - grid[0])
    index = np.minimum(position.astype(int), grid.size - 2)
    return index, position - index


def flux_table(
    wave: np.ndarray, spectra: np.ndarray, z_grid: np.ndarray, curves: tuple[str, ...]
) -> FluxTable:
    """Tabulate the fluxes of rest-frame spectra.

    Parameters
    ----------
    wave : array of shape ``(W,)``
        Rest wavelengths, nm.
    spectra : array of shape ``(templates, W)``
        f_lambda.
    z_grid : array
        Redshifts, evenly spaced.
    curves : tuple of str
        Response curves of the bands.
    """
    bands = integrator(curves)
    law = attenuation(wave)
    values = np.zeros((z_grid.size, AV_GRID.size, len(spectra), len(curves)))
    for i, z in enumerate(z_grid):
        rest = WAVE / (1 + z)
        shapes = np.stack([np.interp(rest, wave, s) for s in spectra]) / (1 + z)
        shapes *= igm_transmission(WAVE, float(z))
        dust = 10 ** (-0.4 * AV_GRID[:, None] * np.interp(rest, wave, law))
        values[i] = bands(dust[:, None] * shapes[None])
    return FluxTable(z=z_grid, values=values)


@cache
def galaxy_table(curves: tuple[str, ...] = SED_CURVES) -> FluxTable:
    """Table of the galaxy `TEMPLATES` at 0 < z < 2.6 through the named curves."""
    return flux_table(*rest_templates(), np.arange(0.0, 2.605, 0.02), curves)


@cache
def rest_table() -> FluxTable:
    """Table of the galaxy `TEMPLATES` at rest through SDSS g and i."""
    return flux_table(*rest_templates(), np.array([0.0, 0.02]), ("sdss2010-g", "sdss2010-i"))
