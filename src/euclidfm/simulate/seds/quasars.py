"""Spectra of quasars: power laws with broad lines (Vanden Berk et al. 2001, AJ 122, 549)."""

from __future__ import annotations

from functools import cache

import numpy as np

from euclidfm.simulate.seds.filters import SED_CURVES
from euclidfm.simulate.seds.flux_table import FluxTable, flux_table
from euclidfm.simulate.seds.templates import PIVOT_NM

__all__ = ["quasar_table"]

_QUASAR = (
    (121.6, 92.0, 2.0),
    (154.9, 24.0, 2.3),
    (190.9, 21.0, 2.4),
    (279.9, 32.0, 3.5),
    (486.1, 46.0, 8.0),
    (656.3, 195.0, 10.0),
    (500.7, 13.0, 0.6),
)  # fmt: skip  rest nm, equivalent width in 0.1 nm, Gaussian width in nm (Vanden Berk et al. 2001, Table 2)


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
    return flux_table(wave, spectra, np.arange(0.0, 5.005, 0.02), curves)
