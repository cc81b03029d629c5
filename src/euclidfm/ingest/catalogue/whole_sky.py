"""What needs the objects of all tiles at once: duplicates of overlaps, splits, spectra and truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.ingest.catalogue.formats import Table, read_table
from euclidfm.ingest.catalogue.labels import SPEC, TRUTH, truth_labels
from euclidfm.ingest.catalogue.matching import duplicates, unit_vectors
from euclidfm.ingest.catalogue.objects import TileObjects
from euclidfm.ingest.catalogue.spectra import join_spectroscopy
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.selection import CutFlow
from euclidfm.ingest.tiles import SPECTROSCOPY
from euclidfm.store.schema import Column
from euclidfm.store.splits import assign_splits

__all__ = ["join_tiles"]


def join_tiles(
    sky: Path | None, tiles: list[TileObjects], cfg: IngestConfig, cut_flow: CutFlow
) -> tuple[tuple[Column, ...], dict[str, Any], list[Path]]:
    """Drop duplicates of overlapping tiles; add splits, spectra and truth.

    Parameters
    ----------
    sky : Path, optional
        Folder that may hold spectra and truth.
    tiles : list of TileObjects
        Changed in place.
    cfg : IngestConfig
    cut_flow : CutFlow

    Returns
    -------
    columns : tuple of Column
        Those of every tile.
    report : dict
        Numbers of the match with spectra.
    files : list of Path
        Files that were read.
    """
    columns = _common_columns(tiles)
    report: dict[str, Any] = {}
    files = [Path(cfg.ebv_map)] if cfg.ebv_map else []
    if len(tiles) > 1:
        for tile, drop in zip(tiles, _overlaps(tiles, cfg.duplicate_arcsec), strict=True):
            tile.keep(~drop)
        cut_flow.count("once (duplicates of overlapping tiles dropped)", sum(len(t) for t in tiles))
    for t in tiles:
        t.split = assign_splits(t.ra, t.dec, cfg.split_fractions, cfg.split_order, cfg.seed)
    spectra = _spectroscopy(cfg, sky)
    if spectra:
        ra, dec = (np.concatenate([getattr(t, c) for t in tiles]) for c in ("ra", "dec"))
        labels, report["spectroscopy"] = join_spectroscopy(spectra, ra, dec, cfg.match_arcsec)
        _distribute(tiles, labels)
        columns += SPEC
        files.append(spectra)
    if sky and (sky / "truth.parquet").is_file():
        truth, _ = read_table(sky / "truth.parquet", ("object_id", "kind", "subtype", "z", "log_mass"))
        for t in tiles:
            t.columns |= truth_labels(t.object_id, truth)
        columns += TRUTH
        files.append(sky / "truth.parquet")
    return columns, report, files


def _spectroscopy(cfg: IngestConfig, sky: Path | None) -> Path | None:
    """The table of redshifts and masses that the config names, or the sky's own."""
    if cfg.spectroscopy:
        return Path(cfg.spectroscopy)
    return sky / SPECTROSCOPY if sky and (sky / SPECTROSCOPY).exists() else None


def _common_columns(tiles: list[TileObjects]) -> tuple[Column, ...]:
    """Columns of any tile; a tile that lacks one gets NaN, or -1 in a column of integers."""
    specs = {c.name: c for t in tiles for c in t.specs}
    for t in tiles:
        for name, c in specs.items():
            if name not in t.columns:
                t.columns[name] = (
                    np.full(len(t), -1, np.int64)
                    if c.type == "int64"
                    else np.full(len(t), np.nan, np.float32)
                )
    return tuple(specs.values())


def _overlaps(tiles: list[TileObjects], arcsec: float) -> list[np.ndarray]:
    """Rows of each tile whose object another tile holds nearer to its own centre."""
    away = [np.linalg.norm(unit_vectors(t.ra, t.dec) - t.centre, axis=1) for t in tiles]
    group = np.repeat(np.arange(len(tiles)), [len(t) for t in tiles])
    ids, ra, dec = (np.concatenate([getattr(t, c) for t in tiles]) for c in ("object_id", "ra", "dec"))
    drop = duplicates(ids, ra, dec, group, np.concatenate(away), arcsec)
    return [drop[group == g] for g in range(len(tiles))]


def _distribute(tiles: list[TileObjects], labels: Table) -> None:
    """Give each tile its rows of columns that cover all tiles."""
    start = 0
    for t in tiles:
        t.columns |= {k: v[start : start + len(t)] for k, v in labels.items()}
        start += len(t)
