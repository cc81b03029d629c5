"""Photometric against spectroscopic redshift, with the numbers that papers quote."""

from __future__ import annotations

from typing import Any

import numpy as np

from euclidfm.core.tables import column_for
from euclidfm.metrics import PHOTOZ, bootstrap_all
from euclidfm.report.html import Section, caption, fixed, missing, number, table
from euclidfm.report.inputs import ReportData
from euclidfm.report.style import COLOURS, INK, MUTED, figure, svg

__all__ = ["section"]

_TITLE = "Photometric redshifts"
_METRICS = {
    "nmad": "NMAD, 1.4826 median|e − median e|",
    "bias_median": "bias, median e",
    "outliers_0.15": "outliers, share of |e| &gt; 0.15",
    "sigma68": "σ68, half the central 68%",
}


def section(data: ReportData) -> Section:
    """z_phot against z_spec of the test galaxies."""
    found = data.parquet(data.inputs.predictions, ("object_id", "z_phot"))
    if found is None:
        return missing("photoz", _TITLE, "No photometric redshifts were given.")
    joined = _join(data, found)
    if joined is None:
        return missing("photoz", _TITLE, "The store has no column z_spec to compare the redshifts with.")
    z_phot, z_spec, which = joined
    if len(z_phot) < 2:
        return missing("photoz", _TITLE, f"Fewer than two galaxies have both redshifts ({which}).")
    intervals = bootstrap_all({m: PHOTOZ[m] for m in _METRICS}, z_phot, z_spec, seed=data.inputs.seed)
    rows = [
        [name, fixed(i.value, 4), f"{fixed(i.low, 4)} – {fixed(i.high, 4)}"]
        for name, i in zip(_METRICS.values(), intervals.values(), strict=True)
    ]
    note = (
        f"{number(len(z_phot))} galaxies ({which}); e = (z_phot − z_spec)/(1 + z_spec). "
        "Lines: equality and ±0.15 (1 + z)."
    )
    return Section(
        key="photoz",
        title=_TITLE,
        html=f'<div class="pair"><div class="figure">{_draw(z_phot, z_spec)}</div>'
        f"<div>{table(['metric', 'value', '68% interval'], rows)}{caption(note)}</div></div>",
        data={"galaxies": len(z_phot), "which": which, "metrics": intervals},
    )


def _join(data: ReportData, found: Any) -> tuple[np.ndarray, np.ndarray, str] | None:
    """z_phot and z_spec of the galaxies that have both; of the test split where the store knows it."""
    store = data.mock.store
    if store is None or "z_spec" not in store.index.column_names:
        return None
    ids = np.asarray(found["object_id"].to_numpy())
    z_spec = column_for(ids, store.index, "z_spec")
    z_phot = np.asarray(found["z_phot"].to_numpy(), float)
    keep = np.isfinite(z_spec) & np.isfinite(z_phot)
    test = np.isin(ids, store.column("object_id")[store.rows("test")])
    which = "test split" if (keep & test).any() else "all splits: none is in the test split"
    if (keep & test).any():
        keep &= test
    return z_phot[keep], z_spec[keep], which


def _draw(z_phot: np.ndarray, z_spec: np.ndarray) -> str:
    top = 1.05 * float(np.percentile(np.concatenate([z_phot, z_spec]), 99.5))
    line = np.array([0.0, top])
    error = (z_phot - z_spec) / (1 + z_spec)
    bad = np.abs(error) > 0.15
    with figure(4.7, 5.5) as fig:
        upper, lower = fig.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        size = float(np.clip(4000 / len(z_spec), 3, 14))
        for axis, y in ((upper, z_phot), (lower, error)):
            for choice, colour in ((~bad, "blue"), (bad, "vermilion")):
                axis.scatter(
                    z_spec[choice],
                    y[choice],
                    s=size,
                    color=COLOURS[colour],
                    alpha=0.6,
                    linewidths=0,
                    rasterized=len(z_spec) > 2000,
                )
        upper.plot(line, line, color=INK, linewidth=1)
        for sign in (-1, 1):
            upper.plot(line, line + sign * 0.15 * (1 + line), color=MUTED, linewidth=1, linestyle="--")
            lower.axhline(sign * 0.15, color=MUTED, linewidth=1, linestyle="--")
        lower.axhline(0, color=INK, linewidth=1)
        upper.set(xlim=(0, top), ylim=(0, top), ylabel="photometric redshift")
        limit = float(np.clip(1.2 * np.percentile(np.abs(error), 99), 0.2, 1.0))
        lower.set(ylim=(-limit, limit), xlabel="spectroscopic redshift", ylabel="Δz / (1 + z)")
        return svg(fig, "photoz", "Photometric against spectroscopic redshift, and residuals")
