"""Tiles whose objects are in the merged-objects catalogue (HATS); their mosaics are those of the sky."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.formats import Table
from euclidfm.ingest.catalogue.matching import separation_deg, unit_vectors
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.files import is_remote
from euclidfm.ingest.images.plane import open_plane
from euclidfm.ingest.images.sky_wcs import read_wcs, sky_of
from euclidfm.ingest.sources.coordinates import Targets
from euclidfm.ingest.sources.folder import find_mosaics
from euclidfm.ingest.sources.hats import HatsCatalogue, open_hats
from euclidfm.ingest.sources.remote import remote_bands
from euclidfm.ingest.tiles import BandFiles, SkyTile, TileFiles

__all__ = ["merged_tiles"]

Columns = tuple[tuple[str, ...], tuple[str, ...]]
"""Needed and optional columns, by canonical name."""


def merged_tiles(cfg: IngestConfig, columns: Columns, targets: Targets | None) -> list[SkyTile]:
    """Tiles with their rows of the merged catalogue.

    Parameters
    ----------
    cfg : IngestConfig
    columns : pair of tuples of str
        Needed and optional columns.
    targets : Targets, optional
        Read only the objects near these positions; default: all objects of ``cfg.tiles``.

    Raises
    ------
    InputError
        If the catalogue can't be read, holds none of the objects, or it is not known which part to read.
    """
    hats = open_hats(str(cfg.catalogue), cfg.storage_options)
    if targets is not None:
        return [_tile(cfg, hats, n, rows) for n, rows in _rows_near(cfg, hats, columns, targets).items()]
    if not cfg.tiles:
        msg = f"{hats.root} is a survey: say which part, --tiles '[102018211]' or --coordinates list.csv"
        raise InputError(msg)
    return [_tile(cfg, hats, n, None, columns) for n in sorted(cfg.tiles)]


def _rows_near(
    cfg: IngestConfig, hats: HatsCatalogue, columns: Columns, targets: Targets
) -> dict[int, Table]:
    """Rows near the targets, by tile."""
    pieces = []
    for partition in hats.covering(targets.ra, targets.dec, targets.radius_arcsec):
        rows = hats.read(*columns, partitions=[partition], tiles=cfg.tiles)
        near = targets.near(rows["right_ascension"], rows["declination"])
        if near.any():
            pieces.append({c: v[near] for c, v in rows.items()})
    if not pieces:
        msg = f"{hats.root} has no object near the positions of {cfg.coordinates}"
        raise InputError(msg)
    rows = {c: np.concatenate([p[c] for p in pieces]) for c in pieces[0]}
    if "tile_index" not in rows:
        msg = f"{hats.root} has no column TILEID, which says whose mosaics an object is on"
        raise InputError(msg)
    tile = rows["tile_index"]
    return {int(n): {c: v[tile == n] for c, v in rows.items()} for n in np.unique(tile).tolist()}


def _tile(
    cfg: IngestConfig, hats: HatsCatalogue, number: int, rows: Table | None, columns: Columns = ((), ())
) -> SkyTile:
    """One tile; without `rows`, those of the partitions that it touches are read."""
    bands = _mosaics(cfg, number)
    centre, radius_arcsec = _footprint(bands)
    if rows is None:
        around = None if centre is None else hats.covering(*centre, radius_arcsec)
        rows = hats.read(*columns, partitions=around, tiles=(number,))
        if not len(rows["object_id"]):
            msg = f"{hats.root} has no object of tile {number}; check --tiles"
            raise InputError(msg)
    rows.pop("tile_index", None)
    files = TileFiles(tile=number, catalogue=hats.root, bands=bands if cfg.bands else {})
    return SkyTile(files, rows, None if centre is None else unit_vectors(*centre)[0])


def _mosaics(cfg: IngestConfig, tile: int) -> dict[str, BandFiles]:
    """Mosaics of a tile; of VIS if no images are wanted, since its header says where the tile is."""
    if not is_remote(cfg.source):
        return find_mosaics(Path(cfg.source), tile)
    return remote_bands(
        cfg.source, tile, cfg.bands or ("VIS",), Path(cfg.cache or "sky"), cfg.storage_options
    )


def _footprint(bands: dict[str, BandFiles]) -> tuple[tuple[np.ndarray, np.ndarray] | None, float]:
    """Centre of a tile (degrees) and the distance to its corners (arcsec), by the header of a mosaic."""
    for band in bands.values():
        plane = open_plane(band.image)
        wcs = read_wcs(band.image, plane.header)
        ny, nx = plane.shape
        x, y = np.array([(nx - 1) / 2, 0, nx - 1, 0, nx - 1]), np.array([(ny - 1) / 2, 0, 0, ny - 1, ny - 1])
        ra, dec = sky_of(wcs, x, y)
        corners = separation_deg(ra[1:], dec[1:], ra[:1], dec[:1])
        return (ra[:1], dec[:1]), float(corners.max()) * 3600 + 10.0
    return None, 0.0
