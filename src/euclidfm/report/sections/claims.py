"""The reference work's claims, what was found, and the verdicts."""

from __future__ import annotations

from html import escape
from pathlib import Path

from euclidfm.core.files import read_json
from euclidfm.report.html import Section, caption, missing, number, table
from euclidfm.report.inputs import ReportData

__all__ = ["section"]

_TITLE = "Claims and verdicts"
_OF = {
    "a": "(a) Embeddings follow morphology",
    "b": "(b) Infrared isolates stars",
    "c": "(c) Simple probes beat supervised networks",
    "d": "(d) SED tokens improve photo-z and bring up rarities",
    "beyond": "Beyond the reference",
}
_ASKED = {"above": "&gt;", "below": "&lt;", "not above": "not &gt;", "not below": "not &lt;"}


def section(data: ReportData) -> Section:
    """One table a claim of the reference work."""
    path = data.inputs.claims
    claims = read_json(path) if path is not None and Path(path).exists() else []
    if not claims:
        return missing("claims", _TITLE, "No claims were judged.")
    count = {
        v: sum(c["verdict"] == v for c in claims) for v in ("reproduced", "not reproduced", "inconclusive")
    }
    parts = ["<p>" + ", ".join(f"<b>{n}</b> {v}" for v, n in count.items()) + ".</p>"]
    for key, title in _OF.items():
        ours = [c for c in claims if c["key"] == key]
        if not ours:
            continue
        rows = []
        for c in ours:
            asked = f"± {number(c['tolerance'])}" if c["ask"] == "within" else ""
            asked = f"{number(c['limit'])} {asked}" if asked else f"{_ASKED[c['ask']]} {number(c['limit'])}"
            rows.append(
                [
                    f"{escape(c['text'])}<small>{escape(c['measure'])}</small>",
                    asked,
                    f"{number(c['value'])}<small>{number(c['low'])} – {number(c['high'])}</small>",
                    number(c["repeats"]),
                    f'<span class="{c["verdict"].replace(" ", "-")}">{escape(c["verdict"])}</span>',
                ]
            )
        parts.append(
            f"<h3>{escape(title)}</h3>" + table(["claim", "asked", "found", "repeats", "verdict"], rows)
        )
    note = (
        "Found: value with its 95% interval, of the repeats (Student's t; of one at all labels nothing, "
        "of one at fewer it is unbounded) and the finite test set. Above and below need the whole "
        "interval on the right side of the limit; no worse needs part of it there; verdicts are computed."
    )
    return Section(
        key="claims",
        title=_TITLE,
        html=f'<div class="claims">{"".join(parts)}</div>{caption(note)}',
        data={"claims": claims},
    )
