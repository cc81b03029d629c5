"""Arcs of strong gravitational lenses."""

from __future__ import annotations

import math

import numpy as np

from euclidfm.core.bands import band
from euclidfm.simulate.images.components import Component
from euclidfm.simulate.images.discs import WAVELENGTH_NM, Disc

__all__ = ["lens"]


def lens(d: Disc, total: np.ndarray, rng: np.random.Generator) -> list[Component]:
    """Arcs of a blue background disc behind a singular isothermal ellipsoid.

    Ray shooting with the deflection of Kormann, Schneider & Bartelmann 1994 (A&A 284, 285).
    """
    blue = total[5] * (WAVELENGTH_NM / band("VIS").wavelength_nm) ** 0.4
    q, ring = float(np.clip(d.q, 0.55, 0.95)), rng.uniform(0.8, 1.8)
    sx, sy = (rng.normal(0, 0.18, 2) * ring).tolist()
    size, sq, sa = rng.uniform(0.08, 0.2), rng.uniform(0.5, 1), rng.uniform(0, np.pi)
    f = math.sqrt(1 - q * q)
    cos_s, sin_s = math.cos(sa), math.sin(sa)

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        cos, sin = d.cos, d.sin
        u, v = x * cos + y * sin, y * cos - x * sin
        psi = np.sqrt(q * q * u * u + v * v) + 1e-6
        bu = u - ring * math.sqrt(q) / f * np.arctan(f * u / psi) - sx
        bv = v - ring * math.sqrt(q) / f * np.arctanh(np.clip(f * v / psi, -0.999, 0.999)) - sy
        a, b = bu * cos_s + bv * sin_s, (bv * cos_s - bu * sin_s) / sq
        return np.exp(-1.678 * np.sqrt(a * a + b * b) / size)

    return [Component(flux=blue, re=0.7 * ring, picture=picture)]
