"""SEDs from the photometry catalogue, in microjansky.

The total flux that keeps the colours is the template-fit flux, measured at matched resolution,
scaled by what the detection image holds beyond the same fit in VIS::

    F_b = FLUX_b_TEMPLFIT * FLUX_DETECTION_TOTAL / FLUX_VIS_TO_b_TEMPLFIT

(Euclid Collaboration: Romelli et al. 2025). Errors are scaled by the same factor: the factor is
common to the bands of an object to first order, so it does not blur its colours.
"""

from __future__ import annotations

import numpy as np

from euclidfm.core.bands import Band, band
from euclidfm.core.errors import InputError
from euclidfm.core.units import abmag_from_ujy
from euclidfm.ingest.catalogue.formats import Table

__all__ = ["GALACTIC_RV", "catalogue_sed", "extinction", "sed_columns", "vis_magnitude"]

GALACTIC_RV = 3.1
"""Ratio of total to selective extinction of the diffuse Milky Way."""


def sed_columns(bands: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """Catalogue columns (canonical names) that the SED of these bands needs.

    Raises
    ------
    InputError
        If the MER catalogue has no column for a band.
    """
    columns = [
        "vis_det",
        "flux_detection_total",
        "fluxerr_detection_total",
        "flux_vis_psf",
        "fluxerr_vis_psf",
    ]
    for name in bands:
        stem = band(name).column
        if not stem:
            msg = f"band {name} is not in the MER catalogue; leave it out of sed_bands"
            raise InputError(msg)
        if kind.startswith("aper"):
            columns += [f"{f}_{stem}_{kind[-1]}fwhm_aper" for f in ("flux", "fluxerr")]
        elif name != "VIS":
            columns += [f"flux_{stem}_templfit", f"fluxerr_{stem}_templfit"]
            columns += [f"flux_vis_to_{stem}_templfit"] if kind == "total" else []
    return tuple(dict.fromkeys(columns))


def vis_magnitude(t: Table) -> np.ndarray:
    """AB magnitude of the total VIS flux; NaN where it is not positive."""
    return abmag_from_ujy(_vis_total(t)[0])


def _vis_total(t: Table) -> tuple[np.ndarray, np.ndarray]:
    """Total flux in VIS: of the detection image, or PSF flux for an object that VIS did not detect."""
    detected = t["vis_det"] == 1
    flux = np.where(detected, t["flux_detection_total"], t["flux_vis_psf"])
    error = np.where(detected, t["fluxerr_detection_total"], t["fluxerr_vis_psf"])
    return flux.astype(float), error.astype(float)


def catalogue_sed(t: Table, bands: tuple[str, ...], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Fluxes and errors of catalogue objects.

    Parameters
    ----------
    t : dict of (N,) arrays
        With the columns of `sed_columns`.
    bands : tuple of K names
    kind : {"total", "templfit", "aper1", ..., "aper4"}

    Returns
    -------
    flux, fluxerr : (N, K) float64, µJy
        NaN = not measured; negative fluxes are kept.
    """
    pairs = [_one_band(t, name, kind) for name in bands]
    flux = np.stack([f for f, _ in pairs], axis=1) if pairs else np.zeros((len(t["object_id"]), 0))
    error = np.stack([e for _, e in pairs], axis=1) if pairs else flux.copy()
    error[~(error > 0)] = np.nan
    flux[~np.isfinite(flux)] = np.nan
    error[~np.isfinite(flux)] = np.nan
    return flux, error


def _one_band(t: Table, name: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    stem = band(name).column
    if kind.startswith("aper"):
        what = f"{stem}_{kind[-1]}fwhm_aper"
        return t[f"flux_{what}"].astype(float), t[f"fluxerr_{what}"].astype(float)
    if name == "VIS":
        return _vis_total(t)
    flux, error = t[f"flux_{stem}_templfit"].astype(float), t[f"fluxerr_{stem}_templfit"].astype(float)
    if kind == "templfit":
        return flux, error
    detected = t["vis_det"] == 1
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = t["flux_detection_total"] / t[f"flux_vis_to_{stem}_templfit"].astype(float)
    # Without a VIS detection there is no VIS template to scale by: the fit itself is the best flux.
    factor = np.where(detected, np.where(factor > 0, factor, np.nan), 1.0)
    return flux * factor, error * factor


def extinction(b: Band) -> float:
    """A(band) / E(B-V) of Milky Way dust at the band's effective wavelength.

    Cardelli, Clayton & Mathis 1989 (ApJ 345, 245), equations 2 and 3, R_V = 3.1; 0.3 to 3.3 µm.
    Outside that range NaN.
    """
    x = 1000.0 / b.wavelength_nm
    if 0.3 <= x < 1.1:
        a, c = 0.574 * x**1.61, -0.527 * x**1.61
    elif 1.1 <= x <= 3.3:
        y = x - 1.82
        a = np.polyval([0.32999, -0.77530, 0.01979, 0.72085, -0.02427, -0.50447, 0.17699, 1.0], y)
        c = np.polyval([-2.09002, 5.30260, -0.62251, -5.38434, 1.07233, 2.28305, 1.41338, 0.0], y)
    else:
        return float("nan")
    return float(a * GALACTIC_RV + c)
