"""Streaming for training: a seeded global shuffle that reads the store in parts.

Row groups are visited in a random order; the rows of `pool` groups at a time are mixed.
The order depends on (seed, epoch) only, so that a run can be resumed at any batch, and
rank r of W reads rows r, r + W, ... of each global batch: W processes see exactly the
batches that one process would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from euclidfm.store.reader import GalaxyStore
from euclidfm.store.schema import Galaxies
from euclidfm.store.writer import ROW_GROUP

__all__ = ["Stream"]

_POOL_BYTES = 512 * 1024**2


@dataclass
class Stream:
    """Shuffled batches of one split.

    Attributes
    ----------
    store : GalaxyStore
    rows : (M,) array of int
        Rows to draw from (for example ``store.rows("train")``).
    batch : int
        Galaxies a global batch; an incomplete last batch is dropped unless it is the only one.
    seed : int
    rank, world : int
        This process and the number of processes.
    pool : int
        Row groups that are mixed (and held in memory) together; 0 takes as many as fit in
        half a gigabyte, at most 16.
    bands : sequence of str, optional
        Image bands to decode.
    """

    store: GalaxyStore
    rows: np.ndarray
    batch: int
    seed: int
    rank: int = 0
    world: int = 1
    pool: int = 0
    bands: tuple[str, ...] | None = None

    _whole: tuple[np.ndarray, Galaxies] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.pool == 0:
            info = self.store.info
            bands = info.image_bands if self.bands is None else self.bands
            group_bytes = ROW_GROUP * (5 * info.image_size**2 * len(bands) + 1024)
            self.pool = int(np.clip(_POOL_BYTES // group_bytes, 1, 16))

    @property
    def batches_per_epoch(self) -> int:
        """Number of global batches in an epoch."""
        return max(1, len(self.rows) // self.batch)

    def order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows in the order of an epoch, and the number of the pool that each belongs to."""
        rng = np.random.default_rng([self.seed, epoch])
        group = np.searchsorted(self.store.group_edges, self.rows, side="right") - 1
        shuffled = rng.permutation(np.unique(group))
        rank_of = np.full(len(self.store.group_edges) - 1, -1, np.int64)
        rank_of[shuffled] = np.arange(len(shuffled))
        pool = rank_of[group] // self.pool
        order = np.lexsort((rng.random(len(self.rows)), pool))
        return self.rows[order], pool[order]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Galaxies]:
        """Yield this rank's share of each batch of an epoch, from batch number `start`."""
        rows, pool = self.order(epoch)
        decoded: dict[int, tuple[np.ndarray, Galaxies]] = {}
        if self._whole is not None:  # all rows fit in one pool: decoded once, for all epochs
            decoded[0] = self._whole
        for b in range(start, self.batches_per_epoch):
            here = slice(b * self.batch + self.rank, (b + 1) * self.batch, self.world)
            needed = np.unique(pool[here])
            decoded = {p: decoded[p] if p in decoded else self._read_pool(rows[pool == p]) for p in needed}
            if pool[-1] == 0:
                self._whole = decoded[0]
            parts = []
            for p in needed:
                sorted_rows, galaxies = decoded[p]
                want = rows[here][pool[here] == p]
                parts.append(galaxies.take(np.searchsorted(sorted_rows, want)))
            yield Galaxies.concat(parts)

    def _read_pool(self, rows: np.ndarray) -> tuple[np.ndarray, Galaxies]:
        rows = np.sort(rows)
        return rows, self.store.read(rows, self.bands)

    def forever(self, step: int = 0) -> Iterator[Galaxies]:
        """Endless iterator of batches, starting at global step `step`."""
        epoch, start = divmod(step, self.batches_per_epoch)
        while True:
            yield from self.epoch(epoch, start)
            epoch, start = epoch + 1, 0
