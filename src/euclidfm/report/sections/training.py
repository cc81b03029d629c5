"""The training curve: loss against step, in total and by modality."""

from __future__ import annotations

from typing import Any

import numpy as np

from euclidfm.report.html import Section, caption, missing
from euclidfm.report.inputs import ReportData
from euclidfm.report.style import COLOURS, figure, svg

__all__ = ["section"]

_TITLE = "Pre-training"
_COLOURS = ("blue", "vermilion", "green", "purple", "orange", "sky", "brown")


def section(data: ReportData) -> Section:
    """The curves of the run."""
    log = data.log
    if "step" not in log or "loss" not in log:
        return missing("training", _TITLE, "No training log was given.")
    modalities = [n.removeprefix("loss_") for n in log if n.startswith("loss_")]
    note = (
        "Loss of the predicted tokens (Huber in scaled units, or nats with a likelihood). Faint lines: "
        "training batches; solid lines: their running median; dots: validation split. The total "
        "is the weighted sum over modalities."
    )
    last = {k: float(v[np.isfinite(v)][-1]) for k, v in log.items() if np.isfinite(v).any()}
    return Section(
        key="training",
        title=_TITLE,
        html=f'<div class="figure">{_draw(log, modalities)}</div>{caption(note)}',
        data={"last": last, "run": data.run},
    )


def _draw(log: dict[str, np.ndarray], modalities: list[str]) -> str:
    step = log["step"]
    with figure(8.2 if modalities else 4.5, 3.2) as fig:
        axes = np.atleast_1d(fig.subplots(1, 2 if modalities else 1))
        _curve(axes[0], step, log, "loss", "val_loss", "blue", "total")
        axes[0].set_title("All modalities")
        for i, name in enumerate(modalities):
            _curve(axes[1], step, log, f"loss_{name}", f"val_{name}", _COLOURS[i % len(_COLOURS)], name)
        if modalities:
            axes[1].set_title("By modality")
            fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower right", ncols=len(modalities))
        for axis in axes:
            axis.set_xlabel("step")
            axis.set_ylabel("loss (dimensionless)")
        return svg(fig, "training", "Training and validation loss against step")


def _curve(
    axis: Any,
    step: np.ndarray,
    log: dict[str, np.ndarray],
    train: str,
    valid: str,
    colour: str,
    name: str,
) -> None:
    loss, c = log[train], COLOURS[colour]
    here = np.isfinite(loss)
    axis.plot(step[here], loss[here], color=c, alpha=0.25, linewidth=0.8)
    axis.plot(step[here], _running_median(loss[here]), color=c, label=name)
    if valid in log:
        there = np.isfinite(log[valid])
        axis.plot(step[there], log[valid][there], "o", color=c, markersize=3.5)
    top = loss[here][max(1, here.sum() // 20) :]  # without the first steps, which would set the scale
    if top.size:
        lowest, highest = axis.dataLim.y0, float(np.max(top))
        old = axis.get_ylim()[1] if axis.get_autoscaley_on() is False else -np.inf
        if highest > lowest:
            axis.set_ylim(lowest - 0.05 * (highest - lowest), max(old, highest + 0.05 * (highest - lowest)))


def _running_median(values: np.ndarray, width: int = 9) -> np.ndarray:
    if len(values) < width:
        return values
    padded = np.pad(values, width // 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))
