"""Ingest: from a source to a store, task by task, resumable and one run at a time."""

from __future__ import annotations

import errno
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.scheduler import work
from euclidfm.ingest.sources.recognise import plan_source
from euclidfm.ingest.sources.urls import is_remote
from euclidfm.ingest.workspace import Workspace

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
            plan = plan_source(_here(cfg, out), quiet=progress is silent)
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


def _here(cfg: IngestConfig, out: Path) -> IngestConfig:
    """The same with paths that hold in every worker's folder, and a place for copies of remote files."""
    cache = Path(cfg.cache or out.with_name(f"{out.name}-sky")).absolute()
    elsewhere = is_remote(cfg.source) or cfg.source == "irsa"
    source = cfg.source if elsewhere else str(Path(cfg.source).absolute())
    return replace(cfg, source=source, cache=str(cache))
