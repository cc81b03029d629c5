"""Noise and sky from the border, where both are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from euclidfm.ingest.cutouts.border import border_pixels, sky_and_noise


def images(n, side, sigma, sky, width=0.0, seed=0):
    """Noise of standard deviation `sigma` a pixel, white or correlated over `width` pixels."""
    noise = np.random.default_rng(seed).normal(size=(n, side, side))
    if width:
        noise = gaussian_filter(noise, (0, width, width), mode="wrap")
    return (sky + sigma * noise / noise.std()).astype(np.float32)


@pytest.mark.parametrize("width", [0.0, 0.7, 1.5])
def test_white_and_correlated_noise_of_a_pixel(width):
    sky, noise = sky_and_noise(images(60, 100, 2.5, 7.0, width))
    assert noise.mean() == pytest.approx(2.5, rel=0.02)
    assert noise.std() < 0.08 * 2.5 * (1 + 3 * width)
    assert sky.mean() == pytest.approx(7.0, abs=0.1)


def test_a_galaxy_and_neighbours_hardly_change_it():
    clean = images(40, 80, 1.0, 3.0, seed=2)
    y, x = np.mgrid[:80, :80]
    galaxy = 400 * np.exp(-np.hypot(x - 40, y - 40) / 4)
    star = 900 * np.exp(-((x - 76) ** 2 + (y - 20) ** 2) / 8)
    sky, noise = sky_and_noise(clean + (galaxy + star).astype(np.float32))
    assert noise.mean() == pytest.approx(1.0, rel=0.06) and sky.mean() == pytest.approx(3.0, abs=0.1)


def test_numbers_rounded_to_whole_ones():
    _, noise = sky_and_noise(np.round(images(40, 100, 1.2, 20.0, seed=3)))
    assert noise.mean() == pytest.approx(np.hypot(1.2, 1 / np.sqrt(12)), rel=0.03)


def test_borders_without_data():
    bad = images(3, 60, 1.0, 0.0)
    bad[0] = np.nan
    bad[1][:, :30] = np.nan
    sky, noise = sky_and_noise(bad)
    assert np.isnan([sky[0], noise[0]]).all()
    assert noise[1] == pytest.approx(1.0, rel=0.1) and np.isfinite(sky[1:]).all()
    flat = np.zeros((1, 30, 30), np.float32)
    assert sky_and_noise(flat)[1] == 0.0


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 1e4), st.floats(-1e3, 1e3))
def test_it_follows_scale_and_offset(scale, offset):
    base = images(4, 40, 1.0, 0.0, seed=5).astype(np.float64)
    sky, noise = sky_and_noise(base)
    moved = sky_and_noise(base * scale + offset)
    np.testing.assert_allclose(moved[0], sky * scale + offset, rtol=1e-6, atol=1e-6 * scale)
    np.testing.assert_allclose(moved[1], noise * scale, rtol=1e-4)


def test_the_border_is_a_frame():
    at = border_pixels((50, 40))
    y, x = np.divmod(at, 40)
    assert len(at) == 50 * 40 - 42 * 32
    assert (np.minimum.reduce([x, y, 39 - x, 49 - y]) < 4).all()
