"""Tables of the purity of the similarity search and of the star classifier."""

from __future__ import annotations

from html import escape
from typing import Any

from euclidfm.report.html import Section, caption, fixed, missing, number, table
from euclidfm.report.inputs import ReportData
from euclidfm.report.records import PHOTOMETRY, method_name

__all__ = ["purity", "stars"]

_STAR_METRICS = ("auc", "average_precision", "precision", "recall", "class_balance")
"""Metrics in the page; report.json has all of them."""


def purity(data: ReportData) -> Section:
    """Share of the same kind among the nearest k, against chance."""
    title = "Similarity search: purity"
    records = data.records(data.inputs.search)
    records = [r for r in records if str(r["metric"]).startswith("purity@")]
    if not records:
        return missing("purity", title, "The similarity search was not evaluated.")
    sizes = sorted({int(str(r["metric"]).partition("@")[2]) for r in records})
    spaces = list(dict.fromkeys(_space(r) for r in records))
    found = {(str(r.get("kind", "")), _space(r), str(r["metric"])): r for r in records}
    parts = []
    for k in sizes:
        rows = []
        for kind in dict.fromkeys(str(r.get("kind", "")) for r in records):
            any_of = next(r for r in records if str(r.get("kind", "")) == kind)
            name, known = escape(kind.replace("_", " ")), number(any_of.get("members"))
            cells = [_purity_cell(found.get((kind, space, f"purity@{k}"))) for space in spaces]
            rows.append([name, known, fixed(any_of.get("base_rate")), *cells])
        head = ["kind", "known", "base rate", *(f"of nearest {k}, {escape(space)}" for space in spaces)]
        parts.append(table(head, rows))
    note = (
        "Mean share of the same kind among the nearest k of each known example, with its 68% interval over "
        "queries; in brackets the ratio to the base rate. * A kind with fewer than k + 1 members cannot fill "
        "k neighbours; the largest possible share is given."
    )
    return Section(key="purity", title=title, html="".join(parts) + caption(note), data={"records": records})


def _space(record: dict[str, Any]) -> str:
    return str(record.get("inputs") or "joint")


def _purity_cell(record: dict[str, Any] | None) -> str:
    if record is None:
        return "–"
    ceiling = record.get("ceiling")
    most = f" * ≤ {fixed(ceiling, 2)}" if ceiling is not None and ceiling < 1 else ""
    interval = f"<small>{fixed(record.get('low'))} – {fixed(record.get('high'))}{most}</small>"
    return f"{fixed(record['value'])} (× {number(record.get('lift'), 2)}){interval}"


def stars(data: ReportData) -> Section:
    """Stars among all objects: area under the ROC curve, beside photometry alone."""
    title = "Stars among all objects"
    records = [r for r in data.records(data.inputs.star) if r.get("value") is not None]
    if not records:
        return missing("star", title, "Stars were not classified.")
    shown = [r for r in records if r["metric"] in _STAR_METRICS]
    auc = [r for r in records if r["metric"] == "auc"]
    line = ""
    if auc:
        best = max(auc, key=lambda r: float(r["value"]))
        whose = escape(method_name(best))
        line = f"<p>Best AUC {fixed(best['value'])} ({whose}).</p>"
    rows = [
        [
            escape(method_name(r)),
            escape(str(r["metric"]).replace("_", " ")),
            f"{fixed(r['value'])}<small>{fixed(r.get('low'))} – {fixed(r.get('high'))}</small>",
            number(r.get("n_train")),
            number(r.get("n_test")),
        ]
        for r in shown
    ]
    classes = ["photometry" if r["method"] in PHOTOMETRY else "" for r in shown]
    note = "Shaded: catalogue photometry alone, without the foundation model."
    return Section(
        key="star",
        title=title,
        html=line
        + table(["method, inputs", "metric", "value", "labels", "tested on"], rows, classes)
        + caption(note),
        data={"records": records},
    )
