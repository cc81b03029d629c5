"""What a source is: the rows of `SOURCES`, of which the first that applies decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.formats import format_of
from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.cutouts.plan import plan_cutouts
from euclidfm.ingest.files import is_remote
from euclidfm.ingest.plan import Plan
from euclidfm.ingest.sources.cutout_fits import cutout_files, plan_cutout_files
from euclidfm.ingest.sources.folder import is_sky_folder
from euclidfm.ingest.sources.hats import is_hats
from euclidfm.ingest.sources.hub import plan_dataset
from euclidfm.ingest.sources.sky import plan_sky
from euclidfm.ingest.sources.table import plan_table

__all__ = ["SOURCES", "SourceKind", "plan_source"]

USUAL_SIZE = 64
"""Side in pixels of cutouts whose size is given neither by the settings nor by a recipe."""


@dataclass(frozen=True)
class SourceKind:
    """One kind of source."""

    name: str
    applies: Callable[[IngestConfig], bool]
    plan: Callable[[IngestConfig, bool], Plan] | None = None
    """Makes the plan of a config (``quiet`` as second argument); None for what can't be read."""
    own_size: bool = False
    """Whether the images say how large cutouts are."""
    remedy: str = ""
    """What is wrong with a source that can't be read, and what to do; follows its name."""


def _is_hub(cfg: IngestConfig) -> bool:
    return cfg.source.startswith("hf://")


def _is_dataset(cfg: IngestConfig) -> bool:
    return bool(cfg.recipe) and (_is_hub(cfg) or PhotometryRecipe.load(cfg.recipe or "").images is not None)


def _is_cutouts(cfg: IngestConfig) -> bool:
    return bool(cfg.recipe) and PhotometryRecipe.load(cfg.recipe or "").cutouts is not None


def _is_elsewhere(cfg: IngestConfig) -> bool:
    return cfg.source == "irsa" or is_remote(cfg.source) or bool(cfg.catalogue and not cfg.recipe)


def _is_sky(cfg: IngestConfig) -> bool:
    return is_sky_folder(Path(cfg.source))


def _is_table(cfg: IngestConfig) -> bool:
    return Path(cfg.source).is_file() and format_of(Path(cfg.source)) is not None


SOURCES = (
    SourceKind(
        "pictures, arrays or FITS files with a recipe",
        _is_cutouts,
        lambda cfg, quiet: plan_cutouts(cfg),
        own_size=True,
    ),
    SourceKind("data set", _is_dataset, lambda cfg, quiet: plan_dataset(cfg)),
    SourceKind(
        "data set without a recipe",
        _is_hub,
        remedy="is a data set; say how to read it with --recipe (astropt-euclid, mmu-legacysurvey or a YAML "
        "file)",
    ),
    SourceKind("sky at a URL, at IRSA, or with the merged catalogue", _is_elsewhere, plan_sky),
    SourceKind("nothing", lambda cfg: not Path(cfg.source).exists(), remedy="does not exist"),
    SourceKind(
        "no sky, to be dereddened",
        lambda cfg: cfg.deredden and (bool(cfg.recipe) or not _is_sky(cfg)),
        remedy="is no sky folder: deredden is for the MER catalogue's fluxes; leave it out",
    ),
    SourceKind("photometric table", lambda cfg: bool(cfg.recipe), lambda cfg, quiet: plan_table(cfg)),
    SourceKind("sky folder", _is_sky, plan_sky),
    SourceKind(
        "merged catalogue alone, without images",
        lambda cfg: is_hats(cfg.source) and not cfg.bands,
        lambda cfg, quiet: plan_sky(replace(cfg, catalogue=cfg.source), quiet),
    ),
    SourceKind(
        "merged catalogue alone, with images",
        lambda cfg: is_hats(cfg.source),
        remedy="is a HATS catalogue without mosaics; give it with --catalogue beside a sky, or take its "
        "photometry alone with --bands '[]'",
    ),
    SourceKind(
        "cutout files",
        lambda cfg: bool(cutout_files(Path(cfg.source))),
        lambda cfg, quiet: plan_cutout_files(cfg, cutout_files(Path(cfg.source))),
    ),
    SourceKind(
        "table without a recipe",
        _is_table,
        remedy="is a table; say how to read it with --recipe (zcosmos, desi-bgs, candels-cosmos or a YAML "
        "file)",
    ),
    SourceKind(
        "unknown",
        lambda cfg: True,
        remedy="is no sky folder (catalogs/MER_FINAL_CATALOG), holds no cutout FITS files and is no table",
    ),
)
"""All kinds of sources, in the order in which they are tried."""


def plan_source(cfg: IngestConfig, quiet: bool = True) -> Plan:
    """Plan the work on a source of any kind.

    Parameters
    ----------
    cfg : IngestConfig
    quiet : bool
        Draw no progress bars of what is fetched.

    Raises
    ------
    InputError
        If the source can't be read; the message says what to do.
    """
    kind = next(k for k in SOURCES if k.applies(cfg))
    if kind.plan is None:
        msg = f"{cfg.source} {kind.remedy}"
        raise InputError(msg)
    return kind.plan(cfg if kind.own_size else replace(cfg, size=cfg.size or USUAL_SIZE), quiet)
