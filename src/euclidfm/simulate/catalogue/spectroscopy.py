"""Rows of the spectroscopic catalogue."""

from __future__ import annotations

import numpy as np

from euclidfm.core.bands import SED_BANDS
from euclidfm.core.units import abmag_from_ujy
from euclidfm.simulate.catalogue.photometry import Row
from euclidfm.simulate.tile import Source

__all__ = ["spectroscopy_row"]

VIS = SED_BANDS.index("VIS")


def spectroscopy_row(s: Source, rng: np.random.Generator) -> Row:
    """Columns of the spectroscopic catalogue; empty if the source was not observed."""
    mag = float(abmag_from_ujy(max(float(s.flux[VIS]), 1e-6)))
    success_rate = {"galaxy": 0.95 / (1 + np.exp((mag - 23.6) / 0.35)), "star": 0.4, "quasar": 0.6}.get(
        s.kind, 0.0
    )
    u, v = rng.random(2)
    if u >= success_rate or (s.kind == "star" and mag > 22.5):
        return {}
    z = s.truth.get("z", 0.0) + rng.normal(0, 1e-4)
    failed = v < 0.02 + 0.06 * (mag > 22.5)
    if failed:
        z = float(rng.uniform(0, 2))
    mass_error = float(np.clip(rng.lognormal(-2.5, 0.4) * (1 + 0.3 * max(mag - 21, 0)), 0.03, 0.6))
    galaxy = s.kind == "galaxy"
    log_mass = s.truth.get("log_mass", float("nan")) + mass_error * rng.standard_normal()
    return {
        "Z": float(z), "ZERR": float(1e-4 * (1 + z)), "ZWARN": 4 if failed else 0,
        "SPECTYPE": {"galaxy": "GALAXY", "star": "STAR", "quasar": "QSO"}[s.kind],
        "LOGM": float(log_mass) if galaxy else float("nan"),
        "LOGM_ERR": mass_error if galaxy else float("nan"),
        "CHI2": float(rng.lognormal(1.9, 0.4) * (4 if failed else 1)),
    }  # fmt: skip
