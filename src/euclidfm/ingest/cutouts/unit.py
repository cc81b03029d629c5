"""Work units of cutouts: rows of a table with their images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.cutouts.block import Block, Reader
from euclidfm.ingest.cutouts.calibrate import calibrated
from euclidfm.ingest.cutouts.section import CutoutBand, CutoutSection
from euclidfm.ingest.images.cutouts import cutout_flags
from euclidfm.ingest.plan import BATCH, UNIT_ROWS
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.store.schema import Galaxies

__all__ = ["CutoutsUnit", "sky_column", "unit_rows"]

_UNITS = 64
"""Units that a small source is divided into, at most; these are what runs side by side."""

_BATCH_BYTES = 2**23
"""Bytes of images, as float32, that are read together: few, so that they stay in the processor's caches."""


def unit_rows(n: int) -> int:
    """Galaxies of a work unit: a multiple of a row group, and at most a shard."""
    groups = -(-n // (BATCH * _UNITS))
    return min(max(groups, 1) * BATCH, UNIT_ROWS)


def sky_column(band: str) -> str:
    """Name of the column that holds the sky of a band."""
    return f"sky_{band}"


@dataclass
class CutoutsUnit:
    """Some rows of a table and the reader of their images."""

    galaxies: Galaxies
    """Without images."""
    reader: Reader
    """Of these galaxies, in their order."""
    section: CutoutSection
    bands: tuple[CutoutBand, ...]
    empty: np.ndarray | None
    """(N,) int64: bits of the bands without coverage."""
    size: int
    rebin: int
    stop_on_error: bool
    name: str
    files: list[str]

    @property
    def rows(self) -> int:
        """Number of galaxies."""
        return len(self.galaxies)

    def batches(self, quarantine: Quarantine) -> Iterator[Galaxies]:
        """Galaxies in the order of the table; those whose image can't be read go to `quarantine`.

        Raises
        ------
        InputError
            If an image can't be read, unless ``on_error`` is ``quarantine``.
        """
        ny, nx = self.reader.shape
        step = int(np.clip(_BATCH_BYTES // (4 * self.reader.planes * ny * nx), 1, BATCH))
        for start in range(0, self.rows, step):
            stop = min(start + step, self.rows)
            block = self.reader.read(start, stop)
            good = self._readable(block, start, quarantine)
            batch = self._with_images(start, stop, block)
            yield batch if good.all() else batch.take(good)

    def _readable(self, block: Block, start: int, quarantine: Quarantine) -> np.ndarray:
        """(n,) bool: which galaxies of a block were read."""
        good = np.ones(len(block.planes), bool)
        for i, why in block.failed.items():
            if self.stop_on_error:
                msg = f"{why}; or pass --on_error quarantine to keep the rest"
                raise InputError(msg)
            good[i] = False
            g = self.galaxies
            at = [start + i]
            quarantine.add_objects(why, g.object_id[at], g.ra[at], g.dec[at], file=self.name, tile=-1)
        return good

    def _with_images(self, start: int, stop: int, block: Block) -> Galaxies:
        """Galaxies with their images, the sky of each, and flags."""
        galaxies = self.galaxies.take(np.arange(start, stop))
        empty = None if self.empty is None else self.empty[start:stop]
        made = calibrated(block, self.section, self.bands, self.reader, self.size, self.rebin, empty)
        galaxies.images, galaxies.masks, galaxies.noise = made.images, made.masks, made.noise
        masked = np.stack([m.mean(axis=(1, 2)) for m in made.masks.values()])
        galaxies.columns |= {sky_column(b): sky for b, sky in made.sky.items()}
        galaxies.columns |= cutout_flags(masked, made.edge, np.zeros(len(galaxies), np.int64))
        return galaxies
