"""Small pieces of HTML: sections, tables, stamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from euclidfm.report.sheets.stamps import data_uri

__all__ = ["Section", "caption", "fixed", "missing", "number", "seconds", "stamp", "table"]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of the report."""

    key: str
    """Anchor in the page and key in the JSON."""
    title: str
    html: str
    data: dict[str, Any] = field(default_factory=dict)
    """The same numbers, for `report.json`."""
    absent: str = ""
    """Why the section is empty, if it is."""


def missing(key: str, title: str, why: str) -> Section:
    """A section with one line that names the missing input."""
    return Section(
        key=key, title=title, html=f'<p class="absent">{escape(why)}</p>', data={"absent": why}, absent=why
    )


def number(value: Any, digits: int = 3) -> str:
    """A number with `digits` significant digits, or a dash if it is missing."""
    if value is None or isinstance(value, str):
        return escape(value) if value else "–"
    value = float(value)
    if not np.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value):,}".replace(",", "\u202f")
    shown = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    return shown.replace("-", "\u2212")


def fixed(value: Any, decimals: int = 3) -> str:
    """A number with a fixed number of decimals, or a dash if it is missing."""
    if value is None or not np.isfinite(float(value)):
        return "–"
    return f"{float(value):.{decimals}f}".replace("-", "\u2212")


def seconds(value: float) -> str:
    """A duration: seconds, or minutes and seconds from 100 s on."""
    if value < 100:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str] = ()) -> str:
    """An HTML table. Cells are HTML (escape text first); the first column names the row.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequences of str
    classes : sequence of str
        CSS class of each row.
    """
    top = "".join(f'<th scope="col">{h}</th>' for h in head)
    body = ""
    for i, row in enumerate(rows):
        kind = f' class="{classes[i]}"' if i < len(classes) and classes[i] else ""
        cells = "".join(f"<td>{c}</td>" for c in row[1:])
        body += f'<tr{kind}><th scope="row">{row[0]}</th>{cells}</tr>'
    dense = ' class="dense"' if len(head) > 7 else ""
    return f'<div class="wide"><table{dense}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def caption(text: str) -> str:
    """The caption of a figure or table."""
    return f'<p class="caption">{text}</p>'


def stamp(picture: np.ndarray | None, alt: str, label: str = "") -> str:
    """A cutout with its label, or a grey box if there is no image."""
    below = f"<figcaption>{label}</figcaption>" if label else ""
    if picture is None:
        return f'<figure class="stamp"><div class="none">{escape(alt)}</div>{below}</figure>'
    image = f'<img src="{data_uri(picture)}" alt="{escape(alt)}">'
    return f'<figure class="stamp">{image}{below}</figure>'
