"""Recognising what a source is."""

from __future__ import annotations

from pathlib import Path

from euclidfm.errors import InputError
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.plan import Plan
from euclidfm.ingest.tables import format_of

__all__ = ["plan_source"]


def plan_source(cfg: IngestConfig) -> Plan:
    """Plan the work on a sky folder, cutout files or a photometric table.

    Raises
    ------
    InputError
        If it is none of these.
    """
    path = Path(cfg.source)
    if not path.exists():
        msg = f"{path} does not exist"
        raise InputError(msg)
    sky = path.is_dir() and (path / "catalogs" / "MER_FINAL_CATALOG").is_dir()
    if cfg.deredden and (cfg.recipe or not sky):
        msg = f"{path} is no sky folder: deredden is for the MER catalogue's fluxes; leave it out"
        raise InputError(msg)
    if cfg.recipe:
        from euclidfm.ingest.photometry import plan_table

        return plan_table(cfg)
    if sky:
        from euclidfm.ingest.sky import plan_sky

        return plan_sky(cfg)
    fits = [path] if path.is_file() and format_of(path) == "fits" else []
    if path.is_dir():
        fits = sorted(p for p in path.iterdir() if format_of(p) == "fits")
    if fits:
        from euclidfm.ingest.stacks import plan_stacks

        return plan_stacks(cfg, fits)
    if path.is_file() and format_of(path):
        msg = (
            f"{path} is a table; say how to read it with --recipe (zcosmos, desi-bgs, candels-cosmos or a "
            "YAML file)"
        )
        raise InputError(msg)
    msg = f"{path} is no sky folder (catalogs/MER_FINAL_CATALOG), holds no cutout FITS files and is no table"
    raise InputError(msg)
