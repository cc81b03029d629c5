"""The plan of a run, made before any pixel is read: its work units, and what the store will be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import CutFlow
from euclidfm.store.schema import Galaxies, StoreInfo
from euclidfm.store.splits import SPLITS
from euclidfm.store.writer import ROW_GROUP, SHARD_ROWS

__all__ = [
    "BATCH",
    "UNIT_ROWS",
    "Plan",
    "WorkUnit",
    "absent_images",
    "batch_rows",
    "hashed_splits",
    "position_id",
]

BATCH = ROW_GROUP
"""Galaxies that are read together, at most."""

UNIT_ROWS = SHARD_ROWS
"""Galaxies of one work unit, at most: one shard. A fuller tile becomes several units."""

_BATCH_PIXELS = 2**23
"""Pixels of one band that are held at once."""


def batch_rows(size: int) -> int:
    """Galaxies to read together with cutouts of `size` pixels: fewer where these are large."""
    fit = max(_BATCH_PIXELS // size**2, 16)
    return int(min(BATCH, 2 ** (fit.bit_length() - 1)))


class WorkUnit(Protocol):
    """A piece of work that is finished as one: a tile, a group of cutout files, a table."""

    @property
    def name(self) -> str:
        """Shown by the progress bar."""

    @property
    def rows(self) -> int:
        """Objects to read; how much of the work this is."""

    @property
    def files(self) -> list[str]:
        """Files it reads, for the fingerprint."""

    def batches(self, quarantine: Quarantine) -> Iterator[Galaxies]:
        """Read the galaxies; what can't be read goes to `quarantine`."""


@dataclass
class Plan:
    """All the work of one run.

    Attributes
    ----------
    info : StoreInfo
        Of the store to be written; its provenance gets the summary at the end.
    units : list of WorkUnit
        In the order of the store.
    cut_flow : CutFlow
    quarantine : Quarantine
        Objects and files that the plan left out.
    report : dict
        Further numbers for the summary (matches with spectra, ...).
    files : list of str
        Files that were read to make the plan.
    """

    info: StoreInfo
    units: list[Any]
    cut_flow: CutFlow = field(default_factory=CutFlow)
    quarantine: Quarantine = field(default_factory=Quarantine)
    report: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


def absent_images(
    bands: tuple[str, ...], n: int, size: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Images, masks and noise of `n` galaxies that have no image yet."""
    images = {b: np.zeros((n, size, size), np.float32) for b in bands}
    masks = {b: np.ones((n, size, size), bool) for b in bands}
    noise = {b: np.full(n, np.nan, np.float32) for b in bands}
    return images, masks, noise


def position_id(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Object id of a position in degrees by the rule of the MER catalogue: int64, negative in the south."""
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    size = np.round(ra * 1e7).astype(np.int64) * 10**9 + np.round(np.abs(dec) * 1e7).astype(np.int64)
    return np.where(dec < 0, -size, size)


def hashed_splits(object_id: np.ndarray, fractions: tuple[float, float, float], seed: int) -> np.ndarray:
    """Splits by a hash of the id (splitmix64), for objects without positions; (N,) str."""
    x = object_id.astype(np.int64).view(np.uint64) ^ np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    with np.errstate(over="ignore"):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
    position = x / 2.0**64
    return np.asarray(SPLITS)[np.searchsorted(np.cumsum(fractions)[:2], position, side="right")]
