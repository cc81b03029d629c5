"""Summary and provenance: sizes, main results, versions, timings and configuration."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.files import plain, read_json, read_yaml
from euclidfm.core.run_folder import ModelFolder
from euclidfm.report.html import Section, fixed, number, seconds, table
from euclidfm.report.inputs import ReportData
from euclidfm.report.records import Task, tasks_of
from euclidfm.report.sections.science_table import best_of

__all__ = ["headline", "provenance"]


def headline(data: ReportData) -> Section:
    """Sizes, durations and seed, and the main results."""
    store, emb, run = data.mock.store, data.mock.emb, data.run
    facts: list[tuple[str, str]] = []
    numbers: dict[str, Any] = {"seed": data.inputs.seed}
    if store is not None:
        facts.append((number(len(store)), "galaxies in the store"))
        numbers["galaxies"] = len(store)
        splits, counts = np.unique(store.column("split").astype(str), return_counts=True)
        numbers["splits"] = dict(zip(splits.tolist(), counts.tolist(), strict=True))
        bands = store.info.image_bands
        if bands:
            facts.append((f"{len(bands)} × {store.info.image_size} px", f"images: {', '.join(bands)}"))
        facts.append((str(len(store.info.sed_names)), f"SED bands: {', '.join(store.info.sed_names)}"))
        numbers |= {"image_bands": bands, "sed_bands": store.info.sed_names}
    if run.get("parameters"):
        facts.append((_millions(run["parameters"]), "parameters of the model"))
    if run.get("steps"):
        spent = f" in {seconds(run['seconds'])}" if run.get("seconds") else ""
        facts.append((number(run["steps"]), f"pre-training steps{spent}"))
        numbers |= {k: run.get(k) for k in ("parameters", "steps", "seconds")}
    if emb is not None:
        facts.append((number(len(emb)), f"embeddings of {emb.vectors.shape[1]} numbers"))
        numbers |= {"embeddings": len(emb), "width": emb.vectors.shape[1]}
    if data.real.store is not None:
        facts.append((number(len(data.real.store)), "real galaxies"))
        numbers["real_galaxies"] = len(data.real.store)
    if data.inputs.timings:
        total = float(sum(data.inputs.timings.values()))
        facts.append((seconds(total), "total time"))
        numbers["total_seconds"] = total
    facts.append((str(data.inputs.seed), "seed"))
    tiles = "".join(f"<div><b>{escape(v)}</b><span>{escape(k)}</span></div>" for v, k in facts)
    html = f'<div class="facts">{tiles}</div>{_results(tasks_of(data.records(data.inputs.efficiency)))}'
    return Section(key="summary", title="Summary", html=html, data=numbers)


def provenance(data: ReportData) -> Section:
    """Versions, seed, timings, identity of the embeddings and the resolved config."""
    inputs = data.inputs
    rows = [[escape(stage), seconds(float(s))] for stage, s in inputs.timings.items()]
    parts = [table(["stage", "time"], rows)] if rows else []
    parts.append(
        table(["program", "version"], [[escape(k), escape(str(v))] for k, v in inputs.versions.items()])
    )
    info = {} if data.mock.emb is None else data.mock.emb.info
    if info:
        parts.append(f"<h3>Embeddings</h3><pre>{escape(json.dumps(plain(info), indent=1))}</pre>")
    config = None if inputs.run is None else ModelFolder(Path(inputs.run)).config
    resolved = read_yaml(config) if config is not None and config.exists() else None
    if config is not None and resolved is not None:
        text = config.read_text(encoding="utf-8")
        parts.append(
            f"<details><summary>Resolved config of the run</summary><pre>{escape(text)}</pre></details>"
        )
    if data.mock.store is not None and data.mock.store.info.provenance:
        text = json.dumps(plain(data.mock.store.info.provenance), indent=1)
        parts.append(
            f"<details><summary>Provenance of the store</summary><pre>{escape(text)}</pre></details>"
        )
    model = None if inputs.run is None else ModelFolder(Path(inputs.run)).card
    return Section(
        key="provenance",
        title="Provenance",
        html=f"<p>Seed {inputs.seed}. All numbers of this page are also in <code>report.json</code>.</p>"
        + "".join(parts),
        data={
            "seed": inputs.seed,
            "versions": dict(inputs.versions),
            "timings": dict(inputs.timings),
            "embeddings": info,
            "config": resolved,
            "model": read_json(model) if model is not None and model.exists() else None,
        },
    )


def _results(tasks: list[Task]) -> str:
    """Each task at the fewest and at all labels: the best probe, the CNN, and photometry alone."""
    rows = []
    for task in tasks:
        for fraction in dict.fromkeys((task.fractions[0], task.fractions[-1])):
            best = best_of(task, fraction)
            rows.append(
                [
                    f"{escape(task.title)} <small>{escape(task.axis)}</small>",
                    f"{100 * fraction:g}%",
                    *("–" if b is None else fixed(b[1].value) for b in best.values()),
                ]
            )
    return table(["task", "labels", "best probe", "supervised CNN", "photometry alone"], rows) if rows else ""


def _millions(count: float) -> str:
    return f"{count / 1e6:.3g} M" if count >= 1e6 else number(count)
