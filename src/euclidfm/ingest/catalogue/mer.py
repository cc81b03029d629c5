"""Catalogues of a sky: read, checked, selected, joined; what each object carries besides pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.ids import match_ids
from euclidfm.ingest.catalogue.columns import read_columns
from euclidfm.ingest.catalogue.extinction import dereddening, reddening_at
from euclidfm.ingest.catalogue.fluxes import catalogue_sed, sed_columns, vis_magnitude
from euclidfm.ingest.catalogue.formats import Table, read_table
from euclidfm.ingest.catalogue.labels import GZ_COLUMNS, META, SPEC, TRUTH, galaxy_zoo, metadata, truth_labels
from euclidfm.ingest.catalogue.matching import duplicates, unit_vectors
from euclidfm.ingest.catalogue.spectra import join_spectroscopy
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import Funnel, Selection
from euclidfm.ingest.sources.tiles import TileFiles, spectroscopy_file
from euclidfm.store import Column, Galaxies, assign_splits

__all__ = ["TileObjects", "catalogue_columns", "read_tile", "whole_sky"]


@dataclass
class TileObjects:
    """Selected objects of one tile: everything but pixels.

    Attributes
    ----------
    object_id, tile : (N,) int64
    ra, dec : (N,) degrees
    split : (N,) str
    flux, fluxerr : (N, K) µJy
    columns : dict of (N,) arrays
    specs : tuple of Column
        What `columns` are.
    centre : (3,) float
        Direction of the tile's centre.
    """

    object_id: np.ndarray
    tile: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    split: np.ndarray
    flux: np.ndarray
    fluxerr: np.ndarray
    columns: Table
    specs: tuple[Column, ...]
    centre: np.ndarray

    def __len__(self) -> int:
        return len(self.object_id)

    def keep(self, rows: np.ndarray) -> None:
        """Drop all but the given rows."""
        for name in ("object_id", "tile", "ra", "dec", "split", "flux", "fluxerr"):
            setattr(self, name, getattr(self, name)[rows])
        self.columns = {k: v[rows] for k, v in self.columns.items()}

    def taken(self, rows: np.ndarray) -> TileObjects:
        """The given rows, by themselves."""
        part = replace(self)
        part.keep(rows)
        return part

    def galaxies(
        self,
        rows: np.ndarray,
        cfg: IngestConfig,
        images: dict[str, np.ndarray],
        masks: dict[str, np.ndarray],
        noise: dict[str, np.ndarray],
        flags: Table,
    ) -> Galaxies:
        """Galaxies of some rows, with their pixels."""
        return Galaxies(
            **{k: getattr(self, k)[rows] for k in ("object_id", "ra", "dec", "tile", "split")},
            images={b: images[b] for b in cfg.bands},
            masks={b: masks[b] for b in cfg.bands},
            noise={b: noise[b] for b in cfg.bands},
            flux=self.flux[rows].astype(np.float32),
            fluxerr=self.fluxerr[rows].astype(np.float32),
            sed_bands=cfg.sed_bands,
            columns={k: v[rows] for k, v in self.columns.items()} | flags,
        )


def catalogue_columns(
    cfg: IngestConfig, selected_by: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Canonical columns that an ingest needs of a catalogue, and those that it keeps if they are there.

    Parameters
    ----------
    cfg : IngestConfig
    selected_by : iterable of str
        Columns of the selection.
    """
    needed = ["object_id", "right_ascension", "declination", *sed_columns(cfg.sed_bands, cfg.sed_flux)]
    needed += [c for c in selected_by if c != "mag_vis"]
    if cfg.deredden and not cfg.ebv_map:
        needed.append("gal_ebv")
    return tuple(dict.fromkeys(needed)), (*META, *GZ_COLUMNS)


def read_tile(
    files: TileFiles,
    cfg: IngestConfig,
    selection: Selection,
    funnel: Funnel,
    quarantine: Quarantine,
    rows: Table | None = None,
    centre: np.ndarray | None = None,
) -> TileObjects:
    """Read a tile's catalogues and select.

    Parameters
    ----------
    files : TileFiles
    cfg : IngestConfig
    selection : Selection
    funnel : Funnel
    quarantine : Quarantine
    rows : dict of arrays, optional
        The tile's `catalogue_columns`, if they are not in the tile's own catalogues.
    centre : (3,) float, optional
        Direction of the tile's centre; default: the mean of the catalogued positions.

    Raises
    ------
    InputError
        If a catalogue is damaged or lacks a column that the SED or the selection needs.
    """
    table = _photometry(files, cfg, selection) if rows is None else rows
    table["mag_vis"] = vis_magnitude(table)
    funnel.count("catalogued", len(table["object_id"]))
    keep = _sound(table, files, quarantine)
    if centre is None:
        v = unit_vectors(table["right_ascension"][keep], table["declination"][keep])
        centre = v.mean(axis=0) if len(v) else np.zeros(3)
    funnel.count("sound (finite position, unique id)", keep.sum())
    keep = selection.apply(table, keep, funnel)
    table = {k: v[keep] for k, v in table.items()}
    flux, fluxerr = catalogue_sed(table, cfg.sed_bands, cfg.sed_flux)
    if cfg.deredden:
        factor = dereddening(cfg.sed_bands, _reddening(files, cfg, table))
        flux, fluxerr = flux * factor, fluxerr * factor
    (zoo_specs, zoo), (meta_specs, meta) = galaxy_zoo(table), metadata(table)
    n = len(table["object_id"])
    return TileObjects(
        object_id=table["object_id"],
        tile=np.full(n, files.tile, np.int64),
        ra=table["right_ascension"].astype(float),
        dec=table["declination"].astype(float),
        split=np.full(n, "", object),
        flux=flux,
        fluxerr=fluxerr,
        columns=zoo | meta,
        specs=(*zoo_specs, *meta_specs),
        centre=centre,
    )


def _photometry(files: TileFiles, cfg: IngestConfig, selection: Selection) -> Table:
    """Needed columns of the photometry catalogue, joined with those of the morphology catalogue."""
    morphology: Table = {}
    if files.morphology:
        wanted = (*GZ_COLUMNS, *META, *selection.columns)
        morphology = read_columns(files.morphology, ("object_id",), wanted)
    elsewhere = set(morphology) - {"object_id"}
    needed, _ = catalogue_columns(cfg, [c for c in selection.columns if c not in elsewhere])
    table = read_columns(Path(files.catalogue), needed, META)
    if morphology:
        _join(table, morphology)
    return table


def _join(table: Table, other: Table) -> None:
    """Add the columns of `other` by object id; NaN where it has no such object."""
    rows = match_ids(table["object_id"], other["object_id"])
    for name, values in other.items():
        if name not in table:
            column = np.full(len(rows), np.nan)
            column[rows >= 0] = values[rows[rows >= 0]]
            table[name] = column


def _sound(table: Table, files: TileFiles, quarantine: Quarantine) -> np.ndarray:
    """Rows with a position on the sky and an id of their own; the others go to quarantine."""
    ids, ra, dec = (table[c] for c in ("object_id", "right_ascension", "declination"))
    with np.errstate(invalid="ignore"):
        placed = (ra >= 0) & (ra <= 360) & (dec >= -90) & (dec <= 90)
    first = np.zeros(len(ids), bool)
    first[np.unique(ids, return_index=True)[1]] = True
    reasons = (
        (~placed, "its position is not a number or not on the sky"),
        (placed & ~first, "its object_id occurs earlier in the same catalogue"),
    )
    for bad, reason in reasons:
        quarantine.add_objects(
            reason, ids[bad], ra[bad], dec[bad], file=str(files.catalogue), tile=files.tile
        )
    return placed & first


def _reddening(files: TileFiles, cfg: IngestConfig, table: Table) -> np.ndarray:
    """E(B-V) of each object, from the map or the catalogue."""
    if cfg.ebv_map:
        ra, dec = table["right_ascension"].astype(float), table["declination"].astype(float)
        return cfg.ebv_scale * reddening_at(Path(cfg.ebv_map), ra, dec, cfg.ebv_frame)
    if not np.isfinite(table["gal_ebv"]).all():
        msg = (
            f"{files.catalogue}: GAL_EBV is not known for every object; fill it, give --ebv_map, or set "
            "deredden: false"
        )
        raise InputError(msg)
    return np.asarray(cfg.ebv_scale * table["gal_ebv"])


def whole_sky(
    sky: Path | None, tiles: list[TileObjects], cfg: IngestConfig, funnel: Funnel
) -> tuple[tuple[Column, ...], dict[str, Any], list[Path]]:
    """What needs all tiles at once: duplicates of overlaps, splits, spectra, truth.

    Changes `tiles` in place. `sky` is the folder that may hold spectra and truth.

    Returns
    -------
    columns : tuple of Column
        Those of every tile.
    report : dict
    read : list of paths
    """
    specs = _common_specs(tiles)
    report: dict[str, Any] = {}
    read = [Path(cfg.ebv_map)] if cfg.ebv_map else []
    if len(tiles) > 1:
        for tile, drop in zip(tiles, _overlaps(tiles, cfg.duplicate_arcsec), strict=True):
            tile.keep(~drop)
        funnel.count("once (duplicates of overlapping tiles dropped)", sum(len(t) for t in tiles))
    for t in tiles:
        t.split = assign_splits(t.ra, t.dec, cfg.split_fractions, cfg.split_order, cfg.seed)
    spectra = Path(cfg.spectroscopy) if cfg.spectroscopy else sky and spectroscopy_file(sky)
    if spectra:
        ra, dec = (np.concatenate([getattr(t, c) for t in tiles]) for c in ("ra", "dec"))
        labels, report["spectroscopy"] = join_spectroscopy(spectra, ra, dec, cfg.match_arcsec)
        _spread(tiles, labels)
        specs += SPEC
        read.append(spectra)
    if sky and (sky / "truth.parquet").is_file():
        truth, _ = read_table(sky / "truth.parquet", ("object_id", "kind", "subtype", "z", "log_mass"))
        for t in tiles:
            t.columns |= truth_labels(t.object_id, truth)
        specs += TRUTH
        read.append(sky / "truth.parquet")
    return specs, report, read


def _common_specs(tiles: list[TileObjects]) -> tuple[Column, ...]:
    """Columns of any tile; the tiles that lack one get NaN."""
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
    """Rows of each tile that another tile holds nearer to its centre."""
    away = [np.linalg.norm(unit_vectors(t.ra, t.dec) - t.centre, axis=1) for t in tiles]
    group = np.repeat(np.arange(len(tiles)), [len(t) for t in tiles])
    ids, ra, dec = (np.concatenate([getattr(t, c) for t in tiles]) for c in ("object_id", "ra", "dec"))
    drop = duplicates(ids, ra, dec, group, np.concatenate(away), arcsec)
    return [drop[group == g] for g in range(len(tiles))]


def _spread(tiles: list[TileObjects], labels: Table) -> None:
    start = 0
    for t in tiles:
        t.columns |= {k: v[start : start + len(t)] for k, v in labels.items()}
        start += len(t)
