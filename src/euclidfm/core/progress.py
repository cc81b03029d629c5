"""Progress bars with rate and time left, on stderr.

Library functions take a callback ``progress(done, total, what)``. `bar` makes a callback that draws; in a
pipe or a log file it prints a line every 20 seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Progress", "bar", "silent"]


class Progress(Protocol):
    """Callback with the amount that is done, the total, and a few words about the current part."""

    def __call__(self, done: int, total: int, what: str = "") -> None:
        """Show the state of the work."""


def silent(done: int, total: int, what: str = "") -> None:
    """Progress that shows nothing."""


@contextmanager
def bar(title: str, unit: str = "galaxies") -> Iterator[Progress]:
    """Draw a progress bar while the block runs.

    Parameters
    ----------
    title : str
        Text to the left of the bar.
    unit : str
        Unit of the counts; the rate is shown in units per second.
    """
    if not sys.stderr.isatty():
        yield _LineProgress(title, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Rich

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} " + unit),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[what]}"),
    )
    with Rich(*columns, console=Console(stderr=True)) as rich:
        task = rich.add_task(title, total=1, rate="", what="")
        begun = time.monotonic()

        def update(done: int, total: int, what: str = "") -> None:
            rate = done / max(time.monotonic() - begun, 1e-9)
            rich.update(task, completed=done, total=total, rate=f"{rate:.0f}/s", what=what)

        yield update


class _LineProgress:
    """A line at the start, every 20 seconds and at the end."""

    def __init__(self, title: str, unit: str) -> None:
        self._title, self._unit = title, unit
        self._begun = self._printed = time.monotonic()
        self._finished = False

    def __call__(self, done: int, total: int, what: str = "") -> None:
        now = time.monotonic()
        if self._finished or (done < total and now - self._printed < 20.0):
            return
        self._finished = done >= total
        self._printed = now
        spent = max(now - self._begun, 1e-9)
        left = spent / done * (total - done) if done else float("nan")
        print(
            f"{self._title}: {done}/{total} {self._unit}, {done / spent:.0f}/s, {left:.0f} s left {what}",
            file=sys.stderr,
            flush=True,
        )
