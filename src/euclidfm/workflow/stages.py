"""Stages of a long job: each is done once, and a job that was stopped continues with the next."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, read_json, write_json

__all__ = ["Stages"]

log = logging.getLogger(__name__)


@dataclass
class Stages:
    """A job under way: its folder, its settings, and the seconds of the stages that are done.

    Attributes
    ----------
    name : str
        Of the job; ``<folder>/<name>.json`` keeps its state.
    config : dataclass
    out : Path
    additions : tuple of str
        Settings that may change between calls, since they only add to what was done without them.
    timings : dict of str to float
    """

    name: str
    config: Any
    out: Path
    additions: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take up what is there.

        Raises
        ------
        InputError
            If the folder holds something else, or a job with other settings.
        """
        if self.state.exists():
            before = read_json(self.state)
            free = dict.fromkeys(self.additions)
            if {**before["config"], **free} != {**plain(self.config), **free}:
                msg = (
                    f"{self.out} holds a {self.name} with other settings; remove it or choose another "
                    "folder with --out"
                )
                raise InputError(msg)
            self.timings = before["timings"]
            for key in self.additions:
                if before["config"].get(key) != plain(self.config)[key]:
                    self.timings.pop(key, None)
        elif self.out.exists() and any(self.out.iterdir()):
            msg = f"{self.out} exists and is not a {self.name}; choose another folder with --out"
            raise InputError(msg)

    @property
    def state(self) -> Path:
        """File with the settings and the timings."""
        return self.out / f"{self.name}.json"

    def __call__(self, stage: str, work: Callable[[], object]) -> None:
        """Do a stage unless it is done; keep its time."""
        if stage in self.timings:
            log.info("%s: done before", stage)
            return
        begun = time.monotonic()
        work()
        self.note(stage, time.monotonic() - begun)

    def note(self, stage: str, seconds: float) -> None:
        """Keep the time of a stage, and with it that it is done."""
        self.timings[stage] = round(seconds, 1)
        write_json(self.state, {"config": plain(self.config), "timings": self.timings})
