"""Planning a sky of tiles: which tiles, which of their objects, which mosaics. `tile_unit` cuts the pixels.

A sky may be a folder, a folder behind a URL, the merged-objects catalogue, or IRSA's services. Each gives
the same: tiles with their mosaics (on disk or behind URLs) and their catalogue rows (in files, or read).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.bands import PIXEL_ARCSEC, band
from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.labels import FLAGS
from euclidfm.ingest.catalogue.objects import TileObjects
from euclidfm.ingest.catalogue.tile import catalogue_columns, read_tile
from euclidfm.ingest.catalogue.whole_sky import join_tiles
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.files import RemoteFile, fetch_bar, is_remote
from euclidfm.ingest.plan import Plan
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import CutFlow, Selection
from euclidfm.ingest.sources.coordinates import Targets, keep_nearest, read_targets
from euclidfm.ingest.sources.folder import find_tiles
from euclidfm.ingest.sources.irsa import irsa_tiles
from euclidfm.ingest.sources.merged import merged_tiles
from euclidfm.ingest.sources.remote import fetch_mosaics, mirror, remote_bands
from euclidfm.ingest.sources.tile_unit import tile_units
from euclidfm.ingest.tiles import SkyTile, TileFiles
from euclidfm.store.schema import Column, StoreInfo

__all__ = ["plan_sky"]


def plan_sky(cfg: IngestConfig, quiet: bool = True) -> Plan:
    """Read and select the catalogues of a sky; pixels are left to the work units.

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
    cut_flow, quarantine = CutFlow(), Quarantine()
    targets = read_targets(cfg.coordinates, cfg.radius_arcsec) if cfg.coordinates else None
    found = _find(cfg, selection, targets, quarantine, quiet)
    files, objects = _read(cfg, found, selection, targets, cut_flow, quarantine)
    columns, report, read = join_tiles(_folder(cfg), objects, cfg, cut_flow)
    if targets is not None:
        report["coordinates"] = keep_nearest(targets, objects, cut_flow, quarantine)
        read.append(targets.path)
    if not any(len(o) for o in objects):
        if targets is not None and any(n for n in list(cut_flow.counts.values())[:-1]):
            msg = (
                f"no position of {targets.path} has a selected object within "
                f"{targets.radius_arcsec:g} arcsec ({cut_flow}); check that they are in degrees (ICRS), "
                "or widen radius_arcsec"
            )
            raise InputError(msg)
        msg = (
            f"selection {selection.name!r} leaves no object of {cfg.source} ({cut_flow}); choose another "
            "selection"
        )
        raise InputError(msg)
    files = _fetch(cfg, files, [len(o) for o in objects], quiet)
    read += [p for f in files for p in (f.catalogue, f.morphology) if isinstance(p, Path)]
    return Plan(
        info=_store_info(cfg, selection, files, objects, columns),
        units=[u for f, o in zip(files, objects, strict=True) for u in tile_units(cfg, f, o)],
        cut_flow=cut_flow,
        quarantine=quarantine,
        report=report,
        files=[str(p) for p in read],
    )


def _find(
    cfg: IngestConfig, selection: Selection, targets: Targets | None, quarantine: Quarantine, quiet: bool
) -> list[SkyTile]:
    """The tiles, from wherever the sky is; catalogues behind URLs are copied or queried."""
    columns = catalogue_columns(cfg, selection.columns)
    if cfg.source == "irsa":
        return irsa_tiles(cfg, columns, targets, quarantine, quiet)
    if cfg.catalogue:
        return merged_tiles(cfg, columns, targets)
    if not is_remote(cfg.source):
        return [SkyTile(t) for t in find_tiles(Path(cfg.source), cfg.tiles)]
    cache = _cache(cfg)
    with fetch_bar(quiet) as progress:
        mirror(cfg.source, cache, cfg.tiles, (), cfg.storage_options, progress)
    return [
        SkyTile(replace(t, bands=remote_bands(cfg.source, t.tile, cfg.bands, cache, cfg.storage_options)))
        for t in find_tiles(cache, cfg.tiles)
    ]


def _read(
    cfg: IngestConfig,
    found: list[SkyTile],
    selection: Selection,
    targets: Targets | None,
    cut_flow: CutFlow,
    quarantine: Quarantine,
) -> tuple[list[TileFiles], list[TileObjects]]:
    """Files and selected objects of each tile; a damaged catalogue ends the run or goes to quarantine."""
    files, objects = [], []
    for tile in found:
        _need_a_band(tile.files, cfg.bands)
        try:
            selected = read_tile(tile, cfg, selection, cut_flow, quarantine)
        except InputError as e:
            if cfg.on_error == "stop":
                raise
            quarantine.add(str(e), file=str(tile.files.catalogue), tile=tile.files.tile)
            continue
        if targets is not None:
            selected.keep(targets.near(selected.ra, selected.dec))
        files.append(tile.files)
        objects.append(selected)
    if not objects:
        msg = f"no tile of {cfg.source} has a readable catalogue; see the messages of the quarantine"
        raise InputError(msg)
    return files, objects


def _need_a_band(tile: TileFiles, bands: tuple[str, ...]) -> None:
    if bands and not any(b in tile.bands for b in bands):
        msg = (
            f"tile {tile.tile} has no mosaic in any of {', '.join(bands)} beside {tile.catalogue}; "
            "add one, or ask for no images with bands: []"
        )
        raise InputError(msg)


def _fetch(cfg: IngestConfig, files: list[TileFiles], objects: list[int], quiet: bool) -> list[TileFiles]:
    """The tiles with their remote mosaics copied where many objects are wanted."""
    if not any(isinstance(p, RemoteFile) for f in files for p in f.planes):
        return files
    with fetch_bar(quiet) as progress:
        return [
            fetch_mosaics(f, n, _cache(cfg), cfg.fetch, progress) for f, n in zip(files, objects, strict=True)
        ]


def _cache(cfg: IngestConfig) -> Path:
    return Path(cfg.cache or "sky")


def _folder(cfg: IngestConfig) -> Path | None:
    """Folder on disk that may hold the sky's spectra and truth."""
    if cfg.source == "irsa":
        return None
    if is_remote(cfg.source):
        return None if cfg.catalogue else _cache(cfg)
    return Path(cfg.source)


def _store_info(
    cfg: IngestConfig,
    selection: Selection,
    files: list[TileFiles],
    objects: list[TileObjects],
    columns: tuple[Column, ...],
) -> StoreInfo:
    return StoreInfo(
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
            "images": {b: sum(b in f.bands for f in files) for b in cfg.bands},
            "dereddened": (Path(cfg.ebv_map).name if cfg.ebv_map else "GAL_EBV") if cfg.deredden else "no",
            **_remote_inputs(files, objects),
        },
    )


def _remote_inputs(files: list[TileFiles], objects: list[TileObjects]) -> dict[str, Any]:
    """Inputs that are not files on disk, for the provenance and the fingerprint of a run."""
    services = sorted({f.catalogue for f in files if isinstance(f.catalogue, str)})
    pieces = [f.tile for f in files if any(isinstance(b.image, RemoteFile) for b in f.bands.values())]
    out: dict[str, Any] = {"read_in_pieces": pieces} if pieces else {}
    if services:
        rows = hashlib.sha256()
        for o in objects:
            for values in (o.object_id, o.ra, o.dec, o.flux):
                rows.update(np.ascontiguousarray(values).tobytes())
        out |= {"catalogue": services, "catalogue_rows": rows.hexdigest()}
    return out
