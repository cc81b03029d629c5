"""Splits without leakage: whole HEALPix pixels go to train, validation or test."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["SPLITS", "assign_splits"]

SPLITS = ("train", "validation", "test")


def assign_splits(
    ra: np.ndarray,
    dec: np.ndarray,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    order: int = 9,
    seed: int = 0,
) -> np.ndarray:
    """Assign each position to a split by its HEALPix pixel (nested scheme).

    Neighbours, and duplicates of a galaxy in overlapping tiles, stay together. The choice
    depends on the pixel and the seed only, so a galaxy keeps its split whatever else is ingested.

    Parameters
    ----------
    ra, dec : (N,) arrays, degrees
    fractions : (train, validation, test), summing to one
    order : int
        HEALPix order; 9 is 6.9 arcmin, 12 is 52 arcsec.
    seed : int

    Returns
    -------
    (N,) array of str
    """
    from astropy import units as u
    from astropy_healpix import HEALPix

    if len(fractions) != 3 or abs(sum(fractions) - 1.0) > 1e-6 or min(fractions) < 0:
        msg = f"split fractions must be three numbers >= 0 that sum to one, got {fractions}"
        raise ValueError(msg)
    pixel = HEALPix(nside=2**order, order="nested").lonlat_to_healpix(
        np.asarray(ra) * u.deg, np.asarray(dec) * u.deg
    )
    unique, inverse = np.unique(pixel, return_inverse=True)
    position = np.array([_uniform(f"{seed}:{order}:{p}") for p in unique])
    edges = np.cumsum(fractions)[:2]
    return np.asarray(SPLITS)[np.searchsorted(edges, position, side="right")][inverse]


def _uniform(key: str) -> float:
    """Number in [0, 1) from a hash: the same on every machine."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2.0**64
