"""What a detection pipeline measures on a source's VIS stamp.

Sizes, shapes, point-likeness and the non-parametric morphology, from the rendered source
plus the noise at its position in the mosaic, without its neighbours.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from euclidfm.core.bands import PIXEL_ARCSEC
from euclidfm.core.units import abmag_from_ujy

__all__ = ["measure"]


def measure(image: np.ndarray, sigma: float, fwhm_arcsec: float) -> dict[str, float]:
    """Measure a source at the centre of a stamp.

    Parameters
    ----------
    image : array of shape ``(size, size)``
        µJy per pixel, background zero.
    sigma : float
        Standard deviation of a sky pixel, µJy.
    fwhm_arcsec : float
        Width of the PSF.

    Returns
    -------
    dict
        Columns of the catalogues (see ``docs/sky-files.md``); fluxes in µJy.

    Notes
    -----
    Segmentation: pixels above 1.5 sigma of the image smoothed by one pixel, connected to
    the centre. Concentration, asymmetry and smoothness: Conselice 2003 (ApJS 147, 1);
    Gini and M20: Lotz, Primack & Madau 2004 (AJ 128, 163).
    """
    size = image.shape[0]
    c = size // 2
    y, x = np.mgrid[:size, :size].astype(np.float32) - c
    smooth = ndimage.gaussian_filter(image, 1.0)
    seg = _segment(smooth, sigma, x, y)
    w = np.where(seg, np.maximum(image, 0.0), 0.0)
    total = max(float(w.sum()), 1e-9)
    xm, ym = float((w * x).sum()) / total, float((w * y).sum()) / total
    dx, dy = x - xm, y - ym
    r = np.hypot(dx, dy)
    r20, r50, r80 = _light_radii(image[seg], r[seg])
    fwhm = fwhm_arcsec / PIXEL_ARCSEC
    peak = max(float(image[c - 3 : c + 4, c - 3 : c + 4].max()), 1e-6)
    mu_max = abmag_from_ujy(peak / PIXEL_ARCSEC**2)
    out = {
        "SEGMENTATION_AREA": float(seg.sum()),
        **_ellipse(w, dx, dy, total),
        "KRON_RADIUS": float(np.clip(2.5 * (w * r).sum() / total, 3.5, size / 2)),
        "FWHM": float(2 * max(r50, 0.6 * fwhm / 1.2) * PIXEL_ARCSEC),
        "MU_MAX": float(mu_max),
        "MUMAX_MINUS_MAG": float(mu_max - abmag_from_ujy(total)),
        "CONCENTRATION": float(5 * np.log10(max(r80, 0.5) / max(r20, 0.3))),
        "SEG_FLUX": total,
        "R50": r50 * PIXEL_ARCSEC,
    }
    distance = np.hypot(x, y)
    for k in (1, 2, 3, 4):
        disc = np.clip(k * fwhm / 2 + 0.5 - distance, 0, 1)
        out[f"FLUX_VIS_{k}FWHM_APER"] = float((image * disc).sum())
        out[f"FLUXERR_VIS_{k}FWHM_APER"] = float(sigma * np.sqrt((disc**2).sum()))
    return out | _structure(image, smooth, seg, sigma, dx, dy)


def _segment(smooth: np.ndarray, sigma: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pixels of the source: above the threshold and connected to the centre, else a disc of 3 pixels."""
    c = smooth.shape[0] // 2
    labels, _ = ndimage.label(smooth > 1.5 * sigma * 0.5)
    central = int(labels[c - 2 : c + 3, c - 2 : c + 3].max())
    return np.asarray(labels == central if central else np.hypot(x, y) < 3.0)


def _light_radii(light: np.ndarray, r: np.ndarray) -> tuple[float, float, float]:
    """Radii, pixels, that hold 20, 50 and 80% of the light of the segment."""
    order = np.argsort(r)
    cumulative = np.cumsum(light[order])
    grown = np.maximum.accumulate(cumulative)
    at = [int(np.clip(np.searchsorted(grown, f * cumulative[-1]), 0, r.size - 1)) for f in (0.2, 0.5, 0.8)]
    r20, r50, r80 = (float(r[order][i]) for i in at)
    return r20, r50, r80


def _ellipse(w: np.ndarray, dx: np.ndarray, dy: np.ndarray, total: float) -> dict[str, float]:
    """Semi-major axis (pixels), position angle (degrees) and ellipticity from the second moments."""
    xx, yy, xy = (float((w * a).sum()) / total for a in (dx * dx, dy * dy, dx * dy))
    root = np.hypot((xx - yy) / 2, xy)
    a, b = np.sqrt(max((xx + yy) / 2 + root, 0.25)), np.sqrt(max((xx + yy) / 2 - root, 0.1))
    return {
        "SEMIMAJOR_AXIS": float(a),
        "POSITION_ANGLE": float(np.degrees(0.5 * np.arctan2(2 * xy, xx - yy))),
        "ELLIPTICITY": float(1 - b / a),
    }


def _structure(
    image: np.ndarray, smooth: np.ndarray, seg: np.ndarray, sigma: float, dx: np.ndarray, dy: np.ndarray
) -> dict[str, float]:
    """Asymmetry, smoothness, Gini coefficient and M20."""
    n = float(seg.sum())
    f = np.abs(image[seg])
    total = max(float(f.sum()), 1e-9)
    sky = 0.6 * n * sigma
    rotated = image[::-1, ::-1]
    if image.shape[0] % 2 == 0:
        rotated = np.roll(rotated, (1, 1), (0, 1))
    asymmetry = float(np.abs(image - rotated)[seg].sum() - 1.41 * 1.33 * sky) / (2 * total)
    clumpy = float(np.abs(image - smooth)[seg].sum() - 1.2 * sky) / total
    ordered = np.sort(f)
    k = np.arange(1, ordered.size + 1)
    gini = float(((2 * k - ordered.size - 1) * ordered).sum() / (total * max(ordered.size - 1, 1)))
    moment = (f * (dx[seg] ** 2 + dy[seg] ** 2))[np.argsort(-f)]
    bright = np.cumsum(np.sort(f)[::-1]) < 0.2 * total
    m20 = float(np.log10(max(moment[bright].sum(), moment[0], 1e-9) / max(moment.sum(), 1e-9)))
    return {"ASYMMETRY": asymmetry, "SMOOTHNESS": clumpy, "GINI": gini, "MOMENT_20": m20}
