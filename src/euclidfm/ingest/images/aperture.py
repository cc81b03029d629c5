"""Aperture photometry on a cutout, with colours at the resolution of VIS."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve

from euclidfm.core.apertures import aperture_weights

__all__ = ["aperture_flux", "captured_fraction"]

MAX_MASKED = 0.2
"""Largest masked fraction of the aperture that is made up for by scaling."""

MIN_SIGNAL_TO_NOISE = 10.0
"""Below this in VIS, the object's own profile is too noisy: a point source's correction is used."""


def aperture_flux(
    image: np.ndarray,
    rms: np.ndarray,
    mask: np.ndarray,
    weights: np.ndarray,
    area: float | None = None,
) -> tuple[float, float]:
    """Flux and error within an aperture; NaN if more than a fifth of it is masked or beyond the image.

    Parameters
    ----------
    image, rms : (ny, nx), same unit
        Pixels are taken as independent with this RMS, which is how the MER RMS maps are calibrated
        (resampling correlates neighbours and lowers the scatter of single pixels).
    mask : (ny, nx) bool
    weights : (ny, nx)
        Of `aperture_weights`.
    area : float, optional
        Pixels of the whole aperture, which may reach beyond the image.
    """
    total, good = weights.sum(), weights[~mask].sum()
    total = total if area is None or area <= total * (1 + 1e-6) else area
    if total <= 0 or good < (1 - MAX_MASKED) * total:
        return float("nan"), float("nan")
    use = np.where(mask, 0.0, weights)
    scale = total / good
    flux = float((use * np.where(mask, 0.0, image)).sum() * scale)
    error = float(np.sqrt((use**2 * np.where(mask, 0.0, rms) ** 2).sum()) * scale)
    return flux, error if error > 0 else float("nan")


def captured_fraction(
    vis: np.ndarray, vis_mask: np.ndarray, weights: np.ndarray, psf: np.ndarray | None, signal_to_noise: float
) -> float:
    """Fraction of the VIS aperture flux that another band's PSF leaves in the aperture.

    The VIS image shows the object at nearly full resolution. Convolved with the band's PSF, it loses
    from the aperture what the band's own image has lost (MER's ``FLUX_VIS_TO_b`` works likewise). Where
    VIS is below `MIN_SIGNAL_TO_NOISE`, the fraction of a point source is used instead.

    Parameters
    ----------
    vis : (ny, nx)
    vis_mask : (ny, nx) bool
    weights : (ny, nx)
    psf : (k, k), optional
    signal_to_noise : float
        Of the VIS aperture flux.

    Returns
    -------
    float
        Fraction between 0.3 and 1.2; 1 without a PSF.
    """
    if psf is None or not np.isfinite(psf).all() or psf.sum() <= 0:
        return 1.0
    kernel = psf / psf.sum()
    if signal_to_noise >= MIN_SIGNAL_TO_NOISE:
        sharp = np.where(vis_mask, 0.0, vis)
        share = float((weights * fftconvolve(sharp, kernel, mode="same")).sum() / (weights * sharp).sum())
    else:
        c = (np.array(psf.shape) - 1) / 2
        radius = np.sqrt(weights.sum() / np.pi)
        share = float((kernel * aperture_weights(psf.shape, c[1], c[0], radius)).sum())
    return float(np.clip(share, 0.3, 1.2))
