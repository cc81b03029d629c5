"""Rest-frame spectra of galaxies, and the weights that mix them.

The 31 COSMOS templates of Ilbert et al. 2009 (ApJ 690, 1236): ellipticals and spirals of
Polletta et al. 2007 (ApJ 663, 81), starbursts of Bruzual & Charlot 2003 (MNRAS 344, 1000),
from the files that ``pz-rail-base`` installs.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError

__all__ = [
    "FORMING", "PASSIVE", "PIVOT_NM", "TEMPLATES", "rest_templates", "template_weights",
    "ultraviolet_colours",
]  # fmt: skip

PASSIVE = (*(f"Ell{k}_A_0" for k in range(1, 8)), "S0_A_0")
"""Templates without star formation, from the bluest (youngest) to the reddest."""

FORMING = (
    "S0_A_0", "Sa_A_0", "Sa_A_1", "Sb_A_0", "Sb_A_1", "Sc_A_0", "Sc_A_1", "Sc_A_2", "Sd_A_0", "Sd_A_1",
    "Sd_A_2", "Sdm_A_0", "SB1_A_0", "SB3_A_0", "SB4_A_0", "SB5_A_0", "SB6_A_0", "SB8_A_0", "SB9_A_0",
    "SB11_A_0",
)  # fmt: skip
"""Templates in order of star formation, red to blue."""

TEMPLATES = (*PASSIVE, *FORMING[1:], "balmer_lines", "oxygen_lines")
"""Rest-frame spectra that galaxies are mixed from."""

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


@cache
def rest_templates() -> tuple[np.ndarray, np.ndarray]:
    """Rest wavelengths (nm) and f_lambda of `TEMPLATES`, shape ``(templates, wavelengths)``."""
    wave = np.concatenate([np.arange(60.0, 1000.0, 0.25), np.arange(1000.0, 2600.0, 1.0)])
    folder, spectra = _template_folder(), []
    for name in TEMPLATES[:-2]:
        angstrom, flux = np.loadtxt(folder / f"{name}.sed", unpack=True)
        f = np.interp(wave, angstrom / 10.0, flux, left=0.0)
        spectra.append(f / np.interp(PIVOT_NM, wave, f))
    return wave, np.stack([*spectra, _lines(wave, _BALMER), _lines(wave, _OXYGEN)])


def _template_folder() -> Path:
    spec = importlib.util.find_spec("rail")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "examples_data" / "estimation_data" / "data" / "SED"
        if folder.is_dir():
            return folder
    msg = "the mock sky needs the COSMOS templates of pz-rail-base: pip install 'euclidfm[sky]'"
    raise InputError(msg)


def _lines(wave: np.ndarray, lines: tuple[tuple[float, float], ...], width: float = 1.5) -> np.ndarray:
    out = np.zeros_like(wave)
    for centre, strength in lines:
        out += strength * np.exp(-0.5 * ((wave - centre) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return out


@cache
def ultraviolet_colours() -> tuple[np.ndarray, np.ndarray]:
    """NUV - r (AB, at rest, without lines) of the templates `PASSIVE` and `FORMING`.

    NUV is taken at 231.6 nm (GALEX), r at 620 nm.
    """
    wave, spectra = rest_templates()
    nuv, r = (np.array([np.interp(w, wave, s) * w**2 for s in spectra[:-2]]) for w in (231.6, 620.0))
    colour = -2.5 * np.log10(nuv / r)
    last = len(PASSIVE) - 1
    return colour[: last + 1], colour[last:]


def template_weights(
    forming: np.ndarray, nuv_r: np.ndarray, age: np.ndarray, balmer: np.ndarray, oxygen: np.ndarray
) -> np.ndarray:
    """Weights of `TEMPLATES` for a continuous range of spectra.

    Parameters
    ----------
    forming : array of bool
        True: a position among `FORMING` follows from the ultraviolet colour. False: a position
        among `PASSIVE` follows from the age.
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
    position = np.interp(-nuv_r, blueward, np.arange(float(len(FORMING))))
    active = _between(len(FORMING), position) * forming[:, None]
    passive = _between(len(PASSIVE), age * (len(PASSIVE) - 1)) * ~forming[:, None]
    passive[:, -1] += active[:, 0]
    return np.column_stack([passive, active[:, 1:], balmer, oxygen])


def _between(n_nodes: int, position: np.ndarray) -> np.ndarray:
    """Weights ``(objects, nodes)`` of linear interpolation at fractional node numbers."""
    node = np.clip(position, 0, n_nodes - 1)[:, None]
    return np.maximum(0.0, 1.0 - np.abs(node - np.arange(float(n_nodes))))
