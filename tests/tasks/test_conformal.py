"""Split-conformal intervals: MAPIE's to the digit, and the coverage that theory gives, exactly."""

import numpy as np
import pytest
from scipy.stats import beta, betabinom, kstest

import euclidfm as ef
from euclidfm.tasks.density.calibrate import LEVELS, conformal_half_width, conformal_quantile

MAPIE = "MAPIE MISSING, intervals not compared with it: `make slow` installs it"


class Fixed:
    """A fitted regressor, as MAPIE wants one, that says what it is told."""

    is_fitted = True

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0]


def mapies(predicted, truth, new, level):
    """MAPIE's interval around new predictions, calibrated on others."""
    regression = pytest.importorskip("mapie.regression", reason=MAPIE)
    theirs = regression.SplitConformalRegressor(Fixed(), confidence_level=level, prefit=True)
    theirs.conformalize(predicted[:, None], truth)
    return theirs.predict_interval(new[:, None])[1][:, :, 0].T


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("n", [20, 21, 73, 500])  # fewer than 20 MAPIE refuses at 95%
def test_quantile_is_mapies(level, n):
    rng = np.random.default_rng(n)
    predicted, new = rng.uniform(8, 11, n), rng.uniform(8, 11, 30)
    truth = predicted + 0.2 * rng.standard_t(3, n)
    low, high = mapies(predicted, truth, new, level)
    q = conformal_quantile(np.abs(truth - predicted), level)
    np.testing.assert_allclose(low, new - q, rtol=1e-12)
    np.testing.assert_allclose(high, new + q, rtol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_interval_in_probability_is_mapies(level):
    """A density's interval is MAPIE's too: of the PIT, around the constant prediction 1/2."""
    pit = np.random.default_rng(2).beta(0.6, 0.8, 211)
    low, high = mapies(np.full(211, 0.5), pit, np.array([0.5]), level)
    q = conformal_half_width(pit, level)
    assert (low[0], high[0]) == pytest.approx((0.5 - q, 0.5 + q), rel=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_a_probes_interval_is_mapies(world, level):
    store, emb = world
    probe = ef.tasks.mass.fit(emb, store.index)
    held, test = (emb.take(emb.split == s) for s in ("validation", "test"))
    truth = held.column_of(store.index, "log_mass")
    known = np.isfinite(truth)
    low, high = mapies(probe.predict_array(held)[known], truth[known], probe.predict_array(test), level)
    ours = probe.interval(probe.predict_array(test), level)
    np.testing.assert_allclose(ours, (low, high), rtol=1e-6)


def test_too_few_galaxies_give_no_interval(world):
    store, emb = world
    assert conformal_quantile(np.arange(18.0), 0.95) == np.inf  # 19 * 0.95 > 18
    assert conformal_quantile(np.arange(19.0), 0.95) == 18.0
    probe = ef.tasks.photoz.fit(emb.take(emb.split != "validation"), store.index)
    assert probe.info["n_calibration"] == 0
    assert np.isnan(probe.interval(np.array([0.5, 1.0]), 0.68)).all()


def test_interval_follows_the_learnt_scale_and_is_kept(world, tmp_path):
    store, emb = world
    probe = ef.tasks.photoz.fit(emb, store.index)
    low, high = probe.interval(np.array([0.2, 1.5]), 0.68)
    factor = np.exp(probe.conformal[0.68])
    np.testing.assert_allclose((1 + high) / (1 + np.array([0.2, 1.5])), factor)
    np.testing.assert_allclose((1 + np.array([0.2, 1.5])) / (1 + low), factor)
    probe.save(tmp_path)
    assert ef.tasks.load_probe(tmp_path).conformal == probe.conformal
    few = ef.tasks.photoz.fit(emb.take(emb.split != "validation"), store.index)
    few.save(tmp_path)
    assert ef.tasks.load_probe(tmp_path).conformal == dict.fromkeys(LEVELS, np.inf)


@pytest.mark.parametrize(("n", "level"), [(30, 0.68), (99, 0.95), (200, 0.68)])
def test_coverage_is_the_beta_distribution_of_theory(n, level):
    """Given n calibration galaxies the coverage is Beta(k, n + 1 - k), k = ceil((n + 1) level).

    The scores are far from Gaussian and their distribution function is known, so the coverage of each of
    2000 draws is known without sampling new galaxies. The prediction is deliberately wrong.
    """
    rng, k = np.random.default_rng(n), int(np.ceil((n + 1) * level))
    scores = rng.exponential(size=(2000, n))  # |error| with P(score <= q) = 1 - exp(-q)
    coverage = np.array([-np.expm1(-conformal_quantile(s, level)) for s in scores])
    expected = beta(k, n + 1 - k)
    assert kstest(coverage, expected.cdf).pvalue > 0.01
    assert coverage.mean() == pytest.approx(k / (n + 1), abs=4 * expected.std() / np.sqrt(2000))
    assert level <= k / (n + 1) <= level + 1 / (n + 1)


def test_covered_galaxies_are_beta_binomial():
    """The number of m new galaxies that are covered, over 3000 draws of all, whatever the density is."""
    rng, n, m, level = np.random.default_rng(5), 50, 40, 0.68
    k = int(np.ceil((n + 1) * level))
    pit = rng.beta(0.4, 0.7, (3000, n + m))  # of a density that is biased and too narrow
    covered = np.array([(np.abs(u[n:] - 0.5) <= conformal_half_width(u[:n], level)).sum() for u in pit])
    expected = betabinom(m, k, n + 1 - k)
    assert covered.mean() == pytest.approx(expected.mean(), abs=4 * expected.std() / np.sqrt(3000))
    assert covered.std() == pytest.approx(expected.std(), rel=0.06)
    found = np.bincount(covered, minlength=m + 1).cumsum() / 3000
    assert np.abs(found - expected.cdf(np.arange(m + 1))).max() < 1.63 / np.sqrt(3000)  # 1% of Kolmogorov's
