"""Resume a long job: each of its stages is done once, and a job that was stopped continues with the next."""

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
    """The state of a job: its folder, its settings, and the seconds of its finished stages.

    Attributes
    ----------
    name : str
        Name of the job; its state is in ``<folder>/<name>.json``.
    config : dataclass
    out : Path
    additions : tuple of str
        Settings that may change between calls, since they add results and do not change the others.
    timings : dict of str to float
    """

    name: str
    config: Any
    out: Path
    additions: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the state of an earlier call.

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
                    self.timings.pop(key.partition("_")[0], None)  # real_recipe belongs to the stage real
        elif self.out.exists() and any(self.out.iterdir()):
            msg = f"{self.out} exists and is not a {self.name}; choose another folder with --out"
            raise InputError(msg)

    @property
    def state(self) -> Path:
        """JSON file with the settings and the seconds of each stage."""
        return self.out / f"{self.name}.json"

    def __call__(self, stage: str, work: Callable[[], object]) -> None:
        """Do a stage and note its time, unless it was done before."""
        if stage in self.timings:
            log.info("%s: done before", stage)
            return
        begun = time.monotonic()
        work()
        self.note(stage, time.monotonic() - begun)

    def note(self, stage: str, seconds: float) -> None:
        """Write down that a stage is done, and its time."""
        self.timings[stage] = round(seconds, 1)
        write_json(self.state, {"config": plain(self.config), "timings": self.timings})
