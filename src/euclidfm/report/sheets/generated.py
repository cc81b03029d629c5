"""A sheet of generated galaxies: given, measured and generated data side by side.

One row a galaxy. Generated images are stretched by the noise level of the measured ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.bands import BANDS
from euclidfm.report.sheets.stamps import pictures
from euclidfm.report.style import COLOURS, MUTED
from euclidfm.store import Galaxies

__all__ = ["generation_sheet"]


def generation_sheet(
    given: Galaxies,
    measured: Galaxies,
    made: Galaxies,
    out_png: str | Path,
    inches: float = 1.15,
    name: str = "generated",
) -> None:
    """Write a PNG: for each galaxy the given images, then measured and generated side by side, and its SED.

    Parameters
    ----------
    given : Galaxies
        The data that the model was given.
    measured : Galaxies
        All measured data of the same galaxies, for comparison.
    made : Galaxies
        The generated bands of the same galaxies.
    out_png : path
    inches : float
        Side of one cutout.
    name : str
        Label of the generated data.
    """
    from matplotlib.figure import Figure

    columns = [("given", given, b) for b in given.images if given.has_image(b).any()]
    for b in made.images:
        if b in measured.images and measured.has_image(b).any():
            columns.append(("measured", measured, b))
        columns.append((name, made, b))
    sed = bool(made.sed_bands)
    scalars = [c for c in made.columns if f"{c}_err" in made.columns]
    widths = [1.0] * len(columns) + [2.6] * sed + [3.0] * bool(scalars)
    n = len(made)
    width, height = inches * sum(widths) + 0.6, n * inches + 0.85
    fig = Figure(figsize=(width, height))
    grid = fig.add_gridspec(
        n, len(widths), width_ratios=widths, left=0.1 / width, right=1 - 0.5 / width, top=1 - 0.4 / height,
        bottom=0.45 / height, wspace=0.06, hspace=0.06,
    )  # fmt: skip
    for i in range(n):
        for j, (what, galaxies, band) in enumerate(columns):
            axis = fig.add_subplot(grid[i, j])
            axis.set_axis_off()
            if i == 0:
                axis.set_title(f"{what}\n{band}", fontsize=7)
            _stamp(axis, galaxies, measured, band, i)
        if sed:
            _sed(fig.add_subplot(grid[i, len(columns)]), measured, made, i, name, last=i == n - 1)
        if scalars:
            _scalars(fig.add_subplot(grid[i, len(columns) + sed]), measured, made, i, name, scalars)
    fig.savefig(out_png, dpi=150, facecolor="white")


def _stamp(axis: Any, galaxies: Galaxies, measured: Galaxies, band: str, row: int) -> None:
    shown = {band: galaxies.images[band][[row]]}
    noise = galaxies.noise
    if band in measured.noise:  # the same stretch as the measured image
        noise = measured.noise
    one = galaxies.take(np.array([row]))
    one.images, one.masks = shown, {band: galaxies.masks[band][[row]]}
    one.noise = {band: noise[band][[row]]}
    picture = pictures(one, 0).get(band)
    if picture is None:
        axis.text(0.5, 0.5, f"no {band}", transform=axis.transAxes, fontsize=6, ha="center")
    else:
        axis.imshow(picture, origin="lower", interpolation="nearest")


def _scalars(axis: Any, measured: Galaxies, made: Galaxies, row: int, title: str, names: list[str]) -> None:
    axis.set_axis_off()
    if row == 0:
        axis.set_title(f"{title} (measured)", fontsize=7)
    lines = []
    for name in names:
        value, error = made.columns[name][row], made.columns[f"{name}_err"][row]
        was = measured.columns[name][row] if name in measured.columns else np.nan
        lines.append(f"{name} {value:.3g}{f' ± {error:.2g}' if np.isfinite(error) else ''} ({was:.3g})")
    axis.text(0.3, 0.5, "\n".join(lines), transform=axis.transAxes, fontsize=5, va="center")


def _sed(axis: Any, measured: Galaxies, made: Galaxies, row: int, name: str, last: bool) -> None:
    for galaxies, colour, marker, label in (
        (measured, MUTED, "o", "measured"),
        (made, COLOURS["vermilion"], "s", name),
    ):
        wave = [BANDS[b].wavelength_nm if b in BANDS else np.nan for b in galaxies.sed_bands]
        flux, error = galaxies.flux[row], np.nan_to_num(galaxies.fluxerr[row])
        good = np.isfinite(flux) & (flux > 0)
        if good.any():
            x = np.array(wave)[good] * (1.0 if marker == "o" else 1.02)
            low = np.minimum(error[good], 0.9 * flux[good])
            axis.errorbar(
                x, flux[good], [low, error[good]], fmt=marker, ms=3, lw=0.8, color=colour, label=label
            )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.tick_params(labelsize=5, which="both", length=2, pad=1, labelbottom=last)
    axis.minorticks_off()
    axis.set_xticks([400, 600, 1000, 1800], ["400", "600", "1000", "1800"])
    axis.yaxis.tick_right()
    if last:
        axis.set_xlabel("wavelength (nm)", fontsize=6, labelpad=1)
    if row == 0:
        axis.set_title("flux (µJy)", fontsize=7)
        axis.legend(fontsize=5, frameon=False, loc="lower right")
