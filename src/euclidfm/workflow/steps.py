"""The first steps of the road as a whole job takes them: each writes a folder, with its record and a bar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from euclidfm.core.files import record_run
from euclidfm.core.progress import bar

if TYPE_CHECKING:
    from euclidfm.ingest import IngestConfig
    from euclidfm.pretrain import PretrainConfig
    from euclidfm.simulate import SkyConfig

__all__ = ["make_sky", "make_store", "train"]


def make_sky(sky: SkyConfig, out: Path, name: str = "simulate") -> None:
    """Simulate a sky into a folder."""
    from euclidfm.simulate import simulate_sky

    with bar(name, "objects") as progress, record_run(out, "simulate", sky):
        simulate_sky(sky, out, progress)


def make_store(settings: IngestConfig, out: Path, name: str = "ingest") -> None:
    """Ingest into a folder; one that is there is replaced."""
    from euclidfm.ingest import ingest

    with bar(name) as progress, record_run(out, "ingest", settings, appears=True):
        ingest(settings, out, progress=progress, overwrite=True)


def train(settings: PretrainConfig, store: Path, out: Path, name: str = "pretrain") -> None:
    """Pre-train into a folder; a run of the same settings that is there is continued."""
    from euclidfm.pretrain import pretrain

    with bar(name) as progress, record_run(out, "pretrain", settings):
        pretrain(settings, store, out, progress)
