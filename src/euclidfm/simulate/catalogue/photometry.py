"""Rows of the photometric catalogue."""

from __future__ import annotations

import numpy as np

from euclidfm.core.bands import BANDS, SED_BANDS
from euclidfm.core.units import ujy_from_abmag
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.images.noise import NO_DATA
from euclidfm.simulate.images.stamp import FLAG_BITS
from euclidfm.simulate.tile import Source, Tile

__all__ = ["Row", "photometry_row"]

Row = dict[str, object]
"""A row of a table by column."""

VIS = SED_BANDS.index("VIS")

FLOOR = 0.02
"""Relative photometric error at any depth (calibration, template mismatch)."""

MEASURED = (
    "MUMAX_MINUS_MAG",
    "MU_MAX",
    "SEMIMAJOR_AXIS",
    "KRON_RADIUS",
    "FWHM",
    "POSITION_ANGLE",
    "ELLIPTICITY",
)
"""Columns taken from the measurement as they are."""


def photometry_row(cfg: SkyConfig, tile: Tile, s: Source, rng: np.random.Generator) -> Row:
    """Columns of the photometric catalogue (see ``docs/sky-files.md``); fluxes in µJy."""
    m = s.measured
    size = tile.image["VIS"].shape[0]
    ix, iy = (int(np.clip(round(v), 0, size - 1)) for v in (s.x, s.y))
    vis = float(s.flux[VIS])
    row = _detection(s, bool(tile.flag["VIS"][iy, ix] & FLAG_BITS["saturated"]), rng)
    row["GAL_EBV"] = float(0.012 + 0.004 * np.sin(s.x / size * 3) + 0.001 * rng.standard_normal())
    kron = np.sqrt(m["SEGMENTATION_AREA"]) * BANDS["VIS"].pixel_rms_ujy * cfg.conditions.noise
    total = 0.95 * vis if row["VIS_DET"] else vis
    row |= _noisy("DETECTION_TOTAL", total, float(np.hypot(kron, 0.01 * vis)), rng)
    row |= _noisy("VIS_PSF", m["FLUX_VIS_1FWHM_APER"] * 1.9, m["FLUXERR_VIS_1FWHM_APER"] * 1.9, rng)
    for k in (1, 2, 3, 4):
        row |= {c: m[c] for c in (f"FLUX_VIS_{k}FWHM_APER", f"FLUXERR_VIS_{k}FWHM_APER")}
    for i, name in enumerate(cfg.sed_bands):
        if name == "VIS":
            continue
        b = BANDS[name]
        column = b.column.upper()
        sigma = float(ujy_from_abmag(b.depth_mag)) / 5 * cfg.conditions.noise
        seeing = b.psf_fwhm_arcsec if np.isfinite(b.psf_fwhm_arcsec) else 0.9
        sigma *= np.sqrt(1 + (m["R50"] / (0.6 * seeing)) ** 2)
        captured = 0.92 * float(s.flux[i])
        row |= _noisy(f"{column}_TEMPLFIT", captured, float(np.hypot(sigma, FLOOR * captured)), rng)
        error = float(np.hypot(0.5 * kron, 0.005 * vis))
        row |= _noisy(f"VIS_TO_{column}_TEMPLFIT", 0.92 * vis, error, rng)
        if name in tile.rms:
            lost = bool(tile.rms[name][iy, ix] >= NO_DATA / 10)
        else:
            lost = rng.random() < cfg.missing_band_fraction
        if lost:
            for stem in (f"{column}_TEMPLFIT", f"VIS_TO_{column}_TEMPLFIT"):
                row[f"FLUX_{stem}"] = row[f"FLUXERR_{stem}"] = float("nan")
    return row


def _detection(s: Source, saturated: bool, rng: np.random.Generator) -> Row:
    """Columns of the detection: flags, point-likeness, size and shape."""
    m = s.measured
    row: Row = {}
    point = 1 / (1 + np.exp((m["MUMAX_MINUS_MAG"] + 2.55) / 0.06))
    vis_det = m["SEG_FLUX"] > 8e-2 and float(s.flux[VIS]) > 1e-3
    row["VIS_DET"] = int(vis_det)
    spurious = float(rng.beta(3, 3) if s.kind == "artefact" else rng.beta(1, 12))
    row["SPURIOUS_PROB"], row["SPURIOUS_FLAG"] = spurious, int(spurious > 0.62)
    row["DET_QUALITY_FLAG"] = int(saturated) * 4
    row["POINT_LIKE_PROB"] = (
        float(np.clip(point + 0.02 * rng.standard_normal(), 0, 1)) if vis_det else float("nan")
    )
    row |= {name: m[name] for name in MEASURED}
    row["SEGMENTATION_AREA"] = int(m["SEGMENTATION_AREA"])
    return row


def _noisy(name: str, flux: float, error: float, rng: np.random.Generator) -> Row:
    """A flux with Gaussian noise, and its error."""
    return {f"FLUX_{name}": float(flux + error * rng.standard_normal()), f"FLUXERR_{name}": float(error)}
