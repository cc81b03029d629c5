"""Label efficiency: each task's metric against the share of labels used, all methods side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from euclidfm.report.html import Section, caption, missing
from euclidfm.report.inputs import ReportData
from euclidfm.report.records import Task, line_style, tasks_of
from euclidfm.report.style import figure, svg

__all__ = ["section"]

_TITLE = "Label efficiency"


def section(data: ReportData) -> Section:
    """The figure of all tasks."""
    records = data.records(data.inputs.efficiency)
    tasks = tasks_of(records)
    if not tasks:
        return missing("efficiency", _TITLE, "No probes were run at several label fractions.")
    seeds = max(p.seeds for t in tasks for s in t.series for p in s.points)
    repeats = f"{seeds} seeds" if seeds > 1 else "one seed"
    note = (
        "Metric on the fixed test set against the share of the training labels used. "
        f"Bars: 68% interval (bootstrap over test galaxies; {repeats}, scatter added in quadrature). "
        "Dotted orange: catalogue photometry alone, without the foundation model."
    )
    return Section(
        key="efficiency",
        title=_TITLE,
        html=f'<div class="figure">{_draw(tasks)}</div>{caption(note)}',
        data={"records": records},
    )


def _draw(tasks: list[Task]) -> str:
    inputs = sorted(
        {s.inputs for t in tasks for s in t.series if not s.photometry_only}, key=lambda i: (-i.count("+"), i)
    )
    names = len({(s.method, s.inputs) for t in tasks for s in t.series})
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    with figure(3.9 * columns + 0.2, 3.4 * rows + 0.19 * -(-names // 3)) as fig:
        axes = np.atleast_1d(fig.subplots(rows, columns)).ravel()
        handles: dict[str, Any] = {}
        for axis, task in zip(axes, tasks, strict=False):
            _panel(axis, task, inputs, handles)
        for axis in axes[len(tasks) :]:
            axis.set_axis_off()
        fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(3, columns + 1))
        return svg(fig, "efficiency", "Label efficiency of each method, one panel a task")


def _panel(axis: Any, task: Task, inputs: list[str], handles: dict[str, Any]) -> None:
    for s in task.series:
        x = np.array([100 * p.fraction for p in s.points])
        y = np.array([p.value for p in s.points])
        error = np.abs([[p.value - p.low for p in s.points], [p.high - p.value for p in s.points]])
        style = line_style(s, inputs)
        drawn = axis.errorbar(x, y, yerr=error, capsize=2, elinewidth=0.9, **style)
        handles.setdefault(s.name, drawn)
    ticks = [100 * f for f in task.fractions]
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.set_xlabel("labels used [%]")
    axis.set_ylabel(task.axis)
    axis.set_title(f"{task.title} ({'higher' if task.higher else 'lower'} is better)")
