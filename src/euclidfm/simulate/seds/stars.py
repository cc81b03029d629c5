"""Colours of stars: Planck curves with line blanketing, the Balmer jump and molecular bands."""

from __future__ import annotations

import numpy as np

from euclidfm.simulate.seds.filters import SED_CURVES, WAVE, integrator

__all__ = ["star_colours"]


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
    bands = integrator(curves)
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
