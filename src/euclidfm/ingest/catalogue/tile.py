"""Catalogues of one tile: read, checked, selected; SED and labels of the objects that are left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.ids import match_ids
from euclidfm.ingest.catalogue.columns import read_columns
from euclidfm.ingest.catalogue.extinction import dereddening, reddening_at
from euclidfm.ingest.catalogue.fluxes import catalogue_sed, sed_columns, vis_magnitude
from euclidfm.ingest.catalogue.formats import Table
from euclidfm.ingest.catalogue.labels import GZ_COLUMNS, META, galaxy_zoo, metadata
from euclidfm.ingest.catalogue.matching import first_of_each, on_sky, unit_vectors
from euclidfm.ingest.catalogue.objects import TileObjects
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import CutFlow, Selection
from euclidfm.ingest.tiles import SkyTile, TileFiles

__all__ = ["catalogue_columns", "read_tile"]


def catalogue_columns(
    cfg: IngestConfig, selected_by: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns that an ingest needs of a catalogue, and columns that it keeps if they are there.

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
    tile: SkyTile, cfg: IngestConfig, selection: Selection, cut_flow: CutFlow, quarantine: Quarantine
) -> TileObjects:
    """Objects of a tile that pass the selection.

    Parameters
    ----------
    tile : SkyTile
        With its catalogue rows, or with the files to read them from. Without a centre, the mean of the
        catalogued positions is used.
    cfg : IngestConfig
    selection : Selection
    cut_flow : CutFlow
    quarantine : Quarantine
        Gets the objects without a position, and those whose id occurs earlier.

    Raises
    ------
    InputError
        If a catalogue is damaged or lacks a column that the SED or the selection needs.
    """
    table = _photometry(tile.files, cfg, selection) if tile.rows is None else tile.rows
    table["mag_vis"] = vis_magnitude(table)
    cut_flow.count("catalogued", len(table["object_id"]))
    keep = _valid(table, tile.files, quarantine)
    centre = tile.centre
    if centre is None:
        v = unit_vectors(table["right_ascension"][keep], table["declination"][keep])
        centre = v.mean(axis=0) if len(v) else np.zeros(3)
    cut_flow.count("sound (finite position, unique id)", keep.sum())
    keep = selection.apply(table, keep, cut_flow)
    return _objects(tile.files, {k: v[keep] for k, v in table.items()}, cfg, centre)


def _objects(files: TileFiles, table: Table, cfg: IngestConfig, centre: np.ndarray) -> TileObjects:
    """Selected rows with their SED, Galaxy Zoo labels and metadata."""
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


def _valid(table: Table, files: TileFiles, quarantine: Quarantine) -> np.ndarray:
    """Rows with a position on the sky and an id that does not occur earlier; the others go to quarantine."""
    ids, ra, dec = (table[c] for c in ("object_id", "right_ascension", "declination"))
    placed, first = on_sky(ra, dec), first_of_each(ids)
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
