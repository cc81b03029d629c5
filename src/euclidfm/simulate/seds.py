"""Spectral energy distributions and their fluxes through the survey's filters.

A galaxy component is a non-negative mixture of rest-frame templates, reddened, redshifted,
absorbed by the intergalactic medium and integrated through the filters. The mixture is
linear, so its fluxes are a mixture of tabulated template fluxes.

Sources
-------
The 31 COSMOS templates of Ilbert et al. 2009 (ApJ 690, 1236): ellipticals and spirals of
Polletta et al. 2007 (ApJ 663, 81), starbursts of Bruzual & Charlot 2003 (MNRAS 344, 1000),
from the files that ``pz-rail-base`` installs. Calzetti et al. 2000 (ApJ 533, 682), Noll et al.
2009 (A&A 507, 1793), Salim et al. 2018 (ApJ 859, 11): dust.
Madau 1995 (ApJ 441, 18): intergalactic absorption. Vanden Berk et al. 2001 (AJ 122, 549):
quasar slope and lines. Filters: the ``speclite`` package (names in the survey table).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from euclidfm.core.bands import SED_BANDS, band
from euclidfm.core.errors import InputError

__all__ = [
    "AV_GRID", "FORMING", "PASSIVE", "SED_CURVES", "TEMPLATES", "BandIntegrator", "FluxTable", "Table",
    "attenuation", "calzetti", "galaxy_table", "igm_transmission", "quasar_table", "rest_table",
    "star_colours", "template_weights", "ultraviolet_colours",
]  # fmt: skip

WAVE = np.arange(290.0, 2420.0, 2.0)
"""Observed wavelength grid, nm: all filters of the SED and room at both ends."""

AV_GRID = np.linspace(-0.3, 2.4, 19)
"""Visual attenuation in magnitudes, relative to the templates' own."""

PASSIVE = (*(f"Ell{k}_A_0" for k in range(1, 8)), "S0_A_0")
"""Templates without star formation, from the bluest (youngest) to the reddest."""

FORMING = (
    "S0_A_0", "Sa_A_0", "Sa_A_1", "Sb_A_0", "Sb_A_1", "Sc_A_0", "Sc_A_1", "Sc_A_2", "Sd_A_0", "Sd_A_1",
    "Sd_A_2", "Sdm_A_0", "SB1_A_0", "SB3_A_0", "SB4_A_0", "SB5_A_0", "SB6_A_0", "SB8_A_0", "SB9_A_0",
    "SB11_A_0",
)  # fmt: skip
"""Templates in order of star formation, red to blue."""

DUST_SLOPE = -0.4
"""Steepening of the attenuation in most star-forming galaxies (Salim, Boquien & Lee 2018, ApJ 859, 11)."""

TEMPLATES = (*PASSIVE, *FORMING[1:], "balmer_lines", "oxygen_lines")
"""Rest-frame spectra that galaxies are mixed from."""

SED_CURVES = tuple(band(b).curve for b in SED_BANDS)
"""Response curves of the default SED."""

PIVOT_NM = 600.0
"""Templates have unit f_lambda here, so that weights are light fractions."""

# Rest wavelength (nm) and strength relative to the first of each set.
_BALMER = (
    (656.3, 1.0),
    (486.1, 0.35),
    (434.0, 0.16),
    (658.4, 0.3),
    (372.8, 0.8),
    (672.0, 0.25),
    (953.1, 0.15),
)
_OXYGEN = ((500.7, 1.0), (495.9, 0.34), (436.3, 0.02), (372.8, 0.4))
_QUASAR = (
    (121.6, 92.0, 2.0),
    (154.9, 24.0, 2.3),
    (190.9, 21.0, 2.4),
    (279.9, 32.0, 3.5),
    (486.1, 46.0, 8.0),
    (656.3, 195.0, 10.0),
    (500.7, 13.0, 0.6),
)  # fmt: skip  rest nm, equivalent width in 0.1 nm, Gaussian width in nm (Vanden Berk et al. 2001, Table 2)


class BandIntegrator:
    """AB fluxes of spectra on `WAVE` in the named response curves.

    The AB flux of a photon-counting band is
    ``f_nu = int(f_lambda S lambda dlambda) / int(S c/lambda dlambda)``.

    Parameters
    ----------
    curves : sequence of str
        Names of speclite response curves. ``"hsc2017-z@902.2"`` is that curve with its
        wavelengths stretched so that their response-weighted mean is 902.2 nm: a stand-in
        for a filter that speclite lacks.
    """

    def __init__(self, curves: tuple[str, ...]) -> None:
        import speclite.filters

        self.weights = np.zeros((WAVE.size, len(curves)))
        for j, name in enumerate(curves):
            stem, _, mean = name.partition("@")
            curve = speclite.filters.load_filter(stem)
            wave, response = curve.wavelength / 10.0, curve.response
            if mean:
                wave = wave * (float(mean) / np.average(wave, weights=response * np.gradient(wave)))
            response = np.interp(WAVE, wave, response, left=0.0, right=0.0)
            self.weights[:, j] = response * WAVE / np.sum(response / WAVE)

    def __call__(self, f_lambda: np.ndarray) -> np.ndarray:
        """Mean f_nu (times c, in units of f_lambda nm^2): shape ``(..., bands)``."""
        return f_lambda @ self.weights


def calzetti(wave_nm: np.ndarray) -> np.ndarray:
    """Starburst attenuation A(lambda)/A_V of Calzetti et al. 2000, extrapolated below 120 nm."""
    x = np.maximum(wave_nm, 92.0) / 1000.0
    blue = 2.659 * (-2.156 + 1.509 / x - 0.198 / x**2 + 0.011 / x**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 / x) + 4.05
    return np.maximum(np.where(x < 0.63, blue, red), 0.0) / 4.05


def attenuation(wave_nm: np.ndarray) -> np.ndarray:
    """A(lambda)/A_V of galaxies: Calzetti's, steepened by a power law (Noll et al. 2009, A&A 507, 1793)."""
    return calzetti(wave_nm) * (np.maximum(wave_nm, 92.0) / 550.0) ** DUST_SLOPE


def igm_transmission(wave_obs_nm: np.ndarray, z: float) -> np.ndarray:
    """Mean transmission of the Lyman series forest (Madau 1995, eqs. 12, 15), and none below 91.2 nm."""
    rest = wave_obs_nm / (1.0 + z)
    tau = np.zeros_like(wave_obs_nm)
    for line, a in ((121.567, 0.0036), (102.572, 0.0017), (97.254, 0.0012), (94.974, 0.00093)):
        tau += np.where(rest < line, a * (wave_obs_nm / line) ** 3.46, 0.0)
    return np.where(rest < 91.2, 0.0, np.exp(-tau))


def _add_lines(wave: np.ndarray, lines: tuple[tuple[float, float], ...], width: float = 1.5) -> np.ndarray:
    out = np.zeros_like(wave)
    for centre, strength in lines:
        out += strength * np.exp(-0.5 * ((wave - centre) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return out


@cache
def _integrator(curves: tuple[str, ...]) -> BandIntegrator:
    return BandIntegrator(curves)


def _template_folder() -> Path:
    spec = importlib.util.find_spec("rail")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "examples_data" / "estimation_data" / "data" / "SED"
        if folder.is_dir():
            return folder
    msg = "the mock sky needs the COSMOS templates of pz-rail-base: pip install 'euclidfm[sky]'"
    raise InputError(msg)


@cache
def _rest_templates() -> tuple[np.ndarray, np.ndarray]:
    """Rest wavelengths (nm) and f_lambda of `TEMPLATES`, shape ``(templates, wavelengths)``."""
    wave = np.concatenate([np.arange(60.0, 1000.0, 0.25), np.arange(1000.0, 2600.0, 1.0)])
    folder, spectra = _template_folder(), []
    for name in TEMPLATES[:-2]:
        angstrom, flux = np.loadtxt(folder / f"{name}.sed", unpack=True)
        f = np.interp(wave, angstrom / 10.0, flux, left=0.0)
        spectra.append(f / np.interp(PIVOT_NM, wave, f))
    return wave, np.stack([*spectra, _add_lines(wave, _BALMER), _add_lines(wave, _OXYGEN)])


@cache
def ultraviolet_colours() -> tuple[np.ndarray, np.ndarray]:
    """NUV - r (AB, at rest, without lines) of the templates `PASSIVE` and `FORMING`.

    NUV is taken at 231.6 nm (GALEX), r at 620 nm.
    """
    wave, spectra = _rest_templates()
    nuv, r = (np.array([np.interp(w, wave, s) * w**2 for s in spectra[:-2]]) for w in (231.6, 620.0))
    colour = -2.5 * np.log10(nuv / r)
    last = len(PASSIVE) - 1
    return colour[: last + 1], colour[last:]


def _between(n_nodes: int, position: np.ndarray) -> np.ndarray:
    """Weights ``(objects, nodes)`` of linear interpolation at fractional node numbers."""
    place = np.clip(position, 0, n_nodes - 1)[:, None]
    return np.maximum(0.0, 1.0 - np.abs(place - np.arange(float(n_nodes))))


def template_weights(
    forming: np.ndarray, nuv_r: np.ndarray, age: np.ndarray, balmer: np.ndarray, oxygen: np.ndarray
) -> np.ndarray:
    """Weights of `TEMPLATES` for a continuous range of spectra.

    Parameters
    ----------
    forming : array of bool
        Forms stars: placed among `FORMING` by its ultraviolet colour; else among `PASSIVE`
        by its age.
    nuv_r : array
        NUV - r at rest (AB) of a star-forming spectrum.
    age : array
        0 to 1: the youngest and most metal-poor passive spectrum to the reddest.
    balmer, oxygen : array
        Equivalent widths of H-alpha and [O III] 500.7 in nm.

    Returns
    -------
    array of shape ``(objects, templates)``
    """
    colours = ultraviolet_colours()[1]
    blueward = np.maximum.accumulate(-colours)
    place = np.interp(-nuv_r, blueward, np.arange(float(len(FORMING))))
    active = _between(len(FORMING), place) * forming[:, None]
    passive = _between(len(PASSIVE), age * (len(PASSIVE) - 1)) * ~forming[:, None]
    passive[:, -1] += active[:, 0]
    return np.column_stack([passive, active[:, 1:], balmer, oxygen])


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


def _table(wave: np.ndarray, spectra: np.ndarray, z_grid: np.ndarray, curves: tuple[str, ...]) -> FluxTable:
    bands = _integrator(curves)
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
    return _table(*_rest_templates(), np.arange(0.0, 2.605, 0.02), curves)


@cache
def rest_table() -> FluxTable:
    """Table of the galaxy `TEMPLATES` at rest through SDSS g and i."""
    return _table(*_rest_templates(), np.array([0.0, 0.02]), ("sdss2010-g", "sdss2010-i"))


@cache
def quasar_table(curves: tuple[str, ...] = SED_CURVES) -> FluxTable:
    """Table of two quasar templates (blue and red continuum, with broad lines) at 0 < z < 5."""
    wave = np.concatenate([np.arange(50.0, 1000.0, 0.5), np.arange(1000.0, 2600.0, 2.0)])
    pivot = wave / PIVOT_NM
    lines = np.zeros_like(wave)
    for centre, width, sigma in _QUASAR:
        profile = np.exp(-0.5 * ((wave - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        lines += width / 10.0 * (centre / PIVOT_NM) ** -1.56 * profile
    hot_dust = 1 + 0.6 * (pivot > 1) * (pivot - 1)
    spectra = np.stack([pivot**slope * hot_dust + lines for slope in (-1.8, -1.2)])
    return _table(wave, spectra, np.arange(0.0, 5.005, 0.02), curves)


def star_colours(teff: np.ndarray, metal: np.ndarray, curves: tuple[str, ...] = SED_CURVES) -> np.ndarray:
    """Fluxes of stars relative to VIS, shape ``(stars, bands)``.

    A Planck curve of the effective temperature, with metal-line blanketing below 450 nm,
    the Balmer jump of hot stars, and the molecular bands (TiO, H2O) of cool dwarfs.

    Parameters
    ----------
    teff : array
        Effective temperature, K.
    metal : array
        Blanketing strength, 0 (metal poor) to 1 (solar).
    """
    bands = _integrator(curves)
    t = teff[:, None]
    planck = WAVE**-5.0 / np.expm1(np.minimum(1.43878e7 / (WAVE * t), 600.0))
    blanket = np.exp(
        -metal[:, None] * np.clip((450.0 - WAVE) / 150.0, 0, 1) * np.clip((7500 - t) / 2500, 0, 1.2)
    )
    jump = 1 - 0.45 * (WAVE < 370.0) * np.clip((t - 6500) / 3000, 0, 1)
    cool = np.clip((4100 - t) / 1300, 0, 1)
    depth = 1.1 * np.exp(-0.5 * ((WAVE - 660) / 60) ** 2) + 0.45 * np.exp(-0.5 * ((WAVE - 490) / 60) ** 2)
    tio = 10 ** (-0.4 * cool * depth)
    tilt = (WAVE / 700.0) ** (0.3 * (metal[:, None] - 0.6))
    water = 1 - 0.35 * cool * (
        np.exp(-0.5 * ((WAVE - 1400) / 70) ** 2) + np.exp(-0.5 * ((WAVE - 1900) / 80) ** 2)
    )
    f = bands(planck * blanket * jump * tio * water * tilt)
    return f / f[:, [curves.index("Euclid-VIS")]]
