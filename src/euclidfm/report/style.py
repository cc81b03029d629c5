"""Style of the figures: a palette safe for colour-blind readers, and SVG that follows the theme of the page.

Text, secondary text and grid lines are drawn in three fixed colours, which `svg` replaces by CSS
variables, so that a figure is readable on light and on dark pages.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["COLOURS", "INK", "LINE", "MUTED", "figure", "kind_style", "svg"]

INK, MUTED, LINE = "#1b1f24", "#6b7281", "#d9dde4"
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)"}

COLOURS = {
    "blue": "#2f7fd0",
    "orange": "#e69f00",
    "green": "#009e73",
    "vermilion": "#d55e00",
    "purple": "#b26aa0",
    "sky": "#56b4e9",
    "grey": "#8a9099",
    "brown": "#8c6d46",
}
"""After Okabe & Ito 2008, with black and yellow replaced: readable on white and on near-black."""

_KINDS = (
    ("elliptical", "orange", "o"),
    ("spiral", "sky", "o"),
    ("barred", "blue", "o"),
    ("edge_on", "green", "D"),
    ("irregular", "purple", "s"),
    ("merger", "vermilion", "^"),
    ("ring", "blue", "P"),
    ("lens", "purple", "*"),
    ("star", "grey", "."),
    ("quasar", "brown", "X"),
)
_SPARE = (("green", "v"), ("orange", "X"), ("sky", "s"), ("brown", "P"), ("vermilion", "D"), ("grey", "x"))

_STYLE: dict[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.6,
    "savefig.transparent": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "euclidfm",
}


@contextmanager
def figure(width: float, height: float) -> Iterator[Any]:
    """A matplotlib figure in the house style (inches), without pyplot's global state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def svg(fig: Any, name: str, label: str) -> str:
    """A figure as inline SVG that scales with the page.

    Parameters
    ----------
    fig : matplotlib Figure
    name : str
        Prefix of the ids inside, unique on the page.
    label : str
        Alternative text, for screen readers.
    """
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        fig.savefig(out, format="svg", dpi=200, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="', f' id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace("xlink:href", "href")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    head, body = text.split(">", 1)
    size = re.search(r'viewBox="[^"]*"', head)
    box = size.group(0) if size else ""
    width = fig.get_size_inches()[0]
    return f'<svg {box} style="width:{width * 96:.0f}px" role="img" aria-label="{label}">{body}'


def kind_style(kinds: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each kind of object; the same on every figure."""
    known = {name: (COLOURS[colour], marker) for name, colour, marker in _KINDS}
    spare = [(COLOURS[colour], marker) for colour, marker in _SPARE]
    others = [k for k in kinds if k not in known]
    return {k: known[k] if k in known else spare[others.index(k) % len(spare)] for k in kinds}
