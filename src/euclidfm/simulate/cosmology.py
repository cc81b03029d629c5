"""Distances and ages in the flat LCDM of Planck Collaboration 2020 (A&A 641, A6): H0 = 67.7, Om = 0.31."""

from __future__ import annotations

from functools import cache

import numpy as np

__all__ = ["age_gyr", "comoving_mpc", "hubble", "kpc_per_arcsec", "luminosity_distance_mpc"]

H0, OMEGA_M = 67.7, 0.31
_LIGHT = 299792.458
_GYR_PER_HUBBLE = 977.8 / H0


def hubble(z: np.ndarray) -> np.ndarray:
    """H(z)/H0, radiation neglected."""
    return np.sqrt(OMEGA_M * (1 + np.asarray(z)) ** 3 + 1 - OMEGA_M)


@cache
def _distance_grid() -> tuple[np.ndarray, np.ndarray]:
    z = np.linspace(0, 6, 6001)
    inverse = 1 / hubble(z)
    steps = 0.5 * (inverse[1:] + inverse[:-1]) * np.diff(z)
    return z, _LIGHT / H0 * np.concatenate([[0.0], np.cumsum(steps)])


def comoving_mpc(z: np.ndarray) -> np.ndarray:
    """Comoving distance in Mpc."""
    return np.interp(z, *_distance_grid())


def luminosity_distance_mpc(z: np.ndarray) -> np.ndarray:
    """Luminosity distance in Mpc."""
    return comoving_mpc(z) * (1 + np.asarray(z))


def kpc_per_arcsec(z: np.ndarray) -> np.ndarray:
    """Proper kpc in one arcsecond."""
    return comoving_mpc(z) / (1 + np.asarray(z)) * 1000 / 206264.8


def volume_per_arcmin2(z: np.ndarray, dz: float) -> np.ndarray:
    """Comoving volume in Mpc^3 of a shell of width `dz` behind one square arcminute."""
    return comoving_mpc(z) ** 2 * _LIGHT / H0 / hubble(z) * dz * (np.pi / 180 / 60) ** 2


def age_gyr(z: np.ndarray) -> np.ndarray:
    """Age of the Universe in Gyr."""
    ratio = np.sqrt((1 - OMEGA_M) / OMEGA_M) * (1 + np.asarray(z)) ** -1.5
    return _GYR_PER_HUBBLE * 2 / (3 * np.sqrt(1 - OMEGA_M)) * np.arcsinh(ratio)
