"""Simulate a shallower survey or a larger distance: fainter galaxies, more noise.

The added noise is Gaussian and independent between pixels. Resampled mosaics have correlated noise, so
real images are slightly smoother at the same RMS.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from euclidfm.store.schema import Galaxies

__all__ = ["dimmer", "noisier"]


def noisier(galaxies: Galaxies, factor: float, rng: np.random.Generator) -> Galaxies:
    """Raise the noise of pixels and photometry by a factor.

    Parameters
    ----------
    galaxies : Galaxies
    factor : float
        New RMS over old, at least 1; noise of ``sqrt(factor^2 - 1)`` times the old RMS is added.
    rng : numpy Generator

    Returns
    -------
    Galaxies
        With `noise` and `fluxerr` raised by the factor; masks as they were.

    Raises
    ------
    ValueError
        If the factor is below 1.
    """
    if factor < 1:
        msg = f"noise can be added, not taken away: factor {factor:g} is below 1"
        raise ValueError(msg)
    return _scaled(galaxies, np.ones(len(galaxies)), np.full(len(galaxies), factor), rng)


def dimmer(galaxies: Galaxies, magnitudes: np.ndarray, rng: np.random.Generator) -> Galaxies:
    """Make galaxies fainter at the noise of their own survey.

    Parameters
    ----------
    galaxies : Galaxies
    magnitudes : (N,) array
        By how much, not negative. A flux falls to ``k = 10^(-0.4 m)`` of what it was, and with it its noise;
        noise of ``sqrt(1 - k^2)`` times the RMS is added, so that the RMS is again the survey's.
    rng : numpy Generator

    Returns
    -------
    Galaxies

    Raises
    ------
    ValueError
        If a magnitude is negative.
    """
    magnitudes = np.asarray(magnitudes, float)
    if (magnitudes < 0).any():
        msg = "galaxies can be dimmed, not brightened: a magnitude is negative"
        raise ValueError(msg)
    return _scaled(galaxies, 10.0 ** (-0.4 * magnitudes), np.ones(len(galaxies)), rng)


def _scaled(galaxies: Galaxies, k: np.ndarray, rms: np.ndarray, rng: np.random.Generator) -> Galaxies:
    """Multiply the fluxes by `k` and the noise RMS by `rms`."""
    added = np.sqrt(np.maximum(rms**2 - k**2, 0.0))
    images = {}
    for band, image in galaxies.images.items():
        sigma = np.nan_to_num(galaxies.noise[band]) * added
        noise = rng.standard_normal(image.shape, dtype=np.float32) * sigma[:, None, None].astype(np.float32)
        changed = image * k[:, None, None].astype(np.float32) + noise
        images[band] = np.where(galaxies.masks[band], image, changed).astype(image.dtype)
    error = galaxies.fluxerr * added[:, None].astype(np.float32)
    flux = galaxies.flux * k[:, None] + rng.standard_normal(galaxies.flux.shape, np.float32) * error
    return replace(
        galaxies,
        images=images,
        noise={b: (n * rms).astype(n.dtype) for b, n in galaxies.noise.items()},
        flux=flux.astype(galaxies.flux.dtype),
        fluxerr=(galaxies.fluxerr * rms[:, None]).astype(galaxies.fluxerr.dtype),
    )
