"""Ingest on one page: plan, work, finish.

The way of a galaxy from the files to its row in the store, and the modules that it passes, in order:

1. **Plan** (`plan_source`): `sources.recognise` finds the kind of the source. For a sky, `sources.sky` asks
   `sources.folder`, `remote`, `merged` (with `hats`) or `irsa` (with `vo`) which tiles there are and where
   their mosaics and catalogue rows lie. `catalogue.tile` reads the rows (`formats`, `columns`), drops those
   without a position, applies the `selection`, and makes the SED (`fluxes`, `extinction`) and the labels
   (`labels`). `catalogue.whole_sky` drops duplicates of overlapping tiles (`matching`), assigns the split
   and joins spectra and truth (`spectra`). Cutout files, photometric tables and data sets are planned by
   `sources.cutout_fits`, `table` and `hub`; pictures, arrays and FITS files with a table by `cutouts.plan`.
   The result is a `Plan`, a list of work units; no mosaic was read.
2. **Work** (`work`): `scheduler` runs the units here, in processes or on a cluster. A unit of a sky is a
   tile (`sources.tile_unit`): `images.mosaic` opens its planes (`images.plane`, on disk or behind a URL),
   `images.cutouts` cuts, masks and converts the pixels to µJy (`images.reproject` if a band is on another
   grid). `workspace` gives the galaxies to `store.writer`, which writes the shards. What can't be read goes
   to the `quarantine`.
3. **Finish** (`finish`): the summary, the cut flow and the quarantine go into the store, with a page about
   its `quality` if that is wanted. The store gets its name last.
"""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.files import versions
from euclidfm.core.progress import Progress, silent
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.files import is_remote
from euclidfm.ingest.plan import Plan
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.scheduler import work
from euclidfm.ingest.workspace import Workspace
from euclidfm.store.splits import SPLITS

__all__ = ["finish", "ingest"]


def ingest(
    cfg: IngestConfig, out: str | Path, progress: Progress | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Read a source into a new store.

    A run that was stopped, even killed, continues where it was when it is started again, and ends in the
    same store, bit for bit. The store appears under its name when it is complete.

    Parameters
    ----------
    cfg : IngestConfig
    out : path
        Folder of the store.
    progress : callable, optional
        Called as ``progress(done, total, what)`` with numbers of objects.
    overwrite : bool
        Replace an existing store.

    Returns
    -------
    dict
        ``rows``, ``funnel`` (the cut flow: list of step and survivors), ``quarantined``, ``splits``,
        ``seconds`` and what the source reports (``spectroscopy``, ``coordinates``, ...).

    Raises
    ------
    InputError
        On bad input; the message names the file, the row or column and the remedy.
    """
    from euclidfm.ingest.sources.recognise import plan_source  # late: it loads astropy and scipy

    begun = time.monotonic()
    out, progress = Path(out), progress or silent
    with Workspace(out, overwrite=overwrite) as space, _full_disk_explained(out):
        plan = plan_source(_with_absolute_paths(cfg, out), quiet=progress is silent)
        summary = space.finished(cfg, plan)
        if summary is None:
            space.begin(cfg, plan)
            work(cfg, plan, space, progress)
            summary = finish(cfg, plan, space)
    return summary | {"seconds": round(time.monotonic() - begun, 2)}


def finish(cfg: IngestConfig, plan: Plan, space: Workspace) -> dict[str, Any]:
    """Complete the store and give it its name; returns the summary.

    Raises
    ------
    InputError
        If no galaxy is left.
    """
    marks = space.marks(len(plan.units))
    quarantine = Quarantine([*plan.quarantine.records, *(r for m in marks for r in m["quarantine"])])
    rows = sum(m["rows"] for m in marks)
    if rows == 0:
        space.discard()
        why = quarantine.records[0]["reason"] if quarantine.records else "the source is empty"
        msg = f"nothing of {cfg.source} could be read: {why} ({len(quarantine)} in quarantine)"
        raise InputError(msg)
    plan.cut_flow.count("in the store", rows)
    splits = sum((Counter(m["splits"]) for m in marks), Counter())
    summary = {
        "rows": rows,
        "funnel": plan.cut_flow.rows(),
        "quarantined": len(quarantine),
        "splits": {s: splits.get(s, 0) for s in SPLITS},
        **plan.report,
    }
    provenance = {
        **plan.info.provenance,
        "source": cfg.source,
        "version": versions()["euclidfm"],
        "seed": cfg.seed,
        "split_order": cfg.split_order,
        "split_fractions": list(cfg.split_fractions),
        "summary": summary,
    }
    space.complete(cfg, replace(plan.info, rows=rows, provenance=provenance), quarantine, marks)
    if cfg.quality:
        from euclidfm.ingest.quality.page import quality_report

        quality_report(space.store, space.store / "quality.html", name=space.out.name)
    space.publish()
    return summary


def _with_absolute_paths(cfg: IngestConfig, out: Path) -> IngestConfig:
    """The config with paths that hold in every worker's folder, and with a cache for remote files."""
    cache = Path(cfg.cache or out.with_name(f"{out.name}-sky")).absolute()
    elsewhere = is_remote(cfg.source) or cfg.source == "irsa"
    source = cfg.source if elsewhere else str(Path(cfg.source).absolute())
    return replace(cfg, source=source, cache=str(cache))


@contextmanager
def _full_disk_explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        advice = "free some and run the same command again; it continues where it stopped"
        msg = f"no space left for {out}: {advice}"
        raise InputError(msg) from None
