"""Stellar mass functions, and the galaxies that they predict for each cell of redshift and mass.

Sources: Davidzon et al. 2017 (A&A 605, A70), Table 2, and at z = 0 Baldry et al. 2012 (MNRAS 421, 621).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from euclidfm.simulate.cosmology import volume_per_arcmin2

__all__ = ["mass_function", "mass_redshift_grid", "parent_density"]

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
def mass_redshift_grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    return float(mass_redshift_grid()[2].sum())
