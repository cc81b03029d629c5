"""Rarities found against objects inspected: with ratings, without, and at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.report.html import caption, number
from euclidfm.report.style import COLOURS, MUTED, figure, svg

__all__ = ["curve"]

_LINES = {
    "active": ("ranking with ratings", COLOURS["blue"], "-"),
    "unrated": ("outlier ranking", COLOURS["vermilion"], "--"),
    "random": ("at random (expected)", MUTED, ":"),
}


def curve(found: Any) -> str:
    """Figure and caption from the result of `euclidfm.discover.simulate_user`."""
    if not isinstance(found, dict) or not {"looked_at", *_LINES} <= set(found):
        msg = f"the simulated user's result needs {', '.join(['looked_at', *_LINES])}"
        raise InputError(msg)
    looked_at = np.asarray(found["looked_at"])
    with figure(5.6, 3.2) as fig:
        axis = fig.subplots()
        for key, (name, colour, line) in _LINES.items():
            axis.plot(looked_at, found[key], color=colour, linestyle=line, label=name)
        axis.set(xlabel="objects inspected", ylabel="rarities found", xlim=(0, looked_at[-1]))
        axis.set_ylim(bottom=0)
        axis.legend(loc="upper left")
        drawn = svg(fig, "active", "Rarities found against objects inspected")
    total = f" of {number(found['total'])}" if "total" in found else ""
    note = (
        f"A simulated user inspects and rates the top of the ranking: {number(found['active'][-1])}{total} "
        f"rarities are among the first {number(looked_at[-1])} objects with ratings, "
        f"{number(found['unrated'][-1])} without; {number(found['random'][-1], 2)} are expected at random."
    )
    return f'<h3>Active learning</h3><div class="figure">{drawn}</div>{caption(note)}'
