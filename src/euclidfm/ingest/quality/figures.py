"""Figures of the quality report, as base64 PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from euclidfm.core.units import abmag_from_ujy
from euclidfm.store.reader import GalaxyStore
from euclidfm.store.splits import SPLITS

__all__ = ["asinh_stretch", "figures"]

_COLOURS = {"train": "#3b6fb6", "validation": "#e0a030", "test": "#c0413b"}
_STAMPS = 8
_POINTS = 20000
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a94a0",
    "axes.labelcolor": "#1b2430",
    "figure.dpi": 110,
}


def figures(store: GalaxyStore) -> Iterator[tuple[str, str, str]]:
    """Heading, caption and picture of each figure that the store has the data for."""
    import matplotlib

    matplotlib.use("Agg")
    with matplotlib.rc_context(_STYLE):
        caption, figure = _sky(store)
        yield "Sky", caption, _png(figure)
        if store.info.image_bands:
            caption, figure = _cutouts(store)
            yield "Cutouts", caption, _png(figure)
        if store.info.sed_names:
            yield (
                "Magnitudes",
                "Distribution of the AB magnitude in each band; the extreme 2% may lie outside.",
                _png(_magnitudes(store)),
            )
            if len(store.info.sed_names) > 1:
                yield (
                    "Colours",
                    "Differences of neighbouring bands, by wavelength; the extreme 2% may lie outside.",
                    _png(_colours(store)),
                )
        if "flag_masked_fraction" in store.info.names() and store.info.image_bands:
            caption = "Share of masked pixels of each galaxy, over the bands that have an image."
            yield "Masked pixels", caption, _png(_masked(store))


def _png(figure: Any) -> str:
    out = io.BytesIO()
    figure.savefig(out, format="png", bbox_inches="tight", metadata={"Software": None})
    return base64.b64encode(out.getvalue()).decode()


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Any, np.ndarray]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _sky(store: GalaxyStore) -> tuple[str, Any]:
    """Positions, by split; for a store without positions, the counts of the splits."""
    ra, dec, split = (store.column(c) for c in ("ra", "dec", "split"))
    placed = np.isfinite(ra) & np.isfinite(dec)
    figure, axes = _figure(1, 1, 9.0, 4.2)
    ax = axes[0, 0]
    if not placed.any():
        ax.barh(SPLITS, [(split == s).sum() for s in SPLITS], color=[_COLOURS[s] for s in SPLITS])
        ax.set_xlabel("galaxies")
        return "The table has no positions; its splits go by a hash of the id.", figure
    centre = ra[placed][0]
    x = (ra - centre + 180.0) % 360.0 - 180.0 + centre
    if np.ptp(x[placed]) > 90.0:  # several fields
        x = ra
    rows = np.flatnonzero(placed)
    rows = rows[:: max(1, len(rows) // _POINTS)]
    size = float(np.clip(150.0 / np.sqrt(len(rows)), 2.5, 10.0))
    for s in SPLITS:
        of_split = rows[split[rows] == s]
        if len(of_split):
            label = f"{s} ({(split == s).sum()})"
            ax.plot(
                x[of_split], dec[of_split], ".", ms=size, mew=0, color=_COLOURS[s], label=label, alpha=0.7
            )
    ax.invert_xaxis()
    ax.set_aspect(1.0 / max(np.cos(np.radians(np.median(dec[placed]))), 0.05), adjustable="datalim")
    ax.xaxis.set_major_formatter(lambda v, _: f"{v % 360.0:.6g}")
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.set_xlabel("right ascension [deg]")
    ax.set_ylabel("declination [deg]")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=8.0 / size)
    return "Positions by split: whole HEALPix pixels, so that neighbours stay together.", figure


def asinh_stretch(image: np.ndarray, noise: float, top: float) -> np.ndarray:
    """Stretch to [0, 1]: linear within the noise, logarithmic to `top` (µJy per pixel)."""
    soft = 2.0 * noise
    low, high = np.arcsinh(-1.0), np.arcsinh(max(top, soft) / soft)
    return np.clip((np.arcsinh(image / soft) - low) / (high - low), 0.0, 1.0)


def _examples(store: GalaxyStore) -> np.ndarray:
    """Rows of a few galaxies across the range of brightness, from bright to faint."""
    names = [b for b in ("VIS", *store.info.sed_names) if b in store.info.sed_names]
    flux = store.column(f"flux_{names[0]}") if names else np.arange(len(store), dtype=float)
    order = np.argsort(-np.nan_to_num(flux, nan=-np.inf), kind="stable")
    if len(order) <= _STAMPS:
        return order
    return order[np.unique(np.linspace(0.005, 0.98, _STAMPS) * (len(order) - 1)).astype(int)]


def _cutouts(store: GalaxyStore) -> tuple[str, Any]:
    """A column a galaxy, a row a band; masked pixels in red."""
    rows = _examples(store)
    galaxies, bands = store.read(rows), store.info.image_bands
    figure, axes = _figure(len(bands), len(rows), 1.25 * len(rows) + 0.4, 1.25 * len(bands) + 0.35)
    for j in range(len(rows)):
        for i, b in enumerate(bands):
            ax = axes[i, j]
            ax.set_xticks([])
            ax.set_yticks([])
            for spine in ax.spines.values():
                spine.set_visible(False)
            image, mask = galaxies.images[b][j], galaxies.masks[b][j]
            noise = float(galaxies.noise[b][j])
            noise = noise if np.isfinite(noise) and noise > 0 else float(image.std()) or 1.0
            grey = asinh_stretch(image, noise, float(np.percentile(image, 99.7)))
            rgb = np.repeat(grey[..., None], 3, axis=2)
            rgb[mask] = (0.75, 0.25, 0.23)
            ax.imshow(rgb, origin="lower", interpolation="nearest")
            if j == 0:
                ax.set_ylabel(b)
            if i == 0:
                ax.set_title(_title(galaxies, j), fontsize=7)
    caption = (
        "From bright to faint; asinh stretch, each image to its own peak; masked or absent pixels in red."
    )
    return caption, figure


def _title(galaxies: Any, j: int) -> str:
    name = f"{galaxies.ra[j]:.4f} {galaxies.dec[j]:+.4f}"
    if "VIS" in galaxies.sed_bands:
        mag = float(abmag_from_ujy(galaxies.flux[j, galaxies.sed_bands.index("VIS")]))
        name += f"\nVIS {mag:.2f}" if np.isfinite(mag) else ""
    return name


def _ordered(store: GalaxyStore) -> list[str]:
    return [b.name for b in sorted(store.info.sed_bands, key=lambda b: b.wavelength_nm)]


def _mag(store: GalaxyStore, b: str) -> np.ndarray:
    return abmag_from_ujy(store.column(f"flux_{b}"))


def _magnitudes(store: GalaxyStore) -> Any:
    names = [b for b in _ordered(store) if np.isfinite(_mag(store, b)).any()]
    return _histograms([(b, _mag(store, b)) for b in names], "AB mag")


def _colours(store: GalaxyStore) -> Any:
    names = _ordered(store)
    pairs = [(f"{a} - {b}", _mag(store, a) - _mag(store, b)) for a, b in pairwise(names)]
    return _histograms([(n, v) for n, v in pairs if np.isfinite(v).any()], "mag")


def _histograms(columns: list[tuple[str, np.ndarray]], unit: str) -> Any:
    across = min(6, max(len(columns), 1))
    down = max(1, -(-len(columns) // across))
    figure, axes = _figure(down, across, 9.6, 1.75 * down)
    for ax in axes.ravel()[len(columns) :]:
        ax.set_axis_off()
    for ax, (name, values) in zip(axes.ravel(), columns, strict=False):
        known = values[np.isfinite(values)]
        low, high = np.percentile(known, [2.0, 98.0])  # otherwise a few artefacts would set the range
        pad = max(0.25 * (high - low), 0.5 - 0.5 * (high - low))
        ax.hist(known, bins=30, range=(low - pad, high + pad), color="#3b6fb6")
        ax.set_title(name, fontsize=9)
        ax.set_yticks([])
        ax.locator_params(axis="x", nbins=4)
        ax.margins(x=0.02)
        ax.set_xlabel(unit)
    return figure


def _masked(store: GalaxyStore) -> Any:
    figure, axes = _figure(1, 1, 6.0, 2.4)
    values = store.column("flag_masked_fraction")
    axes[0, 0].hist(values, bins=40, range=(0, 1), color="#3b6fb6", log=len(values) > 50)
    axes[0, 0].set_xlabel("masked share")
    axes[0, 0].set_ylabel("galaxies")
    if len(values) <= 50:
        axes[0, 0].yaxis.get_major_locator().set_params(integer=True)
    return figure
