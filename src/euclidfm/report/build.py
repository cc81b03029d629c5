"""Build the report: its sections in reading order, as one page and one JSON file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from importlib import resources
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.core.files import write_json, write_text
from euclidfm.core.progress import Progress, silent
from euclidfm.report.html import Section, missing
from euclidfm.report.inputs import ReportData, ReportInputs
from euclidfm.report.sections import (
    claims,
    efficiency,
    embedding_map,
    neighbours,
    outliers,
    panels,
    photoz,
    provenance,
    real,
    science_table,
    studies,
    tables,
    training,
)

__all__ = ["REPRODUCTION", "build_report"]

_SECTIONS: dict[str, tuple[str, Callable[[ReportData], Section]]] = {
    "summary": ("Summary", provenance.headline),
    "science": ("Science table", science_table.section),
    "efficiency": ("Label efficiency", efficiency.section),
    "photoz": ("Photometric redshifts", photoz.section),
    "star": ("Stars among all objects", tables.stars),
    "training": ("Pre-training", training.section),
    "map": ("Map of the embeddings", embedding_map.section),
    "neighbours": ("Similarity search: nearest neighbours", neighbours.section),
    "purity": ("Similarity search: purity", tables.purity),
    "outliers": ("Outliers", outliers.section),
    "real": ("Real galaxies", real.section),
    "provenance": ("Provenance", provenance.provenance),
}

REPRODUCTION: dict[str, tuple[str, Callable[[ReportData], Section]]] = {
    "summary": _SECTIONS["summary"],
    "claims": ("Claims and verdicts", claims.section),
    "panels": ("Label efficiency by modality", panels.section),
    "modality": ("Gain from modalities: stars and edge-on discs", studies.modality),
    "densities": ("Redshift densities", studies.densities),
    "transfer": ("Generalisation", studies.transfer),
    "real-seds": ("Real catalogues, SED only", studies.real_seds),
    **{k: _SECTIONS[k] for k in ("science", "purity", "outliers", "training", "provenance")},
}
"""Sections of the report of `euclidfm reproduce`, in reading order."""


def build_report(
    inputs: ReportInputs,
    out_html: str | Path = "report.html",
    out_json: str | Path = "report.json",
    progress: Progress = silent,
    parts: Mapping[str, tuple[str, Callable[[ReportData], Section]]] | None = None,
) -> Path:
    """Write the report.

    Parameters
    ----------
    inputs : ReportInputs
        If an input is missing or unreadable, its section says so in one line.
    out_html : path
        A self-contained page that needs no network and no other file.
    out_json : path
        The same numbers, strict JSON.
    progress : callable
    parts : mapping, optional
        Sections by key: title and function; the default is those of a demo.

    Returns
    -------
    Path
        Of the page.
    """
    data = ReportData(inputs)
    sections = []
    parts = parts or _SECTIONS
    for i, (key, (title, make)) in enumerate(parts.items()):
        progress(i, len(parts), title)
        try:
            sections.append(make(data))
        except InputError as e:
            sections.append(missing(key, title, str(e)))
    progress(len(parts), len(parts), "written")
    write_json(out_json, {"title": inputs.title, "sections": {s.key: s.data for s in sections}})
    write_text(out_html, _page(inputs.title, sections))
    return Path(out_html)


def _page(title: str, sections: list[Section]) -> str:
    style = resources.files("euclidfm.report").joinpath("page.css").read_text(encoding="utf-8")
    links = "".join(
        f'<li{" class=off" if s.absent else ""}><a href="#{s.key}">{escape(s.title)}</a></li>'
        for s in sections
    )
    body = "".join(f'<section id="{s.key}"><h2>{escape(s.title)}</h2>{s.html}</section>' for s in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f'<nav aria-label="Contents"><ol>{links}</ol></nav>'
        f"<main><h1>{escape(title)}</h1>{body}</main></body></html>\n"
    )
