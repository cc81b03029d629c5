"""Ingest: from a source to a store, task by task, resumable and one run at a time."""

from __future__ import annotations

import errno
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from euclidfm.errors import InputError
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.remote import is_remote, mirror
from euclidfm.ingest.schedule import work
from euclidfm.ingest.sources import plan_source
from euclidfm.ingest.workspace import Workspace
from euclidfm.progress import Progress, bar, silent

__all__ = ["ingest"]


def ingest(
    cfg: IngestConfig, out: str | Path, progress: Progress | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Read a source into a new store.

    A run that was stopped, even killed, continues where it was when it is started again; the
    store is the same, bit for bit. The store appears under its name when it is complete.

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
        ``rows``, ``funnel`` (list of step and survivors), ``quarantined``, ``splits``,
        ``seconds`` and what the source reports (``spectroscopy``, ``images``, ...).

    Raises
    ------
    InputError
        On bad input; the message names the file, the row or column and the remedy.
    """
    begun = time.monotonic()
    progress = progress or silent
    out = Path(out)
    with Workspace(out, overwrite=overwrite) as space:
        try:
            plan = plan_source(_here(cfg, out, progress))
            card = space.finished(cfg, plan)
            if card is None:
                space.begin(cfg, plan)
                work(cfg, plan, space, progress)
                card = space.finish(cfg, plan)
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT):
                msg = (
                    f"no space left for {out}: free some and run the same command again; it continues where "
                    "it stopped"
                )
                raise InputError(msg) from None
            raise
    return card | {"seconds": round(time.monotonic() - begun, 2)}


def _here(cfg: IngestConfig, out: Path, progress: Progress) -> IngestConfig:
    """The same with a remote sky replaced by its copy, and a path that holds in every worker's folder."""
    if not is_remote(cfg.source):
        return replace(cfg, source=str(Path(cfg.source).absolute()))
    cache = cfg.cache or str(out.with_name(f"{out.name}-sky"))
    with nullcontext(silent) if progress is silent else bar("fetch", "MB") as megabytes:
        copy = mirror(cfg.source, cache, cfg.tiles, cfg.bands, cfg.storage_options, megabytes)
    return replace(cfg, source=str(copy.absolute()))
