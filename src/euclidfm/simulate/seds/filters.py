"""AB fluxes of spectra in the survey's filters.

Filters come from the ``speclite`` package; their names stand in the survey table.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from euclidfm.core.bands import SED_BANDS, band

__all__ = ["SED_CURVES", "WAVE", "BandIntegrator", "integrator"]

WAVE = np.arange(290.0, 2420.0, 2.0)
"""Observed wavelengths, nm: all filters of the SED with a margin at both ends."""

SED_CURVES = tuple(band(b).curve for b in SED_BANDS)
"""Response curves of the default SED."""


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


@cache
def integrator(curves: tuple[str, ...]) -> BandIntegrator:
    """The `BandIntegrator` of the named curves, made once per process."""
    return BandIntegrator(curves)
