"""Short tables: purity of the similarity search, and stars among all objects."""

from __future__ import annotations

from html import escape
from typing import Any

from euclidfm.report.html import Section, caption, fixed, missing, number, table
from euclidfm.report.inputs import ReportData
from euclidfm.report.records import PHOTOMETRY, method_name

__all__ = ["purity", "stars"]


def purity(data: ReportData) -> Section:
    """Share of the same kind among the nearest k, against chance."""
    title = "Similarity search: purity"
    records = data.records(data.inputs.search)
    records = [r for r in records if str(r["metric"]).startswith("purity@")]
    if not records:
        return missing("purity", title, "The similarity search was not evaluated.")
    sizes = sorted({int(str(r["metric"]).partition("@")[2]) for r in records})
    spaces = list(dict.fromkeys(str(r.get("inputs") or "joint") for r in records))
    rows = []
    for space in spaces:
        for kind in dict.fromkeys(str(r.get("kind", "")) for r in records):
            ours = {
                str(r["metric"]): r
                for r in records
                if r.get("kind", "") == kind and (r.get("inputs") or "joint") == space
            }
            if not ours:
                continue
            any_of = next(iter(ours.values()))
            cells = [escape(kind.replace("_", " ")), escape(space), number(any_of.get("members"))]
            cells.append(fixed(any_of.get("base_rate")))
            for k in sizes:
                cells += _purity_cells(ours.get(f"purity@{k}"))
            rows.append(cells)
    head = ["kind", "space", "known", "base rate"]
    for k in sizes:
        head += [f"of nearest {k}", "over chance"]
    note = (
        "Mean share of the same kind among the nearest k of each known example (68% interval over queries), "
        "and its ratio to the base rate. * A kind with fewer than k + 1 members can't fill k places: the "
        "largest share possible stands beside."
    )
    return Section(
        key="purity", title=title, html=table(head, rows) + caption(note), data={"records": records}
    )


def _purity_cells(record: dict[str, Any] | None) -> list[str]:
    if record is None:
        return ["–", "–"]
    ceiling = record.get("ceiling")
    most = f" <small>* ≤ {fixed(ceiling, 2)}</small>" if ceiling is not None and ceiling < 1 else ""
    interval = f"<small>{fixed(record.get('low'))} – {fixed(record.get('high'))}</small>"
    return [f"{fixed(record['value'])}{interval}{most}", f"× {number(record.get('lift'), 2)}"]


def stars(data: ReportData) -> Section:
    """Stars among all objects: area under the ROC curve, beside photometry alone."""
    title = "Stars among all objects"
    records = [r for r in data.records(data.inputs.star) if r.get("value") is not None]
    if not records:
        return missing("star", title, "Stars were not classified.")
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
        for r in records
    ]
    classes = ["photometry" if r["method"] in PHOTOMETRY else "" for r in records]
    note = "Shaded: catalogue photometry alone, without the foundation model."
    return Section(
        key="star",
        title=title,
        html=line
        + table(["method, inputs", "metric", "value", "labels", "tested on"], rows, classes)
        + caption(note),
        data={"records": records},
    )
