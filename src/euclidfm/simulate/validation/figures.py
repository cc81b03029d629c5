"""The validation figures, one function each; each returns the path that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.bands import EUCLID_BANDS, SED_BANDS
from euclidfm.core.units import abmag_from_ujy
from euclidfm.simulate.population.mass_function import parent_density
from euclidfm.simulate.population.parent import draw_parent, galaxy_fluxes
from euclidfm.simulate.seds.flux_table import Table, galaxy_table
from euclidfm.simulate.validation.compare import Sample

__all__ = [
    "colour_composite",
    "contact_sheet",
    "plot_counts",
    "plot_overlay",
    "plot_planes",
    "plot_redshifts",
]

_STYLE = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "figure.dpi": 110}
_KINDS = {"galaxy": "#4c72b0", "star": "#dd8452", "quasar": "#8172b3", "artefact": "#999999"}


def _new(rows: int, columns: int, width: float, height: float) -> tuple[Any, Any]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, metadata={"Software": None})
    return path


def published_counts(mag: np.ndarray, band: str) -> np.ndarray:
    """Published galaxy counts per arcmin^2 and magnitude (AB).

    i: LSST Science Book (2009, arXiv:0912.0201), eq. 3.7, N(<i) = 46 x 10**(0.31 (i - 25)).
    H: Yan et al. 1998 (ApJ 503, L19), slope 0.31 fainter than H = 20 and 4e5 per deg^2 to
    H = 24.75, taken as Vega and moved to AB by 1.39. NaN where they give no count.
    """
    total, at, brightest = {"i": (46.0, 25.0, 20.5), "H": (4e5 / 3600, 24.75 + 1.39, 20 + 1.39)}[band]
    counts = total * 10 ** (0.31 * (mag - at)) * 0.31 * np.log(10)
    return np.where(mag > brightest, counts, np.nan)


EXPECTED_TO_VIS_24_5 = 30.0
"""Galaxies per arcmin^2 brighter than VIS 24.5 (Laureijs et al. 2011, arXiv:1110.3193)."""


def plot_counts(path: Path, vis_limit: float, rng: np.random.Generator) -> tuple[Path, dict[str, Any]]:
    """Number counts of the underlying population in i, VIS and H against published ones."""
    n = 150_000
    t = draw_parent(n, rng)
    bulge, disc = galaxy_fluxes(t, galaxy_table())
    mag = abmag_from_ujy(bulge + disc)
    edges = np.arange(18.0, vis_limit + 0.51, 0.5)
    middle = edges[:-1] + 0.25
    figure, axes = _new(1, 2, 8, 3.6)
    ratios: dict[str, Any] = {}
    for ax, bands, label in ((axes[0, 0], ("i", "VIS"), "i"), (axes[0, 1], ("H",), "H")):
        for b in bands:
            h = np.histogram(mag[:, SED_BANDS.index(b)], edges)[0] * parent_density() / n / 0.5
            ax.semilogy(middle, h, marker="o", ms=3, lw=1, label=f"mock {b}")
        inside = (middle < 24.6) & np.isfinite(published_counts(middle, label))
        ref = published_counts(middle[inside], label)
        source = {"i": "LSST Science Book (i)", "H": "Yan et al. 1998 (H)"}[label]
        ax.semilogy(middle[inside], ref, "k--", lw=1.2, label=source)
        ax.set(
            xlabel="magnitude (AB)",
            ylabel="galaxies / arcmin$^2$ / mag",
            title=f"counts, {' and '.join(bands)}",
        )
        ax.legend(frameon=False)
        mock = np.histogram(mag[:, SED_BANDS.index(label)], edges)[0] * parent_density() / n / 0.5
        ratios[label] = {
            f"{m:.2f}": float(r) for m, r in zip(middle[inside], mock[inside] / ref, strict=True)
        }
    to_24_5 = float((mag[:, SED_BANDS.index("VIS")] < 24.5).mean() * parent_density())
    note = f"to VIS 24.5: {to_24_5:.0f} / arcmin$^2$\n(Laureijs et al. 2011: {EXPECTED_TO_VIS_24_5:.0f})"
    axes[0, 0].text(0.97, 0.42, note, transform=axes[0, 0].transAxes, ha="right", fontsize=8)
    expected = {"mock": to_24_5, "expected": EXPECTED_TO_VIS_24_5}
    return _save(figure, path), {"mock_over_published_counts": ratios, "galaxies_to_vis_24_5": expected}


def plot_redshifts(
    path: Path, truth: Table, zcosmos: tuple[Sample, Sample] | None, rng: np.random.Generator
) -> Path:
    """n(z) of the sky and of a flux-limited mock against zCOSMOS, and colours with redshift."""
    figure, axes = _new(1, 3, 11, 3.4)
    galaxy = truth["kind"] == "galaxy"
    z = truth["z"][galaxy]
    _redshift_panel(axes[0, 0], z, None if zcosmos is None else zcosmos[0]["z"], rng)
    if zcosmos is None:
        mag = abmag_from_ujy(np.column_stack([truth[f"flux_{b}"][galaxy] for b in ("r", "z", "H")]))
        for k, name in enumerate(("r - z", "z - H")):
            axes[0, 1 + k].plot(z, mag[:, k] - mag[:, k + 1], ".", ms=2)
            axes[0, 1 + k].set(xlabel="z", ylabel=name)
        return _save(figure, path)
    for ax, name in ((axes[0, 1], "r-i"), (axes[0, 2], "u-V")):
        for s, colour, label in ((zcosmos[0], "k", "zCOSMOS"), (zcosmos[1], "#c44e52", "mock")):
            bins = np.arange(0.1, 1.15, 0.1)
            lines = np.array([np.percentile(s[name][np.abs(s["z"] - b) < 0.05], (16, 50, 84)) for b in bins])
            ax.plot(bins, lines[:, 1], color=colour, label=label)
            ax.fill_between(bins, lines[:, 0], lines[:, 2], color=colour, alpha=0.15)
        ax.set(xlabel="z", ylabel=name, title=f"{name} with redshift (16, 50, 84%)")
        ax.legend(frameon=False)
    return _save(figure, path)


def _redshift_panel(ax: Any, z: np.ndarray, zcosmos: np.ndarray | None, rng: np.random.Generator) -> None:
    """n(z) of the catalogue, of a mock with i < 22.5, of zCOSMOS, and of the LSST Science Book."""
    ax.hist(z, np.arange(0, 2.3, 0.05), density=True, color="#c9d6ea", label="this sky's catalogue")
    t = draw_parent(120_000, rng)
    bulge, disc = galaxy_fluxes(t, galaxy_table())
    i = abmag_from_ujy(bulge + disc)[:, SED_BANDS.index("i")]
    step: dict[str, Any] = {"bins": np.arange(0, 1.5, 0.05), "density": True, "histtype": "step"}
    ax.hist(t["z"][i < 22.5], color="#c44e52", label="mock, i < 22.5", **step)
    if zcosmos is not None:
        ax.hist(zcosmos, color="k", label="zCOSMOS, i < 22.5", **step)
    grid = np.linspace(0, 1.5, 100)
    z0 = 0.0417 * 22.5 - 0.744
    book = grid**2 * np.exp(-grid / z0) / (2 * z0**3)
    ax.plot(grid, book, "k:", lw=1, label="LSST Science Book, i < 22.5")
    ax.set(xlabel="z", ylabel="n(z)", title="redshifts", xlim=(0, 2))
    ax.legend(frameon=False, fontsize=7)


def plot_planes(path: Path, truth: Table, photometry: Table, bands: tuple[str, ...]) -> Path:
    """Size-magnitude, star/galaxy separation and colour-colour planes of the sky's catalogue."""
    figure, axes = _new(1, 4, 14, 3.5)
    mag = {b: abmag_from_ujy(truth[f"flux_{b}"]) for b in bands}
    g, r, z = bands[1], bands[2], bands[4]
    for kind, colour in _KINDS.items():
        s = truth["kind"] == kind
        style = {"ls": "", "marker": ".", "ms": 2.5, "color": colour, "alpha": 0.6, "label": kind}
        if kind == "galaxy":
            axes[0, 0].plot(mag["VIS"][s], truth["re_arcsec"][s], **style)
        axes[0, 1].plot(mag["VIS"][s], photometry["MUMAX_MINUS_MAG"][s], **style)
        if kind != "artefact":
            axes[0, 2].plot((mag[g] - mag[r])[s], (mag[r] - mag[z])[s], **style)
            axes[0, 3].plot((mag[g] - mag["VIS"])[s], (mag["Y"] - mag["H"])[s], **style)
    axes[0, 0].set(
        yscale="log", xlabel="VIS", ylabel="half-light radius [arcsec]", title="sizes", xlim=(16, 25.5)
    )
    axes[0, 1].set(
        xlabel="VIS", ylabel="MUMAX_MINUS_MAG", title="star/galaxy plane", xlim=(16, 25.5), ylim=(-4, 3)
    )
    axes[0, 1].axhline(-2.6, color="k", lw=0.7, ls=":")
    axes[0, 2].set(
        xlabel="g - r",
        ylabel="r - z",
        title="stellar locus (true colours)",
        xlim=(-0.8, 2.5),
        ylim=(-0.8, 3.2),
    )
    axes[0, 3].set(xlabel="g - VIS", ylabel="Y - H", title="the same with NISP", xlim=(-1, 3.5), ylim=(-1, 2))
    for ax in axes[0, 1:]:
        ax.legend(frameon=False, markerscale=4, fontsize=7)
    return _save(figure, path)


def plot_overlay(
    path: Path, title: str, real: Sample, mock: Sample, scores: dict[str, dict[str, float]]
) -> Path:
    """Histograms of every column, real and mock, with the Kolmogorov-Smirnov distance."""
    n = len(real.names)
    figure, axes = _new(1, n, 2.1 * n, 2.4)
    for ax, name in zip(axes[0], real.names, strict=True):
        low, high = np.percentile(real[name], (0.5, 99.5))
        edges = np.linspace(low, high, 40)
        ax.hist(real[name], edges, density=True, histtype="step", color="k", label="real")
        ax.hist(mock[name], edges, density=True, histtype="step", color="#c44e52", label="mock")
        ax.set(title=f"{name}: KS {scores[name]['ks']:.2f}", yticks=[])
    axes[0, 0].legend(frameon=False, fontsize=7)
    figure.suptitle(title, fontsize=9)
    return _save(figure, path)


def colour_composite(cut: dict[str, np.ndarray], soft: float = 0.006) -> np.ndarray:
    """VIS-Y-H as blue-green-red on a common arcsinh (Lupton et al. 2004).

    Parameters
    ----------
    cut : dict
        Stamps in µJy per pixel; Y and H are divided by factors that make a galaxy of mean colour grey.
    soft : float
        Surface brightness, µJy per pixel, at which the scale turns from linear to logarithmic.
    """
    scaled = np.stack([cut[b] / (weight * soft) for b, weight in (("H", 2.4), ("Y", 1.7), ("VIS", 1.0))], -1)
    total = np.maximum(scaled.mean(-1, keepdims=True), 1e-3)
    return np.clip(scaled / total * np.arcsinh(total) / np.arcsinh(40.0) + 0.04, 0, 1)


def contact_sheet(
    path: Path,
    images: dict[str, dict[str, np.ndarray]],
    truth: Table,
    positions: np.ndarray,
    noise: dict[str, float],
    columns: int = 8,
    half: int = 32,
) -> Path:
    """Cutouts of bright objects of every subtype, in VIS and in colour.

    Parameters
    ----------
    images : dict
        Band images in µJy per pixel by tile.
    truth : Table
    positions : array of shape ``(objects, 2)``
        x, y in the tile's mosaic.
    noise : dict
        Scatter of sky pixels by band.
    """
    rng = np.random.default_rng(0)
    classes = sorted(
        set(truth["subtype"]), key=lambda c: (str(truth["kind"][truth["subtype"] == c][0]) != "galaxy", c)
    )
    figure, axes = _new(len(classes), 2 * columns, 2 * columns * 0.62, len(classes) * 0.72)
    for ax in axes.ravel():
        ax.set_axis_off()
    for row, name in zip(axes, classes, strict=True):
        members = np.flatnonzero(truth["subtype"] == name)
        bright = members[np.argsort(-truth["flux_VIS"][members])][: max(columns, len(members) // 3)]
        row[0].set_title(name.replace("_", " "), fontsize=7, loc="left", pad=1.5)
        for k, i in enumerate(rng.permutation(bright)[:columns]):
            x, y = np.round(positions[i]).astype(int)
            cut = {
                b: np.pad(images[truth["tile"][i]][b], half)[y : y + 2 * half, x : x + 2 * half]
                for b in EUCLID_BANDS
            }
            row[2 * k].imshow(
                np.arcsinh(cut["VIS"] / (2 * noise["VIS"])), cmap="gray", vmin=-1, vmax=4.5, origin="lower"
            )
            row[2 * k + 1].imshow(colour_composite(cut), origin="lower")
    return _save(figure, path)
