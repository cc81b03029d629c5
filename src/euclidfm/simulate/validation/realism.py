"""Structure of real galaxies: HST images re-drawn at the resolution of VIS, and measured like the mock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from euclidfm.core.bands import BANDS, PIXEL_ARCSEC, SED_BANDS
from euclidfm.core.units import abmag_from_ujy, ujy_from_abmag
from euclidfm.simulate.catalogue.measure import measure
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.images.components import Psf
from euclidfm.simulate.images.noise import smoothing_sigma
from euclidfm.simulate.images.render import render
from euclidfm.simulate.images.shapes import components
from euclidfm.simulate.population.galaxies import draw_galaxies
from euclidfm.simulate.validation.compare import Sample

__all__ = ["FEATURES", "measure_hst_galaxies", "measure_mock_galaxies"]

FEATURES = ("mag", "R50", "ELLIPTICITY", "CONCENTRATION", "ASYMMETRY", "GINI", "MOMENT_20", "SMOOTHNESS")
"""Measurements in which real and mock stamps are compared."""

HST_PIXEL, HST_FWHM = 0.03, 0.095
"""Pixel and PSF width of the HST stamps, arcsec."""


def redraw(image: np.ndarray, fwhm: float, rng: np.random.Generator, size: int = 64) -> np.ndarray:
    """Blur an HST stamp to a PSF width and bin it to 0.1" pixels, centred within half a pixel.

    The PSFs are taken as Gaussians whose widths add in quadrature; the HST stamps' own
    noise is negligible after binning.
    """
    sigma = np.sqrt(max(fwhm**2 - HST_FWHM**2, 0)) / 2.3548 / HST_PIXEL
    smooth = ndimage.gaussian_filter(np.pad(image.astype(float), 24), sigma)
    step = PIXEL_ARCSEC / HST_PIXEL
    # Average over a pixel, then sample: the pixel is part of the effective PSF.
    light = np.maximum(smooth - 0.05 * smooth.max(), 0)
    centre = np.array(ndimage.center_of_mass(light))
    offset = centre - step * (size // 2 + rng.uniform(-0.5, 0.5, 2))
    return ndimage.affine_transform(smooth, [step, step], offset, (size, size), order=1) * step**2


def measure_hst_galaxies(folder: Path, faintest: float, rng: np.random.Generator) -> Sample:
    """Structure of the 100 public COSMOS HST/ACS galaxies as VIS would see them, with VIS noise."""
    from astropy.io import fits

    home = folder / "cosmos_hst"
    rows = []
    table = fits.getdata(home / "real_galaxy_catalog_26_extension_example.fits", 1)
    with fits.open(home / "real_galaxy_images_extension.fits") as hdus:
        for row in table:
            if row["MAG"] > faintest:
                continue
            stamp = np.asarray(hdus[int(row["GAL_HDU"])].data, float)
            flux = float(ujy_from_abmag(row["MAG"])) / stamp.sum()
            image = redraw(stamp * flux, BANDS["VIS"].psf_fwhm_arcsec, rng)
            rows.append(_features(float(row["MAG"]), image, rng))
    return Sample(FEATURES, np.asarray(rows))


def _features(mag: float, image: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Measure a stamp after adding VIS noise."""
    vis = BANDS["VIS"]
    sigma = vis.pixel_rms_ujy * vis.noise_correlation
    noise = ndimage.gaussian_filter(rng.standard_normal(image.shape), smoothing_sigma(vis.noise_correlation))
    m = measure(image + noise * vis.pixel_rms_ujy, sigma, vis.psf_fwhm_arcsec)
    return [mag, *(m[k] for k in FEATURES[1:])]


def measure_mock_galaxies(mags: np.ndarray, copies: int, rng: np.random.Generator, size: int = 64) -> Sample:
    """Structure of mock galaxies with the given F814W magnitudes, `copies` for each, seen in VIS."""
    cfg = SkyConfig(preset="deeper", faint_thinning=0.0, rarity_boost=0.0)
    t = draw_galaxies(cfg, 6000, rng)
    mag = abmag_from_ujy((t["bulge_flux"] + t["disc_flux"])[:, SED_BANDS.index("i")])
    psf = Psf(fwhm=BANDS["VIS"].psf_fwhm_arcsec, beta=cfg.conditions.psf_beta)
    rows = []
    for target in np.repeat(mags, copies):
        i = int(rng.choice(np.argsort(np.abs(mag - target))[:20]))
        row = {k: v[i] for k, v in t.items()}
        parts = components(str(row["subtype"]), row, row["bulge_flux"], row["disc_flux"], rng)
        vis = [replace(c, flux=c.flux[[SED_BANDS.index("VIS")]]) for c in parts]
        image = render(vis, [psf], size, *rng.uniform(-0.5, 0.5, 2))[0]
        image = image * float(ujy_from_abmag(target)) / image.sum()
        rows.append(_features(float(target), image, rng))
    return Sample(FEATURES, np.asarray(rows))
