"""Recognising what a source is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.formats import format_of
from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.plan import Plan
from euclidfm.ingest.sources.hats import is_hats
from euclidfm.ingest.sources.urls import is_remote

__all__ = ["plan_source"]


def plan_source(cfg: IngestConfig, quiet: bool = True) -> Plan:
    """Plan the work on a sky, cutout files, a photometric table or a data set.

    Parameters
    ----------
    cfg : IngestConfig
    quiet : bool
        Draw no progress bars of what is fetched.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if cfg.recipe and (cfg.source.startswith("hf://") or PhotometryRecipe.load(cfg.recipe).images):
        from euclidfm.ingest.sources.hub import plan_dataset

        return plan_dataset(cfg)
    if cfg.source.startswith("hf://"):
        msg = (
            f"{cfg.source} is a data set; say how to read it with --recipe (astropt-euclid, mmu-legacysurvey "
            "or a YAML file)"
        )
        raise InputError(msg)
    if cfg.source == "irsa" or is_remote(cfg.source) or (cfg.catalogue and not cfg.recipe):
        from euclidfm.ingest.sources.sky import plan_sky

        return plan_sky(cfg, quiet)
    path = Path(cfg.source)
    if not path.exists():
        msg = f"{path} does not exist"
        raise InputError(msg)
    sky = path.is_dir() and (path / "catalogs" / "MER_FINAL_CATALOG").is_dir()
    if cfg.deredden and (cfg.recipe or not sky):
        msg = f"{path} is no sky folder: deredden is for the MER catalogue's fluxes; leave it out"
        raise InputError(msg)
    if cfg.recipe:
        from euclidfm.ingest.sources.table import plan_table

        return plan_table(cfg)
    if sky:
        from euclidfm.ingest.sources.sky import plan_sky

        return plan_sky(cfg, quiet)
    if is_hats(cfg.source):
        if not cfg.bands:
            from euclidfm.ingest.sources.sky import plan_sky

            return plan_sky(replace(cfg, catalogue=cfg.source), quiet)
        msg = (
            f"{path} is a HATS catalogue without mosaics; give it with --catalogue beside a sky, or take its "
            "photometry alone with --bands '[]'"
        )
        raise InputError(msg)
    fits = [path] if path.is_file() and format_of(path) == "fits" else []
    if path.is_dir():
        fits = sorted(p for p in path.iterdir() if format_of(p) == "fits")
    if fits:
        from euclidfm.ingest.sources.cutout_fits import plan_stacks

        return plan_stacks(cfg, fits)
    if path.is_file() and format_of(path):
        msg = (
            f"{path} is a table; say how to read it with --recipe (zcosmos, desi-bgs, candels-cosmos or a "
            "YAML file)"
        )
        raise InputError(msg)
    msg = f"{path} is no sky folder (catalogs/MER_FINAL_CATALOG), holds no cutout FITS files and is no table"
    raise InputError(msg)
