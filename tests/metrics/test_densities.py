"""Density metrics against closed forms for uniform and Gaussian densities."""

import numpy as np
import pytest
from scipy.stats import norm

from euclidfm.metrics import DENSITY, PHOTOZ, binned, bootstrap_all
from euclidfm.metrics.densities import cdf_on_grid, coverage, pit_ad, pit_histogram, pit_ks, quantiles, scores

GRID = np.linspace(0.0, 4.0, 801)


def gaussians(mean, sigma):
    return norm.pdf(GRID[None], np.asarray(mean)[:, None], np.asarray(sigma)[:, None])


def test_uniform_by_hand():
    grid = np.linspace(0, 2, 5)
    s = scores(grid, np.ones((3, 5)), np.array([0.5, 1.3, 3.0]))
    np.testing.assert_allclose(s.pit, [0.25, 0.65, 1.0])
    # F = z/2: int_0^a z^2/4 + int_a^2 (1 - z/2)^2 = a^3/12 + (2/3)(1 - a/2)^3
    want = [0.5**3 / 12 + 2 / 3 * 0.75**3, 1.3**3 / 12 + 2 / 3 * 0.35**3, 8 / 12 + 1.0]
    np.testing.assert_allclose(s.crps, want)
    np.testing.assert_allclose(s.square, 0.5)
    np.testing.assert_allclose(s.height, [0.5, 0.5, 0.0])
    assert float(DENSITY["cde_loss"](*s.arrays())) == pytest.approx(0.5 - 2 * 1 / 3)


def test_gaussian_closed_forms():
    mean, sigma, z = np.array([1.5, 2.0, 2.2]), np.array([0.1, 0.2, 0.05]), np.array([1.6, 2.0, 2.1])
    s = scores(GRID, gaussians(mean, sigma), z)
    u = (z - mean) / sigma
    np.testing.assert_allclose(s.pit, norm.cdf(u), atol=1e-4)
    crps = sigma * (u * (2 * norm.cdf(u) - 1) + 2 * norm.pdf(u) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(s.crps, crps, rtol=2e-3)
    np.testing.assert_allclose(s.square, 1 / (2 * sigma * np.sqrt(np.pi)), rtol=1e-3)
    np.testing.assert_allclose(s.height, norm.pdf(z, mean, sigma), rtol=2e-3)


def test_calibrated_densities_look_calibrated():
    rng = np.random.default_rng(0)
    mean, sigma = rng.uniform(1, 3, 4000), rng.uniform(0.05, 0.2, 4000)
    z = rng.normal(mean, sigma)
    good = scores(GRID, gaussians(mean, sigma), z)
    proud = scores(GRID, gaussians(mean, sigma / 2), z)
    assert float(coverage(good.pit, 0.68)) == pytest.approx(0.68, abs=0.02)
    assert float(coverage(proud.pit, 0.68)) == pytest.approx(2 * norm.cdf(0.5 * 0.9945) - 1, abs=0.02)
    m = bootstrap_all(DENSITY, *good.arrays(), resamples=50)
    w = bootstrap_all(DENSITY, *proud.arrays(), resamples=50)
    for name in ("crps", "cde_loss", "pit_ks", "pit_cvm", "pit_ad", "pit_outliers"):
        assert m[name].value < w[name].value, name
    assert m["pit_ks"].value < 0.03
    heights, _, scatter = pit_histogram(good.pit, 20)
    assert np.abs(heights - 1).std() < 2 * scatter and heights.mean() == pytest.approx(1)


def test_ks_by_hand():
    assert float(pit_ks(np.array([0.1, 0.2, 0.9]))) == pytest.approx(2 / 3 - 0.2)


def test_anderson_darling_by_hand():
    u = np.array([0.2, 0.9])
    a2 = -2 - (np.log(0.2) + np.log(0.1) + 3 * (np.log(0.9) + np.log(0.8))) / 2
    assert float(pit_ad(u)) == pytest.approx(np.sqrt(a2 / 2))
    assert np.isfinite(pit_ad(np.array([0.0, 1.0])))


def test_quantiles_invert_the_cdf():
    _, cdf = cdf_on_grid(GRID, gaussians([1.0, 2.0], [0.1, 0.2]))
    q = quantiles(GRID, cdf, np.array([0.16, 0.5, 0.84]))
    np.testing.assert_allclose(q[0], 1 + 0.1 * norm.ppf([0.16, 0.5, 0.84]), atol=2e-3)
    assert np.isnan(quantiles(GRID, np.full((1, len(GRID)), np.nan), np.array([0.5]))).all()


def test_nan_stays_nan():
    pdf = gaussians([1.0, 2.0], [0.1, 0.2])
    pdf[1] = 0.0
    s = scores(GRID, pdf, np.array([np.nan, 2.0]))
    assert np.isnan(s.pit).all() and np.isnan(s.crps).all()
    for f in DENSITY.values():
        assert np.isnan(f(*s.arrays()))


def test_bins():
    t = np.array([0.1, 0.2, 1.0, 1.5, 2.0, np.nan])
    p = t + np.array([0.0, 0.0, 0.5, 0.5, 0.5, 0.0])
    rows = binned({"mae": PHOTOZ["mae"]}, p, t, by=t, edges=[0, 1, 2, 3], resamples=10)
    assert [r["n"] for r in rows] == [2, 2, 1]
    assert [r["value"] for r in rows] == [0.0, 0.5, 0.5]
    rows = binned({"mae": PHOTOZ["mae"]}, p, t, by=t, edges=2, resamples=10)
    assert [r["n"] for r in rows] == [2, 3]
    assert np.isnan(binned({"mae": PHOTOZ["mae"]}, p, t, by=t, edges=[5, 6])[0]["value"])
