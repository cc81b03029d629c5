from __future__ import annotations

import numpy as np
import pytest

from euclidfm.simulate.images.components import Component, Knots, Psf
from euclidfm.simulate.images.render import render, stamp_size

galsim = pytest.importorskip("galsim")
SIZE = 96


def galsim_stamp(profile, psf: Psf, size: int, dx: float, dy: float) -> np.ndarray:
    image = galsim.Image(np.zeros((size, size), np.float32), xmin=0, ymin=0, scale=0.1)
    both = galsim.Convolve(profile, galsim.Moffat(beta=psf.beta, fwhm=psf.fwhm)).shift(0.1 * dx, 0.1 * dy)
    centre = galsim.PositionD(size // 2, size // 2)
    return both.drawImage(image, method="no_pixel", center=centre).array


@pytest.mark.parametrize(
    ("index", "re", "q", "fwhm", "beta"),
    [
        (1.0, 0.3, 1.0, 0.214, 3.0),
        (1.0, 0.6, 0.4, 0.214, 2.2),
        (4.0, 0.5, 0.7, 0.214, 3.0),
        (4.0, 0.4, 0.5, 0.5, 3.0),
        (2.4, 0.3, 0.8, 0.3, 3.0),
        (0.6, 0.3, 0.9, 0.46, 3.0),
    ],
)
def test_sersic_through_the_psf_agrees_with_galsim(index, re, q, fwhm, beta):
    psf = Psf(fwhm=fwhm, beta=beta)
    component = Component(flux=np.array([10.0]), re=re, index=index, axis_ratio=q, angle=0.5, x=0.13)
    ours = render([component], [psf], SIZE, 0.3, -0.2)[0]
    profile = galsim.Sersic(index, half_light_radius=re * np.sqrt(q), flux=10.0)
    profile = profile.shear(q=q, beta=0.5 * galsim.radians).shift(0.13, 0.0)
    theirs = galsim_stamp(profile, psf, SIZE, 0.3, -0.2)
    assert np.abs(ours - theirs).max() < 0.001 * theirs.max()


def test_point_source_and_knots_agree_with_galsim():
    psf = Psf(fwhm=0.214)
    knots = Knots(
        weight=np.array([2.0, 1.0]),
        x=np.array([0.4, -0.3]),
        y=np.array([0.1, 0.2]),
        sigma=np.array([0.05, 0.1]),
    )
    ours = render(
        [Component(flux=np.array([3.0])), Component(flux=np.array([6.0]), re=0.5, knots=knots)], [psf], 64
    )[0]
    profile = galsim.Gaussian(sigma=1e-4, flux=3.0)
    for flux, x, y, sigma in ((4.0, 0.4, 0.1, 0.05), (2.0, -0.3, 0.2, 0.1)):
        profile += galsim.Gaussian(sigma=sigma, flux=flux).shift(x, y)
    theirs = galsim_stamp(profile, psf, 64, 0.0, 0.0)
    assert np.abs(ours - theirs).max() < 0.002 * theirs.max()


def test_picture_is_the_same_as_the_profile_it_draws():
    psf = Psf(fwhm=0.214)
    smooth = Component(flux=np.array([1.0]), re=0.8, index=1.0)
    drawn = Component(
        flux=np.array([1.0]), re=0.8, picture=lambda x, y: np.exp(-1.6783 * np.hypot(x, y) / 0.8)
    )
    a, b = (render([c], [psf], SIZE, 0.2, 0.1)[0] for c in (smooth, drawn))
    assert np.abs(a - b).max() < 0.01 * a.max()


def test_flux_is_conserved_in_every_band():
    flux = np.array([1.0, 2.0, 3.0, 4.0])
    parts = [Component(flux=flux, re=0.3, index=4.0), Component(flux=2 * flux, re=0.5, index=1.0, x=0.2)]
    stamps = render(parts, [Psf(fwhm=f) for f in (0.2, 0.5, 0.46, 0.58)], 128, 0.4, -0.3)
    np.testing.assert_allclose(stamps.sum((1, 2)), 3 * flux, rtol=2e-3)


def test_brighter_and_larger_sources_get_larger_stamps():
    faint = np.array([3e-4])
    sizes = [
        stamp_size([Component(flux=np.array([f]), re=r, index=n)], faint)
        for f, r, n in ((1.0, 0.2, 1.0), (10.0, 0.5, 1.0), (10.0, 0.5, 4.0))
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert all(s % 2 == 0 for s in sizes)
