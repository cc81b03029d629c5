"""The science table: tasks, methods and label fractions, with a verdict for each task."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from typing import Any

from euclidfm.report.html import Section, caption, fixed, missing, number, table
from euclidfm.report.inputs import ReportData
from euclidfm.report.records import Point, Series, Task, tasks_of

__all__ = ["best_of", "section", "verdict"]

_TITLE = "Science table"


def section(data: ReportData) -> Section:
    """One table for each task, with a sentence that compares the methods."""
    records = data.records(data.inputs.efficiency)
    tasks = tasks_of(records)
    if not tasks:
        return missing("science", _TITLE, "No probes or baselines were evaluated.")
    parts, verdicts = [], {}
    for task in tasks:
        verdicts[task.name] = verdict(task)
        parts.append(
            f"<h3>{escape(task.title)} <small>{escape(task.axis)}, "
            f"{'higher' if task.higher else 'lower'} is better</small></h3>"
            f'<p class="verdict">{escape(verdicts[task.name])}</p>{_table(task)}{_details(records, task)}'
        )
    note = (
        "Value and 68% interval. Bold: the best value of a column; the next best may be indistinguishable "
        "from it. Shaded rows: baselines on catalogue photometry alone, without images and without the "
        "foundation model."
    )
    rows = [
        {"task": t.name, "metric": t.metric, "method": s.method, "inputs": s.inputs} | asdict(p)
        for t in tasks
        for s in t.series
        for p in s.points
    ]
    return Section(
        key="science",
        title=_TITLE,
        html="".join(parts) + caption(note),
        data={"rows": rows, "verdicts": verdicts},
    )


def verdict(task: Task) -> str:
    """Compare, at the fewest and at all labels, the best probe with the CNN and with photometry alone."""
    sentences = []
    for fraction in dict.fromkeys((task.fractions[0], task.fractions[-1])):
        best = best_of(task, fraction)
        if best["probe"] is None:
            continue
        series, point = best["probe"]
        count = f" ({point.n_train} objects)" if point.n_train else ""
        words = [f"At {100 * fraction:g}% of the labels{count} the best probe ({series.name}) has "]
        words.append(f"{number(point.value)} [{number(point.low)}, {number(point.high)}]")
        for rival, what in (
            (best["cnn"], "the supervised CNN"),
            (best["photometry"], "the best on raw photometry alone"),
        ):
            if rival is not None:
                words.append(f", {_compare(task, point, rival[1])} {what} ({number(rival[1].value)})")
        sentences.append("".join(words) + ".")
    return " ".join(sentences) or "No probe was evaluated on this task."


def best_of(task: Task, fraction: float) -> dict[str, tuple[Series, Point] | None]:
    """The best probe, CNN and photometry-only series of a task at one label fraction."""
    return {
        "probe": _best(task, fraction, [s for s in task.series if s.method.startswith("probe")]),
        "cnn": _best(task, fraction, [s for s in task.series if s.method == "cnn"]),
        "photometry": _best(task, fraction, [s for s in task.series if s.photometry_only]),
    }


def _best(task: Task, fraction: float, series: list[Series]) -> tuple[Series, Point] | None:
    best = Task(name=task.name, metric=task.metric, series=tuple(series)).best(fraction)
    point = None if best is None else best.at(fraction)
    return None if best is None or point is None else (best, point)


def _compare(task: Task, ours: Point, other: Point) -> str:
    if ours.low <= other.high and other.low <= ours.high:
        return "not distinguishable (the intervals overlap) from"
    return "better than" if (ours.value > other.value) == task.higher else "worse than"


def _table(task: Task) -> str:
    fractions = task.fractions
    best = {f: task.best(f) for f in fractions}
    head = ["method, inputs"]
    for f in fractions:
        counts = {p.n_train for s in task.series if (p := s.at(f)) is not None and p.n_train}
        head.append(f"{100 * f:g}%" + (f"<small>{max(counts)} labels</small>" if counts else ""))
    rows, classes = [], []
    for s in task.series:
        cells = [escape(s.name)]
        for f in fractions:
            p = s.at(f)
            if p is None:
                cells.append("–")
                continue
            value = fixed(p.value)
            shown = f"<b>{value}</b>" if best[f] is s else value
            cells.append(f"{shown}<small>{fixed(p.low)} – {fixed(p.high)}</small>")
        rows.append(cells)
        classes.append("photometry" if s.photometry_only else "")
    return table(head, rows, classes)


def _details(records: list[dict[str, Any]], task: Task) -> str:
    """All metrics of each method with all labels, folded."""
    last = task.fractions[-1]
    ours = [r for r in records if r["task"] == task.name and (r.get("fraction") in (None, last))]
    metrics = list(dict.fromkeys(str(r["metric"]) for r in ours))
    if len(metrics) < 2:
        return ""
    rows, classes = [], []
    for s in task.series:
        cells = [escape(s.name)]
        for m in metrics:
            mine = [r for r in ours if (r["method"], r.get("inputs") or "") == (s.method, s.inputs)]
            values = [r["value"] for r in mine if r["metric"] == m and r["value"] is not None]
            cells.append(fixed(sum(values) / len(values)) if values else "–")
        rows.append(cells)
        classes.append("photometry" if s.photometry_only else "")
    body = table(["method, inputs", *(escape(m.replace("_", " ")) for m in metrics)], rows, classes)
    return f"<details><summary>All metrics at {100 * last:g}% of the labels</summary>{body}</details>"
