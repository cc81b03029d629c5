"""A sheet of outliers: each galaxy in its bands and colour, with surprisal maps and its SED."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.bands import BANDS
from euclidfm.embeddings import SurpriseMap
from euclidfm.report.sheets.stamps import heat_map, pictures
from euclidfm.report.style import COLOURS, MUTED
from euclidfm.store import Galaxies

__all__ = ["outlier_sheet"]

_NOTABLE_NATS = 1.0
"""Excess surprisal, in nats, above which an SED point is marked."""


def outlier_sheet(
    galaxies: Galaxies,
    titles: Sequence[str],
    out_png: str | Path,
    maps: Sequence[SurpriseMap] | None = None,
    inches: float = 1.3,
) -> None:
    """Write a PNG with one row a galaxy.

    Parameters
    ----------
    galaxies : Galaxies
        In the order shown.
    titles : sequence of str
        One a galaxy.
    out_png : path
    maps : sequence of SurpriseMap, optional
        Surprisal maps of the same galaxies. Without them, only cutouts and SEDs are drawn.
    inches : float
        Side of one cutout.
    """
    from matplotlib.figure import Figure

    shown = [_row(galaxies, i, maps[i] if maps else None) for i in range(len(galaxies))]
    names = list(dict.fromkeys(n for row in shown for n in row))
    widths = [1.0] * len(names) + [2.4] * bool(galaxies.sed_bands)
    n = len(galaxies)
    width, height = inches * sum(widths) + 0.7, n * (inches + 0.2) + 0.75
    fig = Figure(figsize=(width, height))
    grid = fig.add_gridspec(
        n, len(widths), width_ratios=widths, left=0.08 / width, right=1 - 0.6 / width, top=1 - 0.35 / height,
        bottom=0.4 / height, wspace=0.05, hspace=0.2,
    )  # fmt: skip
    for i, row in enumerate(shown):
        for j, name in enumerate(names):
            axis = fig.add_subplot(grid[i, j])
            axis.set_axis_off()
            if name in row:
                axis.imshow(row[name], origin="lower", interpolation="nearest")
            else:
                axis.text(0.5, 0.5, "no image", transform=axis.transAxes, fontsize=6, ha="center")
            if i == 0:
                axis.set_title(name, fontsize=7, pad=12)
            if j == 0:
                axis.text(0.0, 1.02, titles[i], transform=axis.transAxes, fontsize=6.5, va="bottom")
        if galaxies.sed_bands:
            axis = fig.add_subplot(grid[i, len(names)])
            _sed(axis, galaxies, i, maps[i] if maps else None, last=i == n - 1)
            if i == 0:
                axis.set_title("flux (µJy)", fontsize=7, pad=12)
    fig.savefig(out_png, dpi=150, facecolor="white")


def _row(galaxies: Galaxies, i: int, surprisal: SurpriseMap | None) -> dict[str, np.ndarray]:
    """Pictures of one galaxy by the titles of their columns."""
    row = pictures(galaxies, i)
    for modality, excess in (surprisal.patches if surprisal else {}).items():
        under = row.get(modality, row.get("H"))
        if under is not None and np.isfinite(excess).any():
            row[f"surprisal, {modality}"] = heat_map(under, excess.ravel())
    return row


def _sed(axis: Any, galaxies: Galaxies, i: int, surprisal: SurpriseMap | None, last: bool) -> None:
    wave = np.array([BANDS[b].wavelength_nm if b in BANDS else np.nan for b in galaxies.sed_bands])
    flux, error = galaxies.flux[i], np.nan_to_num(galaxies.fluxerr[i])
    excess = np.array([surprisal.sed.get(b, np.nan) if surprisal else np.nan for b in galaxies.sed_bands])
    good = np.isfinite(flux) & (flux > 0) & np.isfinite(wave)
    if good.any():
        low = np.minimum(error[good], 0.9 * flux[good])
        axis.errorbar(wave[good], flux[good], [low, error[good]], fmt="o", ms=3, lw=0.8, color=MUTED)
        notable = good & (np.nan_to_num(excess, nan=-np.inf) > _NOTABLE_NATS)
        axis.plot(wave[notable], flux[notable], "o", ms=7, mfc="none", mec=COLOURS["vermilion"], mew=1.2)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.minorticks_off()
    axis.set_xticks([400, 600, 1000, 1800], ["400", "600", "1000", "1800"])
    axis.tick_params(labelsize=5, length=2, pad=1, labelbottom=last)
    axis.yaxis.tick_right()
    if last:
        axis.set_xlabel("wavelength (nm); ringed: high surprisal", fontsize=6, labelpad=1)
