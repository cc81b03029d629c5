"""Sections of the studies: gain from modalities, p(z), and generalisation to other skies."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np

from euclidfm.report.html import Section, caption, fixed, missing, number, table
from euclidfm.report.inputs import ReportData
from euclidfm.report.records import series_of
from euclidfm.report.style import COLOURS, figure, svg

__all__ = ["densities", "modality", "real_seds", "transfer"]


def _cell(r: dict[str, Any] | None, decimals: int = 3) -> str:
    if r is None or r.get("value") is None:
        return "–"
    value, low, high = (fixed(r[k], decimals) for k in ("value", "low", "high"))
    return f"{value}<small>{low} – {high}</small>"


def modality(data: ReportData) -> Section:
    """Stars and edge-on discs by the modalities that the model is given."""
    title = "Gain from modalities: stars and edge-on discs"
    records = data.records(data.inputs.modality)
    if not records:
        return missing("modality", title, "The modality study was not run.")
    metrics = ("average_precision", "auc", "neighbour_purity", "gain_average_precision", "class_balance")
    head = [
        "inputs",
        "average precision",
        "ROC AUC",
        "purity of 10 neighbours",
        "gain over VIS",
        "class balance",
    ]
    parts = []
    for task, name in (("star", "Stars among all objects"), ("edge_on", "Edge-on discs")):
        rows = []
        for model in dict.fromkeys(r["model"] for r in records):
            ours = [r for r in records if (r["task"], r["model"]) == (task, model)]
            for inputs in dict.fromkeys(r["inputs"] for r in ours):
                found = {r["metric"]: r for r in ours if r["inputs"] == inputs}
                rows.append([f"{escape(inputs)}, {escape(model)}", *(_cell(found.get(m)) for m in metrics)])
        parts.append(f"<h3>{name}</h3>" + table(head, rows))
    note = (
        "The same linear probe on the same test galaxies, with 68% bootstrap intervals; gains use the same "
        "resampled galaxies. Rows: one checkpoint with dropped modalities, and models trained without them. "
        "Purity: share of the same class among the nearest training objects of a positive; the class "
        "balance is expected by chance."
    )
    return Section(
        key="modality", title=title, html="".join(parts) + caption(note), data={"records": records}
    )


def densities(data: ReportData) -> Section:
    """Calibration and sharpness of redshift densities."""
    title = "Redshift densities"
    records = data.records(data.inputs.densities)
    if not records:
        return missing("densities", title, "No redshift densities were fitted.")
    found = {r["metric"]: r for r in records}
    shown = (
        ("coverage_68", "coverage of 68% intervals"),
        ("coverage_95", "coverage of 95% intervals"),
        ("conformal_coverage_68", "coverage of 68% conformal intervals"),
        ("conformal_coverage_95", "coverage of 95% conformal intervals"),
        ("pit_ks", "PIT, Kolmogorov-Smirnov distance"),
        ("crps", "CRPS"),
        ("cde_loss", "CDE loss"),
        ("pit_outliers", "true redshifts outside the support of p(z)"),
        ("nmad", "NMAD of the median"),
        ("outliers_0.15", "outliers of the median, |Δz|/(1+z) > 0.15"),
    )
    rows = [
        [escape(name), _cell(found.get(m), 4), _cell(found.get(f"{m}_uncalibrated"), 4)]
        for m, name in shown
        if m in found
    ]
    n = number(records[0].get("n_test"))
    note = (
        f"{n} test galaxies; mixture-density head on the embeddings of all modalities; all labels; 68% "
        "intervals. The calibration uses validation galaxies and out-of-fold training galaxies; the metrics "
        "use the test split."
    )
    html = table(["metric", "calibrated", "before calibration"], rows) + caption(note)
    return Section(key="densities", title=title, html=html, data={"records": records})


_COLOURS = {
    "as it is": "blue",
    "weighted": "sky",
    "noise added": "green",
    "dimmed": "green",
    "few labels": "purple",
    "local labels": "grey",
    "booster": "orange",
}
_METRICS = (("photoz", "nmad", "NMAD of Δz/(1+z)"), ("mass", "nmad", "NMAD of Δ log M [dex]"))


def transfer(data: ReportData) -> Section:
    """Errors of probes on other skies and on faint galaxies, and remedies."""
    title = "Generalisation"
    records = [r for r in data.records(data.inputs.transfer) if r["metric"] == "nmad"]
    if not records:
        return missing("transfer", title, "Generalisation was not studied.")
    targets = list(dict.fromkeys(r["target"] for r in records))
    methods = [m for m in _COLOURS if any(r["method"] == m for r in records)]
    parts = [f'<div class="figure">{_bars(records, targets, methods)}</div>']
    for task, _, unit in _METRICS:
        rows = [
            [
                escape(_target(t)),
                *(
                    _cell(
                        next(
                            (r for r in records if (r["task"], r["target"], r["method"]) == (task, t, m)),
                            None,
                        )
                    )
                    for m in methods
                ),
            ]
            for t in targets
        ]
        parts.append(f"<h3>{unit}</h3>" + table(["target", *(escape(_method(m)) for m in methods)], rows))
    note = (
        "Probes on VIS+NISP+SED, trained on the first sky and tested on others (test split; 68% intervals). "
        "Weighted: training galaxies are resampled to resemble the target, without its labels. Noise added, "
        "dimmed: training galaxies are altered to the depth or brightness of the target and embedded again. "
        "100 labels there: added to the training labels. Trained there: trained on the target itself. "
        "Faint: trained on the brightest 30%, tested on all fainter galaxies; here trained there means as "
        "many labels of all magnitudes. Booster: boosted trees on photometry; if the filters differ, bands "
        "are matched by their order."
    )
    return Section(
        key="transfer", title=title, html="".join(parts) + caption(note), data={"records": records}
    )


def _bars(records: list[dict[str, Any]], targets: list[str], methods: list[str]) -> str:
    with figure(10.6, 3.6) as fig:
        axes = fig.subplots(1, len(_METRICS))
        for axis, (task, _, unit) in zip(np.atleast_1d(axes), _METRICS, strict=True):
            width = 0.8 / len(methods)
            for j, m in enumerate(methods):
                ours = {r["target"]: r for r in records if (r["task"], r["method"]) == (task, m)}
                at = [i for i, t in enumerate(targets) if t in ours]
                value = np.array([ours[targets[i]]["value"] for i in at])
                error = [
                    [ours[targets[i]]["value"] - ours[targets[i]]["low"] for i in at],
                    [ours[targets[i]]["high"] - ours[targets[i]]["value"] for i in at],
                ]
                place = np.array(at) + (j - (len(methods) - 1) / 2) * width
                axis.bar(place, value, width * 0.92, color=COLOURS[_COLOURS[m]], label=_method(m))
                axis.errorbar(place, value, yerr=error, fmt="none", ecolor="#6b7281", elinewidth=0.8)
            axis.set_xticks(range(len(targets)), [_target(t) for t in targets])
            axis.grid(visible=False, axis="x")
            axis.set_ylabel(unit)
        handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=4)
        return svg(fig, "transfer", "Error of probes on other skies, by how they were trained")


def _target(name: str) -> str:
    return {"q1-like": "same sky", "other-survey": "other survey", "faint": "faint galaxies"}.get(name, name)


def _method(name: str) -> str:
    names = {
        "few labels": "100 labels there",
        "local labels": "trained there",
        "booster": "booster, as it is",
    }
    return names.get(name, name)


def real_seds(data: ReportData) -> Section:
    """Redshifts of real spectroscopic catalogues, SED only."""
    title = "Real catalogues, SED only"
    records = data.records(data.inputs.real_seds)
    if not records:
        return missing("real-seds", title, "No real spectroscopic catalogue was given.")
    parts = []
    for catalogue in dict.fromkeys(str(r["catalogue"]) for r in records):
        for metric, what in (("nmad", "NMAD of Δz/(1+z)"), ("outliers_0.15", "outliers, |Δz|/(1+z) > 0.15")):
            ours = [r for r in records if r["catalogue"] == catalogue and r["method"] != "density"]
            series = series_of(ours, metric)
            fractions = sorted({p.fraction for s in series for p in s.points})
            rows, classes = [], []
            for s in series:
                points = [s.at(f) for f in fractions]
                rows.append(
                    [
                        escape(s.name.partition(", ")[0]),
                        *(_cell(None if p is None else asdict(p), 4) for p in points),
                    ]
                )
                classes.append("photometry" if s.photometry_only else "")
            parts.append(
                f"<h3>{escape(catalogue)}: {escape(what)}</h3>"
                + table(["method", *(f"{100 * f:g}%" for f in fractions)], rows, classes)
            )
    note = (
        "Columns: share of the labels used. One fixed test set for each catalogue; 68% interval over test "
        "galaxies and the scatter between repeats. Shaded: photometry alone, without pre-training."
    )
    return Section(
        key="real-seds", title=title, html="".join(parts) + caption(note), data={"records": records}
    )
