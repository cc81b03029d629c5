"""A sky of tiles: catalogues are selected first, then each tile's mosaics are cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.bands import PIXEL_ARCSEC, band
from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.formats import Table
from euclidfm.ingest.catalogue.labels import FLAGS
from euclidfm.ingest.catalogue.mer import TileObjects, read_tile, whole_sky
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.images.cutouts import Scratch, blocks, corners, cut_band, sky_order
from euclidfm.ingest.images.mosaic import BandMosaic, check_same_grid, open_band
from euclidfm.ingest.images.reproject import needs_reproject
from euclidfm.ingest.plan import TASK_ROWS, Plan, absent_images, batch_rows
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import Funnel, Selection
from euclidfm.ingest.sources.coordinates import keep_near, keep_nearest
from euclidfm.ingest.sources.gather import at_hand, gather
from euclidfm.ingest.sources.tiles import TileFiles
from euclidfm.ingest.sources.urls import RemoteFile
from euclidfm.store import Galaxies, StoreInfo

__all__ = ["TileTask", "plan_sky"]


def plan_sky(cfg: IngestConfig, quiet: bool = True) -> Plan:
    """Read and select the catalogues of a sky; pixels are left to the tasks.

    Parameters
    ----------
    cfg : IngestConfig
    quiet : bool
        Draw no progress bars of what is fetched.

    Raises
    ------
    InputError
        If there are no tiles, a catalogue is damaged or lacks a column, or nothing is selected.
    """
    selection = Selection.load(cfg.selection)
    funnel, quarantine = Funnel(), Quarantine()
    sky = gather(cfg, selection, quarantine, quiet)
    files, objects = [], []
    for t in sky.tiles:
        tile = t.files
        _needs_a_band(tile, cfg.bands)
        try:
            objects.append(read_tile(tile, cfg, selection, funnel, quarantine, t.rows, t.centre))
            files.append(tile)
        except InputError as e:
            if cfg.on_error == "stop":
                raise
            quarantine.add(str(e), file=str(tile.catalogue), tile=tile.tile)
        else:
            if sky.targets is not None:
                keep_near(sky.targets, objects[-1])
    if not objects:
        msg = f"no tile of {cfg.source} has a readable catalogue; see the messages of the quarantine"
        raise InputError(msg)
    columns, report, read = whole_sky(sky.folder, objects, cfg, funnel)
    if sky.targets is not None:
        report["coordinates"] = keep_nearest(sky.targets, objects, funnel, quarantine)
        read.append(sky.targets.path)
    if not sum(len(o) for o in objects):
        steps = "; ".join(f"{n}: {c}" for n, c in funnel.rows())
        msg = (
            f"selection {selection.name!r} leaves no object of {cfg.source} ({steps}); choose another "
            "selection"
        )
        raise InputError(msg)
    files = at_hand(cfg, files, [len(o) for o in objects], quiet)
    info = StoreInfo(
        image_bands=cfg.bands,
        image_size=cfg.size,
        pixel_arcsec=PIXEL_ARCSEC,
        sed_bands=tuple(band(b) for b in cfg.sed_bands),
        columns=(*columns, *FLAGS),
        release=cfg.release,
        provenance={
            "kind": "sky",
            "tiles": [f.tile for f in files],
            "selection": f"{selection.name} v{selection.version}",
            "selection_steps": [s.where for s in selection.steps],
            "images": _which_images(files, cfg.bands),
            "dereddened": (Path(cfg.ebv_map).name if cfg.ebv_map else "GAL_EBV") if cfg.deredden else "no",
            **_from_afar(files, objects),
        },
    )
    tasks = [t for f, o in zip(files, objects, strict=True) for t in _tile_tasks(cfg, f, o)]
    return Plan(
        info=info,
        tasks=tasks,
        funnel=funnel,
        quarantine=quarantine,
        report=report,
        files=[str(p) for p in (*read, *_catalogues(files))],
    )


def _catalogues(files: list[TileFiles]) -> list[Path]:
    """Catalogues of the tiles that are on disk."""
    return [p for f in files for p in (f.catalogue, f.morphology) if isinstance(p, Path)]


def _from_afar(files: list[TileFiles], objects: list[TileObjects]) -> dict[str, Any]:
    """What the fingerprint of files on disk does not tell: services, and mosaics read in pieces."""
    asked = sorted({f.catalogue for f in files if isinstance(f.catalogue, str)})
    pieces = [f.tile for f in files if any(isinstance(b.image, RemoteFile) for b in f.bands.values())]
    out: dict[str, Any] = {"read_in_pieces": pieces} if pieces else {}
    if asked:
        rows = hashlib.sha256()
        for o in objects:
            for values in (o.object_id, o.ra, o.dec, o.flux):
                rows.update(np.ascontiguousarray(values).tobytes())
        out |= {"catalogue": asked, "catalogue_rows": rows.hexdigest()}
    return out


def _needs_a_band(tile: TileFiles, bands: tuple[str, ...]) -> None:
    if bands and not any(b in tile.bands for b in bands):
        msg = (
            f"tile {tile.tile} has no mosaic in any of {', '.join(bands)} beside {tile.catalogue}; "
            "add one, or ask for no images with bands: []"
        )
        raise InputError(msg)


def _which_images(files: list[TileFiles], bands: tuple[str, ...]) -> dict[str, int]:
    """Number of tiles that have a mosaic, by band."""
    return {b: sum(b in f.bands for f in files) for b in bands}


def _tile_tasks(cfg: IngestConfig, tile: TileFiles, objects: TileObjects) -> list[TileTask]:
    """One task, or for a full tile several: bands of declination with the same number of objects."""
    parts = max(1, -(-len(objects) // TASK_ROWS))
    if parts == 1:
        return [TileTask(cfg=cfg, tile=tile, objects=objects)]
    pieces = np.array_split(np.argsort(objects.dec, kind="stable"), parts)
    return [
        TileTask(cfg=cfg, tile=tile, objects=objects.taken(np.sort(rows)), part=k, parts=parts)
        for k, rows in enumerate(pieces)
    ]


@dataclass
class TileTask:
    """Cut the selected objects of one tile, or of a band of it, out of its mosaics."""

    cfg: IngestConfig
    tile: TileFiles
    objects: TileObjects
    part: int = 0
    parts: int = 1
    _mosaics: dict[str, BandMosaic] = field(default_factory=dict)

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
        planes = [p for b in self.tile.bands.values() for p in (b.image, b.rms, b.flag)]
        return sorted(str(p) for p in planes if isinstance(p, Path))

    def batches(self, quarantine: Quarantine) -> Iterator[Galaxies]:
        """Read the galaxies in sky order, so that each block of a mosaic is read once."""
        mosaics = self._open(quarantine)
        o, size = self.objects, self.cfg.size
        if mosaics:
            first = next(iter(mosaics.values()))
            x, y = first.wcs.wcs_world2pix(o.ra, o.dec, 0)
            ny, nx = first.image.shape
            inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
        elif self.cfg.bands:
            inside = np.zeros(len(o), bool)
            quarantine.add_objects(
                "no band of its tile can be read", o.object_id, o.ra, o.dec, file="", tile=self.tile.tile
            )
            return
        else:
            x, y, (ny, nx) = np.zeros(len(o)), np.zeros(len(o)), (0, 0)
            inside = np.ones(len(o), bool)
        out = np.flatnonzero(~inside)
        quarantine.add_objects(
            "its position is outside the mosaic of its tile",
            o.object_id[out],
            o.ra[out],
            o.dec[out],
            file=str(self.tile.catalogue),
            tile=self.tile.tile,
        )
        rows = np.flatnonzero(inside)
        x0, y0 = corners(x[rows], y[rows], size)
        order = sky_order(x0, y0)
        rows, x0, y0 = rows[order], x0[order], y0[order]
        edge = (x0 < 0) | (y0 < 0) | (x0 + size > nx) | (y0 + size > ny)
        scratch = Scratch()
        for at in _batches(blocks(x0, y0), batch_rows(size)):
            yield self._galaxies(mosaics, rows[at], x0[at], y0[at], edge[at], scratch)

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
        """The mosaic, to be resampled if its grid is not that of the first band and that is wanted."""
        try:
            check_same_grid(first, mosaic)
        except InputError:
            if not self.cfg.reproject:
                raise
            needs_reproject()
            return replace(mosaic, onto=first.wcs)
        return mosaic

    def _galaxies(
        self,
        mosaics: dict[str, BandMosaic],
        rows: np.ndarray,
        x0: np.ndarray,
        y0: np.ndarray,
        edge: np.ndarray,
        scratch: Scratch,
    ) -> Galaxies:
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
        there = masked < 1.0
        fraction = np.where(
            there.any(axis=0), (masked * there).sum(axis=0) / np.maximum(there.sum(axis=0), 1), 1.0
        )
        flags: Table = {
            "flag_edge": edge,
            "flag_masked_fraction": fraction.astype(np.float32),
            "flag_bits": bits,
        }
        return self.objects.galaxies(rows, cfg, images, masks, noise, flags)


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
