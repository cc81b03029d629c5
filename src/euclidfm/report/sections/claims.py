"""The claims of the reference work, the results, and the verdicts."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from euclidfm.core.files import read_json
from euclidfm.report.html import Section, caption, missing, number, table
from euclidfm.report.inputs import ReportData

__all__ = ["section"]

_TITLE = "Claims and verdicts"
_OF = {
    "a": "(a) Embeddings follow morphology",
    "b": "(b) Infrared images separate stars",
    "c": "(c) Simple probes beat supervised networks",
    "d": "(d) SED tokens improve photo-z and the outlier ranking",
    "beyond": "Beyond the reference",
}
_CONDITIONS = {"above": "&gt;", "below": "&lt;", "not above": "not &gt;", "not below": "not &lt;"}


def section(data: ReportData) -> Section:
    """One table for each claim of the reference work."""
    path = data.inputs.claims
    claims = read_json(path) if path is not None and Path(path).exists() else []
    if not claims:
        return missing("claims", _TITLE, "No claims were evaluated.")
    count = {
        v: sum(c["verdict"] == v for c in claims) for v in ("reproduced", "not reproduced", "inconclusive")
    }
    parts = ["<p>" + ", ".join(f"<b>{n}</b> {v}" for v, n in count.items()) + ".</p>"]
    for key, title in _OF.items():
        ours = [c for c in claims if c["key"] == key]
        if not ours:
            continue
        rows = [_row(c) for c in ours]
        parts.append(
            f"<h3>{escape(title)}</h3>" + table(["claim", "condition", "result", "repeats", "verdict"], rows)
        )
    note = (
        "Result: value with its 95% interval, from the scatter of the repeats (Student's t) and the finite "
        "test set. With one repeat at all labels the scatter adds nothing; with one repeat at fewer labels "
        "the interval is unbounded. The conditions &gt; and &lt; require the whole interval on that side of "
        "the limit; not &gt; and not &lt; require a part of it. The verdicts follow from these rules."
    )
    return Section(
        key="claims",
        title=_TITLE,
        html=f'<div class="claims">{"".join(parts)}</div>{caption(note)}',
        data={"claims": claims},
    )


def _row(claim: dict[str, Any]) -> list[str]:
    """Text, condition, result, repeats and verdict of a claim."""
    limit = number(claim["limit"])
    if claim["ask"] == "within":
        condition = f"{limit} ± {number(claim['tolerance'])}"
    else:
        condition = f"{_CONDITIONS[claim['ask']]} {limit}"
    return [
        f"{escape(claim['text'])}<small>{escape(claim['measure'])}</small>",
        condition,
        f"{number(claim['value'])}<small>{number(claim['low'])} – {number(claim['high'])}</small>",
        number(claim["repeats"]),
        f'<span class="{claim["verdict"].replace(" ", "-")}">{escape(claim["verdict"])}</span>',
    ]
