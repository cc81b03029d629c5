"""Cutting the selected objects of one tile out of its mosaics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.objects import TileObjects
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.images.cutouts import Scratch, cut_band, cutout_flags
from euclidfm.ingest.images.geometry import blocks, corners, sky_order
from euclidfm.ingest.images.mosaic import BandMosaic, check_same_grid, open_band
from euclidfm.ingest.images.reproject import needs_reproject
from euclidfm.ingest.images.sky_wcs import check_pixel_scale, pixels_of
from euclidfm.ingest.plan import UNIT_ROWS, absent_images, batch_rows
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.tiles import TileFiles
from euclidfm.store.schema import Galaxies

__all__ = ["TileUnit", "tile_units"]


def tile_units(cfg: IngestConfig, tile: TileFiles, objects: TileObjects) -> list[TileUnit]:
    """One work unit, or for a full tile several: bands of declination with the same number of objects."""
    parts = max(1, -(-len(objects) // UNIT_ROWS))
    if parts == 1:
        return [TileUnit(cfg=cfg, tile=tile, objects=objects)]
    pieces = np.array_split(np.argsort(objects.dec, kind="stable"), parts)
    return [
        TileUnit(cfg=cfg, tile=tile, objects=objects.take(np.sort(rows)), part=k, parts=parts)
        for k, rows in enumerate(pieces)
    ]


@dataclass
class TileUnit:
    """The selected objects of one tile, or of a band of it, and the files to cut them out of."""

    cfg: IngestConfig
    tile: TileFiles
    objects: TileObjects
    part: int = 0
    parts: int = 1

    @property
    def name(self) -> str:
        """Shown by the progress bar."""
        return f"tile {self.tile.tile}" + (f" {self.part + 1}/{self.parts}" if self.parts > 1 else "")

    @property
    def rows(self) -> int:
        """Objects to cut."""
        return len(self.objects)

    @property
    def files(self) -> list[str]:
        """Mosaics of the tile that are on disk."""
        return sorted(str(p) for p in self.tile.planes if isinstance(p, Path))

    def batches(self, quarantine: Quarantine) -> Iterator[Galaxies]:
        """Cut the galaxies in sky order, so that each block of a mosaic is read once."""
        mosaics = self._open(quarantine)
        o, size = self.objects, self.cfg.size
        if self.cfg.bands and not mosaics:
            reason = "no band of its tile can be read"
            quarantine.add_objects(reason, o.object_id, o.ra, o.dec, file="", tile=self.tile.tile)
            return
        x, y, (ny, nx) = self._pixels(mosaics)
        inside = np.ones(len(o), bool)
        if mosaics:
            inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
            self._leave_out(~inside, quarantine)
        rows = np.flatnonzero(inside)
        x0, y0 = corners(x[rows], y[rows], size)
        order = sky_order(x0, y0)
        rows, x0, y0 = rows[order], x0[order], y0[order]
        edge = (x0 < 0) | (y0 < 0) | (x0 + size > nx) | (y0 + size > ny)
        scratch = Scratch()
        for at in _batches(blocks(x0, y0), batch_rows(size)):
            yield self._cut(mosaics, rows[at], x0[at], y0[at], edge[at], scratch)

    def _pixels(self, mosaics: dict[str, BandMosaic]) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """Pixel coordinates of the objects, and the height and width of the mosaic; 0 without mosaics."""
        if not mosaics:
            return np.zeros(self.rows), np.zeros(self.rows), (0, 0)
        first = next(iter(mosaics.values()))
        x, y = pixels_of(first.wcs, self.objects.ra, self.objects.dec)
        return x, y, first.image.shape

    def _leave_out(self, bad: np.ndarray, quarantine: Quarantine) -> None:
        o, reason = self.objects, "its position is outside the mosaic of its tile"
        file = str(self.tile.catalogue)
        quarantine.add_objects(
            reason, o.object_id[bad], o.ra[bad], o.dec[bad], file=file, tile=self.tile.tile
        )

    def _open(self, quarantine: Quarantine) -> dict[str, BandMosaic]:
        """Open the mosaics; a damaged band ends the run, or goes to quarantine."""
        mosaics: dict[str, BandMosaic] = {}
        for b in self.cfg.bands:
            if b not in self.tile.bands:
                continue
            try:
                mosaic = open_band(b, self.tile.bands[b])
                mosaics[b] = self._on_one_grid(next(iter(mosaics.values()), mosaic), mosaic)
            except InputError as e:
                if self.cfg.on_error == "stop":
                    raise
                if self.part == 0:
                    quarantine.add(str(e), file=str(self.tile.bands[b].image), tile=self.tile.tile)
        return mosaics

    def _on_one_grid(self, first: BandMosaic, mosaic: BandMosaic) -> BandMosaic:
        """The mosaic, marked for resampling if it is on another grid and ``reproject`` is set."""
        check_pixel_scale(first.image.path, first.wcs)
        try:
            check_same_grid(first, mosaic)
        except InputError:
            if not self.cfg.reproject:
                raise
            needs_reproject()
            return replace(mosaic, onto=first.wcs)
        return mosaic

    def _cut(
        self,
        mosaics: dict[str, BandMosaic],
        rows: np.ndarray,
        x0: np.ndarray,
        y0: np.ndarray,
        edge: np.ndarray,
        scratch: Scratch,
    ) -> Galaxies:
        """Galaxies of some rows, whose cutouts have their lower left pixels at (x0, y0)."""
        cfg, n = self.cfg, len(rows)
        images, masks, noise = absent_images(tuple(b for b in cfg.bands if b not in mosaics), n, cfg.size)
        bits = np.zeros(n, np.int64)
        masked = np.ones((len(cfg.bands), n))
        for k, b in enumerate(cfg.bands):
            if b in mosaics:
                cut = cut_band(mosaics[b], x0, y0, cfg.size, cfg.mask_bits, scratch)
                images[b], masks[b], noise[b] = cut.image, cut.mask, cut.noise
                bits |= cut.flags
                masked[k] = cut.masked
        return self.objects.galaxies(rows, cfg, images, masks, noise, cutout_flags(masked, edge, bits))


def _batches(block: np.ndarray, rows: int) -> list[slice]:
    """Cutouts to make together: whole blocks, as many as fit into `rows`; a fuller block is divided."""
    ends = [*(np.flatnonzero(np.diff(block)) + 1).tolist(), len(block)]
    out, start, last = [], 0, 0
    for end in ends:
        if end - start > rows and last > start:
            out.append(slice(start, last))
            start = last
        while end - start > rows:
            out.append(slice(start, start + rows))
            start += rows
        last = end
    return [*out, slice(start, len(block))] if start < len(block) else out
