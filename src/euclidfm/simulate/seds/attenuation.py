"""Attenuation of spectra: dust in the galaxy and hydrogen between the galaxies.

Sources: Calzetti et al. 2000 (ApJ 533, 682), Noll et al. 2009 (A&A 507, 1793), Salim et al. 2018
(ApJ 859, 11): dust. Madau 1995 (ApJ 441, 18): intergalactic absorption.
"""

from __future__ import annotations

import numpy as np

__all__ = ["attenuation", "calzetti", "igm_transmission"]

DUST_SLOPE = -0.4
"""Steepening of the attenuation in most star-forming galaxies (Salim, Boquien & Lee 2018, ApJ 859, 11)."""


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
