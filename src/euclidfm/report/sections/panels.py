"""Label efficiency as the reference work draws it: one panel a set of modalities, one row a task."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from euclidfm.report.html import Section, caption, missing
from euclidfm.report.inputs import ReportData
from euclidfm.report.records import Series, Task, tasks_of
from euclidfm.report.style import COLOURS, figure, svg

__all__ = ["section"]

_TITLE = "Label efficiency by modality"
_STYLES: dict[str, dict[str, Any]] = {
    "probe": {"color": COLOURS["blue"], "marker": "o"},
    "probe-auto": {"color": COLOURS["sky"], "marker": "D"},
    "probe-mlp": {"color": COLOURS["green"], "marker": "^"},
    "probe-knn": {"color": COLOURS["brown"], "marker": "v"},
    "probe-stack": {"color": COLOURS["purple"], "marker": "*"},
    "finetune": {"color": COLOURS["purple"], "marker": "P"},
    "finetune-lora": {"color": COLOURS["purple"], "marker": "X", "linestyle": "--"},
    "cnn": {"color": COLOURS["vermilion"], "marker": "s"},
    "resnet": {"color": COLOURS["vermilion"], "marker": "D", "linestyle": "--"},
    "pixels-pca": {"color": COLOURS["grey"], "marker": "x"},
    "apertures-ridge": {"color": COLOURS["grey"], "marker": "o", "linestyle": "--"},
    "apertures-booster": {"color": COLOURS["grey"], "marker": "s", "linestyle": "--"},
    "morphology-booster": {"color": COLOURS["grey"], "marker": "^", "linestyle": ":"},
    "booster": {"color": COLOURS["orange"], "marker": "s", "linestyle": ":"},
    "colours-ridge": {"color": COLOURS["orange"], "marker": "D", "linestyle": ":"},
    "knn-photometry": {"color": COLOURS["orange"], "marker": "v", "linestyle": ":"},
    "photometry-auto": {"color": COLOURS["orange"], "marker": "P", "linestyle": ":"},
    "photometry-stack": {"color": COLOURS["orange"], "marker": "*", "linestyle": ":"},
}


def section(data: ReportData) -> Section:
    """The grid of panels."""
    tasks = tasks_of(data.records(data.inputs.efficiency))
    sets = sorted(
        {s.inputs for t in tasks for s in t.series if s.method.startswith("probe")},
        key=lambda i: i.count("+"),
    )
    if not sets:
        return missing("panels", _TITLE, "No probes were run at several label fractions.")
    repeats = sorted({(p.fraction, p.seeds) for t in tasks for s in t.series for p in s.points})
    most = {f: max(n for g, n in repeats if g == f) for f, _ in repeats}
    least = {f: min(n for g, n in repeats if g == f) for f, _ in repeats}
    counts = ", ".join(
        f"{100 * f:g}%: {most[f]}" + (f" ({least[f]} for the slow methods)" if least[f] < most[f] else "")
        for f in most
    )
    note = (
        "Metric on one fixed test set against the share of the training labels. Bars: 68% interval over "
        "test galaxies, with the scatter between repeats added in quadrature. Dotted orange, the same in "
        "every panel of a row: catalogue photometry alone, without images and without pre-training. "
        "Supervised networks are in the panel of their images; the panel of VIS+NISP+SED shows those on "
        f"VIS+NISP. Repeats: {counts}."
    )
    return Section(
        key="panels",
        title=_TITLE,
        html=f'<div class="figure">{_draw(tasks, sets)}</div>{caption(note)}',
        data={"repeats": [{"fraction": f, "most": most[f], "least": least[f]} for f in most]},
    )


def _draw(tasks: list[Task], sets: list[str]) -> str:
    with figure(3.55 * len(sets) + 0.2, 3.0 * len(tasks) + 0.9) as fig:
        axes = fig.subplots(len(tasks), len(sets), sharey="row", squeeze=False)
        handles: dict[str, Any] = {}
        for row, task in zip(axes, tasks, strict=True):
            for axis, inputs in zip(row, sets, strict=True):
                for s in task.series:
                    if _belongs(s, inputs, sets):
                        _line(axis, s, handles)
                _frame(axis, task, inputs, first=axis is row[0])
        fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
        return svg(fig, "panels", "Label efficiency, one row a task, one column a set of modalities")


def _belongs(series: Series, inputs: str, sets: list[str]) -> bool:
    if series.photometry_only or series.inputs == inputs:
        return True
    images = inputs.removesuffix("+SED")
    return series.method in ("cnn", "resnet") and inputs == sets[-1] and series.inputs == images


def _line(axis: Any, series: Series, handles: dict[str, Any]) -> None:
    x = np.array([100 * p.fraction for p in series.points])
    y = np.array([p.value for p in series.points])
    error = np.abs([[p.value - p.low for p in series.points], [p.high - p.value for p in series.points]])
    style = {"markersize": 4, "linewidth": 1.3, **_STYLES.get(series.method, {"color": COLOURS["grey"]})}
    drawn = axis.errorbar(x, y, yerr=error, capsize=2, elinewidth=0.8, **style)
    handles.setdefault(series.name.partition(", ")[0], drawn)


def _frame(axis: Any, task: Task, inputs: str, *, first: bool) -> None:
    ticks = [100 * f for f in task.fractions]
    axis.set_xscale("log")
    if not task.higher:
        axis.set_yscale("log")
        from matplotlib.ticker import LogLocator, ScalarFormatter

        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
        axis.yaxis.set_major_formatter(ScalarFormatter())
    crowded = [t for t, u in pairwise(ticks) if u / t < 1.5]  # 80% beside 100%
    axis.set_xticks(ticks, ["" if t in crowded else f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.set_xlabel("labels used [%]")
    if first:
        axis.set_ylabel(task.axis)
    axis.set_title(f"{task.title}, {inputs}")
