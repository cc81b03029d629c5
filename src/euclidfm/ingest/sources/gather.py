"""Where the tiles of a sky come from: a folder, a URL, the merged catalogue, IRSA's services.

Whatever the source, the result is the same: for each tile its mosaics (files here, or files behind
URLs) and its catalogue rows (in files of its own, or already read).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, bar, silent
from euclidfm.ingest.catalogue.formats import Table
from euclidfm.ingest.catalogue.matching import unit_vectors
from euclidfm.ingest.catalogue.mer import catalogue_columns
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.images.mosaic import open_plane, read_wcs
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import Selection
from euclidfm.ingest.sources.coordinates import Targets, read_targets
from euclidfm.ingest.sources.tiles import BandFiles, TileFiles, find_mosaics, find_tiles
from euclidfm.ingest.sources.urls import RemoteFile, is_remote

__all__ = ["Gathered", "SkyTile", "at_hand", "gather"]


@dataclass(frozen=True)
class SkyTile:
    """A tile: its files, and its catalogue rows and centre where these are known already."""

    files: TileFiles
    rows: Table | None = None
    centre: np.ndarray | None = None


@dataclass(frozen=True)
class Gathered:
    """The tiles of a sky, the folder that may hold its spectra and truth, and the wanted positions."""

    tiles: list[SkyTile]
    folder: Path | None
    targets: Targets | None


def gather(cfg: IngestConfig, selection: Selection, quarantine: Quarantine, quiet: bool = True) -> Gathered:
    """Find the tiles of a sky and their files; catalogues behind URLs are copied or asked for.

    Parameters
    ----------
    cfg : IngestConfig
    selection : Selection
        Whose columns a service is asked for.
    quarantine : Quarantine
        Gets what has no mosaic.
    quiet : bool
        Draw no progress bars.

    Raises
    ------
    InputError
        If a place can't be reached, a tile or column is missing, or nothing says what to fetch.
    """
    targets = read_targets(cfg.coordinates, cfg.radius_arcsec) if cfg.coordinates else None
    if cfg.source == "irsa":
        return Gathered(_from_services(cfg, selection, targets, quarantine, quiet), None, targets)
    if cfg.catalogue:
        return Gathered(_from_merged(cfg, selection, targets), _folder(cfg.source), targets)
    if not is_remote(cfg.source):
        sky = Path(cfg.source)
        return Gathered([SkyTile(t) for t in find_tiles(sky, cfg.tiles)], sky, targets)
    from euclidfm.ingest.sources.remote import mirror, remote_bands

    cache, options = Path(cfg.cache or "sky"), cfg.storage_options
    with _fetching(quiet) as progress:
        mirror(cfg.source, cache, cfg.tiles, (), options, progress)
    tiles = [
        SkyTile(replace(t, bands=remote_bands(cfg.source, t.tile, cfg.bands, cache, options)))
        for t in find_tiles(cache, cfg.tiles)
    ]
    return Gathered(tiles, cache, targets)


def at_hand(
    cfg: IngestConfig, files: Sequence[TileFiles], objects: Sequence[int], quiet: bool = True
) -> list[TileFiles]:
    """The tiles with their remote mosaics copied where many objects are wanted.

    Parameters
    ----------
    cfg : IngestConfig
    files : sequence of TileFiles
    objects : sequence of int
        Selected objects of each tile.
    quiet : bool
        Draw no progress bars.
    """
    if not any(isinstance(b.image, RemoteFile) for f in files for b in f.bands.values()):
        return list(files)
    from euclidfm.ingest.sources.remote import choose

    cache = Path(cfg.cache or "sky")
    with _fetching(quiet) as progress:
        return [choose(f, n, cache, cfg.fetch, progress) for f, n in zip(files, objects, strict=True)]


@contextmanager
def _fetching(quiet: bool, unit: str = "MB") -> Iterator[Progress]:
    """A progress bar of what is fetched, or none."""
    with nullcontext(silent) if quiet else bar("fetch", unit) as progress:
        yield progress


def _folder(source: str) -> Path | None:
    return None if is_remote(source) else Path(source)


def _from_services(
    cfg: IngestConfig, selection: Selection, targets: Targets | None, quarantine: Quarantine, quiet: bool
) -> list[SkyTile]:
    """Rows of the TAP service, each with the tile whose centre is nearest among the SIA service's."""
    try:
        import pyvo  # noqa: F401
    except ImportError as e:
        msg = "the source irsa needs pyvo: pip install 'euclidfm[archive]'"
        raise InputError(msg) from e
    from euclidfm.ingest.sources.irsa import catalogue_near, mosaics_near

    if targets is None:
        msg = "the source irsa needs a list of positions: --coordinates list.csv with columns ra and dec"
        raise InputError(msg)
    with _fetching(quiet, "positions") as progress:
        rows = catalogue_near(cfg.irsa, targets, *catalogue_columns(cfg, selection.columns), progress)
    ra, dec = rows["right_ascension"], rows["declination"]
    if not len(ra):
        near = f'within {targets.radius_arcsec:g}" of the positions of {targets.path}'
        msg = f"{cfg.irsa.tap} has no object {near}; check them, or give a larger --radius_arcsec"
        raise InputError(msg)
    if not cfg.bands:
        return [SkyTile(TileFiles(tile=-1, catalogue=cfg.irsa.tap), rows)]
    with _fetching(quiet, "positions") as progress:
        found = mosaics_near(cfg.irsa, ra, dec, cfg.bands, cfg.storage_options, progress)
    if not found:
        msg = f"{cfg.irsa.sia} lists no mosaic of {', '.join(cfg.bands)} at the positions of {targets.path}"
        raise InputError(msg)
    centres = unit_vectors(np.array([t.ra for t in found]), np.array([t.dec for t in found]))
    distance = np.linalg.norm(unit_vectors(ra, dec)[:, None] - centres[None], axis=2)
    nearest = distance.argmin(axis=1)
    lost = distance.min(axis=1) > np.radians(0.5)  # beyond any corner of a tile of 32 arcmin
    quarantine.add_objects(
        f"{cfg.irsa.sia} lists no mosaic here",
        rows["object_id"][lost],
        ra[lost],
        dec[lost],
        file=str(targets.path),
        tile=-1,
    )
    return [
        SkyTile(t.files, {c: v[mine] for c, v in rows.items()}, centres[k])
        for k, t in enumerate(found)
        if (mine := (nearest == k) & ~lost).any()
    ]


def _from_merged(cfg: IngestConfig, selection: Selection, targets: Targets | None) -> list[SkyTile]:
    """Rows of the merged HATS catalogue, by tile, with the mosaics of the source."""
    from euclidfm.ingest.sources.hats import open_hats

    hats = open_hats(str(cfg.catalogue), cfg.storage_options)
    columns = catalogue_columns(cfg, selection.columns)
    parts: dict[int, Table]
    if targets is not None:
        where = hats.covering(targets.ra, targets.dec, targets.radius_arcsec)
        pieces = [_near(hats.read(*columns, partitions=[p], tiles=cfg.tiles), targets) for p in where]
        pieces = [p for p in pieces if len(p["object_id"])]
        rows = {c: np.concatenate([p[c] for p in pieces]) for c in (pieces[0] if pieces else ())}
        if rows and "tile_index" not in rows:
            msg = f"{hats.root} has no column TILEID, which says whose mosaics an object is on"
            raise InputError(msg)
        numbers = np.unique(rows["tile_index"]).tolist() if rows else []
        parts = {int(n): {c: v[rows["tile_index"] == n] for c, v in rows.items()} for n in numbers}
    elif cfg.tiles:
        parts = {n: {} for n in sorted(cfg.tiles)}
    else:
        msg = f"{hats.root} is a survey: say which part, --tiles '[102018211]' or --coordinates list.csv"
        raise InputError(msg)
    if not parts:
        msg = f"{hats.root} has no object near the positions of {cfg.coordinates}"
        raise InputError(msg)
    out = []
    for n, rows in parts.items():
        bands = _bands(cfg, n)
        files = TileFiles(tile=n, catalogue=hats.root, bands=bands if cfg.bands else {})
        centre, radius = _footprint(bands)
        if targets is None:
            around = None if centre is None else hats.covering(*centre, radius)
            rows = hats.read(*columns, partitions=around, tiles=(n,))
            if not len(rows["object_id"]):
                msg = f"{hats.root} has no object of tile {n}; check --tiles"
                raise InputError(msg)
        direction = None if centre is None else unit_vectors(centre[0], centre[1])[0]
        rows.pop("tile_index", None)
        out.append(SkyTile(files, rows, direction))
    return out


def _near(rows: Table, targets: Targets) -> Table:
    """The rows near any target."""
    from scipy.spatial import cKDTree

    if not len(rows["object_id"]):
        return rows
    tree = cKDTree(unit_vectors(targets.ra, targets.dec))
    distance, _ = tree.query(unit_vectors(rows["right_ascension"], rows["declination"]))
    near = distance <= 2 * np.sin(np.radians(targets.radius_arcsec / 3600) / 2)
    return {c: v[near] for c, v in rows.items()}


def _bands(cfg: IngestConfig, tile: int) -> dict[str, BandFiles]:
    """Mosaics of a tile; of one band if no images are wanted, since its header says where the tile is."""
    if not is_remote(cfg.source):
        return find_mosaics(Path(cfg.source), tile)
    from euclidfm.ingest.sources.remote import remote_bands

    wanted = cfg.bands or ("VIS",)
    return remote_bands(cfg.source, tile, wanted, Path(cfg.cache or "sky"), cfg.storage_options)


def _footprint(bands: dict[str, BandFiles]) -> tuple[tuple[np.ndarray, np.ndarray] | None, float]:
    """Centre (degrees) of a tile and the distance to its corners (arcsec), by a mosaic's header."""
    for band in bands.values():
        plane = open_plane(band.image)
        wcs = read_wcs(band.image, plane.header)
        ny, nx = plane.shape
        x, y = np.array([(nx - 1) / 2, 0, nx - 1, 0, nx - 1]), np.array([(ny - 1) / 2, 0, 0, ny - 1, ny - 1])
        ra, dec = wcs.wcs_pix2world(x, y, 0)
        v = unit_vectors(ra, dec)
        far = np.degrees(2 * np.arcsin(np.linalg.norm(v[1:] - v[0], axis=1).max() / 2)) * 3600
        return (ra[:1], dec[:1]), float(far) + 10.0
    return None, 0.0
