"""The map of the embeddings, coloured by type and by redshift."""

from __future__ import annotations

from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.discover import project_map, project_pca
from euclidfm.report.html import Section, caption, missing
from euclidfm.report.inputs import ReportData
from euclidfm.report.style import LINE, MUTED, figure, kind_style, svg

__all__ = ["section"]

_TITLE = "Map of the embeddings"
_MAX = 30_000


def section(data: ReportData) -> Section:
    """UMAP, or principal components if it is not installed, in two panels."""
    emb = data.mock.emb
    if emb is None or len(emb) < 5:
        return missing("map", _TITLE, "No embeddings were given.")
    rows = np.sort(np.random.default_rng(data.inputs.seed).permutation(len(emb))[:_MAX])
    shown = emb.take(rows)
    try:
        xy, method, why = project_map(shown, seed=data.inputs.seed), "UMAP", ""
    except InputError as e:
        xy, method, why = project_pca(shown), "PCA", f" UMAP could not be used: {e}."
    kinds = data.mock.kinds[rows]
    z_name, z = data.mock.label("z_spec", "z_true", "z")
    redshift = np.full(len(emb), np.nan) if z is None else np.asarray(z, float)
    note = (
        f"{method} of {len(shown)} galaxies' joint embeddings, made without labels. Left: by "
        f"type{'' if any(kinds) else ' (unknown)'}. Right: by redshift"
        f"{f' ({z_name}; grey: none)' if z_name else ' (not known)'}. "
        f"Distances between separate groups are not meaningful.{why}"
    )
    return Section(
        key="map",
        title=_TITLE,
        html=f'<div class="figure">{_draw(xy, kinds, redshift[rows], method)}</div>{caption(note)}',
        data={
            "method": method,
            "object_id": shown.object_id,
            "x": np.round(xy[:, 0], 3),
            "y": np.round(xy[:, 1], 3),
            "redshift": z_name,
        },
    )


def _draw(xy: np.ndarray, kinds: np.ndarray, redshift: np.ndarray, method: str) -> str:
    size = float(np.clip(6000 / max(len(xy), 1), 2.0, 16.0))
    counts = {k: int((kinds == k).sum()) for k in set(kinds) - {""}}
    with figure(9.6, 4.6) as fig:
        left, right = fig.subplots(1, 2)
        _points(left, xy[kinds == ""], size, color=LINE)
        styles = kind_style(sorted(counts, key=lambda k: -counts[k]))
        for kind, (colour, marker) in styles.items():  # the rare ones last, on top and larger
            rare = counts[kind] < 0.05 * len(xy)
            _points(
                left,
                xy[kinds == kind],
                size * (4.0 if rare else 1.0),
                color=colour,
                marker=marker,
                label=f"{kind.replace('_', ' ')} ({counts[kind]})",
                edgecolors="#ffffff" if rare and marker not in "x." else "none",
            )
        if counts:
            legend = fig.legend(loc="outside lower center", ncols=5, handletextpad=0.2)
            for handle in legend.legend_handles:
                handle.set_sizes([34])
        known = np.isfinite(redshift)
        _points(right, xy[~known], size, color=LINE)
        if known.any():
            drawn = _points(right, xy[known], size, c=redshift[known], cmap="viridis")
            limits = np.percentile(redshift[known], [1, 99])
            drawn.set_clim(*limits)
            bar = fig.colorbar(drawn, ax=right, pad=0.01, extend="both", shrink=0.85)
            bar.set_label("redshift")
            bar.outline.set_visible(False)
        for axis, title in ((left, "Type"), (right, "Redshift")):
            axis.set_title(title)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(f"{method} 1", color=MUTED)
            axis.set_ylabel(f"{method} 2", color=MUTED)
        return svg(fig, "map", f"{method} map of the embeddings, by type and by redshift")


def _points(axis: Any, xy: np.ndarray, size: float, **style: Any) -> Any:
    style.setdefault("edgecolors", "none")
    if style.get("marker") == "x":
        style.pop("edgecolors")
    return axis.scatter(xy[:, 0], xy[:, 1], s=size, linewidths=0.4, rasterized=True, **style)
