"""The most unusual objects, with their cutouts, and how many known rarities are among them."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.files import read_json
from euclidfm.core.ids import match_ids
from euclidfm.discover.outliers import outlier_methods
from euclidfm.report.html import Section, caption, fixed, missing, number, stamp, table
from euclidfm.report.inputs import ReportData
from euclidfm.report.sections.active import curve
from euclidfm.report.sections.neighbours import read_pictures
from euclidfm.report.sheets.stamps import heat_map

__all__ = ["section"]

_TITLE = "Outliers"
_SHOWN = 18


def section(data: ReportData) -> Section:
    """The top of the ranking."""
    scores = data.parquet(data.inputs.outliers, ("object_id", "score", "rank"))
    if scores is None:
        return missing("outliers", _TITLE, "No outlier scores were given.")
    first = scores.sort_by("rank").slice(0, _SHOWN)
    ids = np.asarray(first["object_id"].to_numpy())
    methods = outlier_methods(scores)
    path = data.inputs.active
    active = read_json(path) if path is not None and Path(path).exists() else None
    html = _cards(data, first) if data.mock.emb is not None and data.mock.store is not None else ""
    records = data.records(data.inputs.rarities)
    records = [r for r in records if str(r["metric"]).startswith(("recall", "lift"))]
    note = (
        f"The {len(ids)} most unusual of {number(scores.num_rows)} objects, by the mean rank over "
        f"{', '.join(m.replace('_', ' ') for m in methods) or 'one score'}; "
        "each in its bands, and in colour from H, Y and VIS."
    )
    return Section(
        key="outliers",
        title=_TITLE,
        html=_recall_table(records)
        + ("" if active is None else curve(active))
        + "<h3>Top of the ranking</h3>"
        + html
        + caption(note),
        data={"top": first.to_pylist(), "recall": records, "methods": methods, "active": active},
    )


def _cards(data: ReportData, first: Any) -> str:
    mock = data.mock
    assert mock.emb is not None
    found = match_ids(first["object_id"].to_numpy(), mock.emb.object_id)
    here, cards = np.flatnonzero(found >= 0).tolist(), []
    rows = found[here].tolist()
    for i, row, picture in zip(here, rows, read_pictures(mock, rows), strict=True):
        object_id = int(first["object_id"][i].as_py())
        if object_id in data.inputs.surprise and "VIS" in picture:
            picture["surprisal"] = heat_map(picture["VIS"], data.inputs.surprise[object_id])
        kind = str(mock.kinds[row]).replace("_", " ")
        stamps = "".join(stamp(p, f"{kind} {name}", name) for name, p in picture.items())
        stamps = stamps or stamp(None, "no image")
        title = f"<b>{first['rank'][i].as_py()}</b> {escape(kind)}"
        probability = (
            f" · artefact {fixed(first['artefact'][i].as_py(), 2)}"
            if "artefact" in first.column_names
            else ""
        )
        below = f"<small>{object_id} · score {fixed(first['score'][i].as_py())}{probability}</small>"
        cards.append(f'<div class="outlier"><p>{title} {below}</p><div class="bands">{stamps}</div></div>')
    return f'<div class="outliers">{"".join(cards)}</div>'


def _recall_table(records: list[dict[str, Any]]) -> str:
    """Share of known rarities in the top of the ranking, by method."""
    if not records:
        return ""
    recalls = [r for r in records if str(r["metric"]).startswith("recall")]
    lifts = {_key(r): r.get("value") for r in records if str(r["metric"]).startswith("lift")}
    inputs = list(dict.fromkeys(str(r.get("inputs") or "joint") for r in recalls))
    found = {(*_key(r)[:-1], str(r.get("inputs") or "joint")): r for r in recalls}
    rows = []
    for kind, top, method in dict.fromkeys(_key(r)[:-1] for r in recalls):
        name = escape(f"{kind}, {method}".replace("_", " "))
        cells = [_recall_cell(found.get((kind, top, method, i)), lifts) for i in inputs]
        rows.append([name, f"top {100 * float(top or 'nan'):g}%", *cells])
    return table(["rarity, method", "inspected", *(f"share found, {escape(i)}" for i in inputs)], rows)


def _key(record: dict[str, Any]) -> tuple[str, str, str, str]:
    """Kind, share inspected, method, inputs."""
    top = str(record["metric"]).partition("@")[2]
    inputs = str(record.get("inputs") or "joint")
    return str(record.get("kind", "rare")), top, str(record["method"]), inputs


def _recall_cell(record: dict[str, Any] | None, lifts: dict[tuple[str, str, str, str], Any]) -> str:
    if record is None:
        return "–"
    lift = number(lifts.get(_key(record)), 2)
    interval = f"{fixed(record.get('low'))} – {fixed(record.get('high'))} of {number(record.get('members'))}"
    return f"{fixed(record['value'])} (× {lift})<small>{interval}</small>"
