"""Tiles of IRSA's services, for a list of positions.

A cone query of the TAP service finds the objects near each position, the morphology table is queried by
``object_id``, and the image service (SIA) says which mosaics cover them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.ids import match_ids
from euclidfm.core.progress import Progress, silent
from euclidfm.ingest.catalogue.columns import find_columns, normalised
from euclidfm.ingest.catalogue.formats import Table
from euclidfm.ingest.catalogue.matching import first_of_each, separation_deg, unit_vectors
from euclidfm.ingest.config import IngestConfig, IrsaServices
from euclidfm.ingest.files import RemoteFile, fetch_bar
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.sources.coordinates import Targets
from euclidfm.ingest.sources.vo import images_at, in_parallel, need_pyvo, table_columns, tap_query
from euclidfm.ingest.tiles import SkyTile, TileFiles, bands_of, mosaic_of

__all__ = ["irsa_tiles"]

SAME_TILE_DEG = 0.2
"""A position this close to the centre of a tile of 32 arcmin has no other tile that is nearer."""

BEYOND_TILE_DEG = 0.5
"""A position this far from the centre of a tile is beyond its corners."""

_IDS_PER_QUERY = 100
_POSITION = ("object_id", "right_ascension", "declination")


def irsa_tiles(
    cfg: IngestConfig,
    columns: tuple[tuple[str, ...], tuple[str, ...]],
    targets: Targets | None,
    quarantine: Quarantine,
    quiet: bool = True,
) -> list[SkyTile]:
    """Objects near the targets, each on the tile whose centre is nearest.

    Parameters
    ----------
    cfg : IngestConfig
    columns : pair of tuples of str
        Needed and optional columns, by canonical name.
    targets : Targets, optional
        The list of positions; without one there is an error.
    quarantine : Quarantine
        Gets the objects that no mosaic covers.
    quiet : bool
        Draw no progress bars.

    Raises
    ------
    InputError
        If a service can't be reached or reports an error, a result is truncated, or nothing is found.
    """
    need_pyvo()
    services = cfg.irsa
    if targets is None:
        msg = "the source irsa needs a list of positions: --coordinates list.csv with columns ra and dec"
        raise InputError(msg)
    with fetch_bar(quiet, "positions") as progress:
        rows = _catalogue_near(services, targets, *columns, progress)
    ra, dec = rows["right_ascension"], rows["declination"]
    if not len(ra):
        near = f'within {targets.radius_arcsec:g}" of the positions of {targets.path}'
        msg = f"{services.tap} has no object {near}; check them, or give a larger --radius_arcsec"
        raise InputError(msg)
    if not cfg.bands:
        return [SkyTile(TileFiles(tile=-1, catalogue=services.tap), rows)]
    with fetch_bar(quiet, "positions") as progress:
        tiles = _mosaics_near(services, ra, dec, frozenset(cfg.bands), cfg.storage_options, progress)
    if not tiles:
        msg = f"{services.sia} lists no mosaic of {', '.join(cfg.bands)} at the positions of {targets.path}"
        raise InputError(msg)
    return _on_nearest_tile(rows, tiles, services, targets, quarantine)


def _on_nearest_tile(
    rows: Table,
    tiles: list[tuple[TileFiles, float, float]],
    services: IrsaServices,
    targets: Targets,
    quarantine: Quarantine,
) -> list[SkyTile]:
    """Rows by the tile whose centre is nearest; those beyond any tile go to quarantine."""
    ra, dec = rows["right_ascension"], rows["declination"]
    centres = unit_vectors(np.array([t[1] for t in tiles]), np.array([t[2] for t in tiles]))
    distance = np.linalg.norm(unit_vectors(ra, dec)[:, None] - centres[None], axis=2)
    nearest = distance.argmin(axis=1)
    lost = distance.min(axis=1) > np.radians(BEYOND_TILE_DEG)
    quarantine.add_objects(
        f"{services.sia} lists no mosaic here",
        rows["object_id"][lost],
        ra[lost],
        dec[lost],
        file=str(targets.path),
        tile=-1,
    )
    return [
        SkyTile(files, {c: v[mine] for c, v in rows.items()}, centres[k])
        for k, (files, _, _) in enumerate(tiles)
        if (mine := (nearest == k) & ~lost).any()
    ]


def _catalogue_near(
    services: IrsaServices,
    targets: Targets,
    needed: tuple[str, ...],
    optional: tuple[str, ...],
    progress: Progress,
) -> Table:
    """Catalogue rows around positions, one for each object, joined with the morphology table."""
    have = table_columns(services, services.catalogue)
    shape = table_columns(services, services.morphology) if services.morphology else ()
    extra = find_columns(services.tap, shape, (), (*optional, *needed)) if shape else {}
    where = f"{services.tap} table {services.catalogue}"
    main = find_columns(where, have, [c for c in needed if c in _POSITION or c not in extra], optional)
    extra = {c: n for c, n in extra.items() if c not in main}
    ra, dec = main["right_ascension"], main["declination"]
    radius = targets.radius_arcsec / 3600

    def cone(i: int) -> Table:
        return tap_query(
            services,
            f"SELECT {', '.join(main.values())} FROM {services.catalogue} WHERE CONTAINS(POINT('ICRS', {ra}, "
            f"{dec}), CIRCLE('ICRS', {targets.ra[i]:.8f}, {targets.dec[i]:.8f}, {radius:.8f})) = 1",
        )

    parts = in_parallel(cone, range(len(targets)), progress)
    raw = {n: np.concatenate([p[n] for p in parts]) for n in main.values()}
    table = normalised(where, main, raw)
    once = first_of_each(table["object_id"])
    table = {c: v[once] for c, v in table.items()}
    if extra and once.any():
        _add_morphology(services, extra, table)
    return table


def _add_morphology(services: IrsaServices, extra: Mapping[str, str], table: Table) -> None:
    """Add columns of the morphology table by object id; NaN where it has no such object."""
    found = {"object_id": "object_id", **extra}
    ids = table["object_id"]

    def some(start: int) -> Table:
        wanted = ", ".join(str(i) for i in ids[start : start + _IDS_PER_QUERY].tolist())
        return tap_query(
            services,
            f"SELECT {', '.join(found.values())} FROM {services.morphology} WHERE object_id IN ({wanted})",
        )

    parts = in_parallel(some, range(0, len(ids), _IDS_PER_QUERY))
    raw = {n: np.concatenate([p[n] for p in parts]) for n in found.values()}
    other = normalised(f"{services.tap} table {services.morphology}", found, raw)
    row = match_ids(ids, other["object_id"])
    for c in extra:
        values = np.full(len(ids), np.nan)
        values[row >= 0] = other[c][row[row >= 0]].astype(float)
        table[c] = values


def _mosaics_near(
    services: IrsaServices,
    ra: np.ndarray,
    dec: np.ndarray,
    bands: frozenset[str],
    options: Mapping[str, Any],
    progress: Progress = silent,
) -> list[tuple[TileFiles, float, float]]:
    """Tiles whose mosaics cover positions (degrees) and their centres (ra, dec), by number."""
    tiles: dict[int, tuple[TileFiles, float, float]] = {}
    for i, (a, d) in enumerate(zip(ra, dec, strict=True)):
        if not any(separation_deg(a, d, *centre)[0] < SAME_TILE_DEG for _, *centre in tiles.values()):
            for t in _tiles_at(services, float(a), float(d), bands, options):
                tiles.setdefault(t[0].tile, t)
        progress(i + 1, len(ra), "mosaics")
    return [tiles[n] for n in sorted(tiles)]


def _tiles_at(
    services: IrsaServices, ra: float, dec: float, bands: Iterable[str], options: Mapping[str, Any]
) -> list[tuple[TileFiles, float, float]]:
    """Tiles that the image service lists at a position, and their centres."""
    rows = images_at(services, ra, dec)
    files: dict[int, list[RemoteFile]] = {}
    centre: dict[int, tuple[float, float]] = {}
    for k in range(len(rows["access_url"])):
        url = _url(services, rows, k)
        found = mosaic_of(RemoteFile(url).name)
        if found is None or found[0] not in bands:
            continue
        camera, name = url.split("?")[0].split("/")[-2:]
        file = RemoteFile(url, f"MER/{found[1]}/{camera}/{name}", None, options)
        files.setdefault(found[1], []).append(file)
        centre.setdefault(found[1], (float(rows["s_ra"][k]), float(rows["s_dec"][k])))
    return [
        (TileFiles(tile=n, catalogue=services.tap, bands=bands_of(n, f)), *centre[n])
        for n, f in files.items()
    ]


def _url(services: IrsaServices, rows: Table, k: int) -> str:
    """Address of an image: the archive's own, or that of the copy in object storage."""
    if services.images == "cloud" and "cloud_access" in rows:
        try:
            aws = json.loads(str(rows["cloud_access"][k]))["aws"]
            return f"s3://{aws['bucket_name']}/{aws['key']}"
        except (ValueError, KeyError, TypeError):
            pass
    return str(rows["access_url"][k])
