"""Fourier transforms of Sersic and Moffat profiles, from tables."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import gamma, gammainc, gammaincinv, j0, kv

from euclidfm.simulate.images.components import Psf

__all__ = ["moffat_transform", "sersic_transform"]

# Tables of radial transforms, on uniform grids so that a look-up is an index.
_LOG2_K = (-9.0, 9.0)

_CELLS = 1536

_INDEX = np.concatenate([np.arange(0.5, 2.0, 0.125), np.arange(2.0, 6.26, 0.25)])


@cache
def _sersic_tables() -> np.ndarray:
    """Hankel transforms of unit-flux, unit-R_e Sersic profiles, shape ``(indices, cells + 1)``.

    int 2 pi r I(r) J0(2 pi nu r) dr at 140 values of log nu, joined by a cubic spline. The
    profile is written as ``1 - CDF`` derivative in ln r; oscillations that a cell cannot
    follow are damped, where the transform has long faded.
    """
    log_k = np.linspace(*_LOG2_K, 140)
    k = 2.0**log_k
    out = np.empty((_INDEX.size, _CELLS + 1))
    fine = np.linspace(*_LOG2_K, _CELLS + 1)
    for i, n in enumerate(_INDEX):
        b = gammaincinv(2 * n, 0.5)
        log_r = np.linspace(np.log(1e-6), n * np.log(45.0 / b), 2400)
        r = np.exp(log_r)
        light = np.diff(gammainc(2 * n, b * r ** (1 / n)), prepend=0.0)
        middle = r * np.exp(-0.5 * (log_r[1] - log_r[0]))
        phase = k[:, None] * middle[None]
        step = (log_r[1] - log_r[0]) * phase
        # Mean of J0 over a cell, for cells that hold part of an oscillation.
        value = (j0(phase) * np.sinc(step / (2 * np.pi)) * light).sum(1)
        out[i] = CubicSpline(log_k, value)(fine)
    return out.astype(np.float32)


def _lookup(table: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Linear interpolation of a table at fractional positions, clipped at both ends."""
    position = np.minimum(np.maximum(position, np.float32(0)), np.float32(table.size - 1.001))
    index = position.astype(np.int32)
    low = table[index]
    return low + (position - index) * (table[index + 1] - low)


def sersic_transform(k: np.ndarray, index: float) -> np.ndarray:
    """Transform of a circular Sersic profile of unit flux at ``k = 2 pi |nu| R_e``."""
    tables = _sersic_tables()
    i = int(np.clip(np.searchsorted(_INDEX, index) - 1, 0, _INDEX.size - 2))
    f = np.float32(np.clip((index - _INDEX[i]) / (_INDEX[i + 1] - _INDEX[i]), 0, 1))
    table = (1 - f) * tables[i] + f * tables[i + 1]
    low, high = _LOG2_K
    k = np.maximum(np.asarray(k, np.float32), np.float32(2.0**low))
    return _lookup(table, (np.log2(k) - np.float32(low)) * np.float32(_CELLS / (high - low)))


@cache
def _moffat_table(beta: float) -> np.ndarray:
    """Transform of a unit-flux Moffat profile at ``2 pi |nu| r_d`` = 0, 0.01, ... 40 (Bessel K form)."""
    x = np.maximum(np.linspace(0.0, 40.0, 4001), 1e-6)
    nu = beta - 1.0
    return np.asarray(2 * (x / 2) ** nu * kv(nu, x) / gamma(nu), np.float32)


def moffat_transform(k: np.ndarray, psf: Psf) -> np.ndarray:
    """Transform of a circular Moffat PSF at frequencies `k` (cycles per arcsec)."""
    r_d = psf.fwhm / (2 * np.sqrt(2 ** (1 / psf.beta) - 1))
    return _lookup(_moffat_table(psf.beta), np.asarray(k, np.float32) * np.float32(2 * np.pi * r_d * 100.0))
