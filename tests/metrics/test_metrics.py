"""Metrics against values worked out by hand, against scikit-learn, and by their symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from euclidfm.metrics import (
    BINARY,
    MASS,
    MULTICLASS,
    PHOTOZ,
    REGRESSION,
    bootstrap,
    bootstrap_all,
    finite_pairs,
    paired_difference,
    precision_at_k,
    recall_at_k,
)
from euclidfm.metrics.points import exceeds, nmad, sigma68, sigma_iqr

Z_SPEC = np.array([0.0, 1.0, 1.0, 3.0, 0.5])
Z_PHOT = np.array([0.02, 0.96, 1.10, 3.04, 1.25])  # dz = 0.02, -0.02, 0.05, 0.01, 0.5


def test_photoz_by_hand():
    got = {k: float(f(Z_PHOT, Z_SPEC)) for k, f in PHOTOZ.items()}
    # median dz 0.02; |dz - 0.02| = 0, 0.04, 0.03, 0.01, 0.48 -> median 0.03
    assert got["bias_median"] == pytest.approx(0.02)
    assert got["bias_mean"] == pytest.approx(0.112)
    assert got["nmad"] == pytest.approx(1.4826 * 0.03)
    assert got["outliers_0.15"] == pytest.approx(0.2)
    # quartiles 0.01 and 0.05 -> sigma_IQR 0.04 / 1.349 = 0.02965, limit 0.08895
    assert got["outliers_rail"] == pytest.approx(0.2)
    # positions 0.15866 * 4 = 0.63462 and 3.36538 in the sorted list
    low, high = -0.02 + 0.6346210 * 0.03, 0.05 + 0.3653790 * 0.45
    assert got["sigma68"] == pytest.approx((high - low) / 2, rel=1e-6)
    assert got["mae"] == pytest.approx((0.02 + 0.04 + 0.10 + 0.04 + 0.75) / 5)
    assert got["rmse"] == pytest.approx(np.sqrt((0.0004 + 0.0016 + 0.01 + 0.0016 + 0.5625) / 5))
    assert got["r2"] == pytest.approx(1 - 0.5761 / 5.2)  # mean 1.1; 1.21 + .01 + .01 + 3.61 + .36


def test_rail_limit_has_a_floor():
    tight = np.array([0.0] * 18 + [0.05, 0.07])
    assert sigma_iqr(tight) == 0.0
    assert float(PHOTOZ["outliers_rail"](tight, np.zeros(20))) == pytest.approx(0.05)


def test_outlier_limit_is_exclusive():
    assert float(exceeds(np.array([0.25, -0.25, 0.3]), 0.25)) == pytest.approx(1 / 3)
    assert float(exceeds(np.array([0.25, -0.25, 0.3]), 0.25, inclusive=True)) == 1.0


def test_mass_by_hand():
    truth = np.array([9.0, 10.0, 11.0, 9.0])
    got = {k: float(f(truth + np.array([0.1, -0.1, 0.4, 2.6]), truth)) for k, f in MASS.items()}
    assert got["bias_median"] == pytest.approx(0.25)
    assert got["nmad"] == pytest.approx(1.4826 * 0.25)  # deviations 0.15 0.35 0.15 2.35
    assert got["outliers_0.3dex"] == pytest.approx(0.5)
    assert got["outliers_legacy"] == pytest.approx(0.25)  # 2.6 / 10 = 0.26
    assert got["mae"] == pytest.approx(0.8)
    e = np.array([0.1 / 10, -0.1 / 11, 0.4 / 12, 2.6 / 10])
    assert got["nmad_legacy"] == pytest.approx(1.48 * np.median(np.abs(e - np.median(e))))


def test_gaussian_widths_agree():
    e = np.random.default_rng(0).normal(0.3, 0.05, 200_000)
    for width in (nmad(e), sigma68(e), sigma_iqr(e)):
        assert float(width) == pytest.approx(0.05, rel=0.01)


def test_binary_by_hand():
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    p = np.array([0.9, 0.6, 0.2, 0.7, 0.4, 0.3, 0.1, 0.1])  # TP 2 FN 1 FP 1 TN 4
    got = {k: float(f(p, truth)) for k, f in BINARY.items()}
    assert got["class_balance"] == 3 / 8
    assert got["accuracy"] == 6 / 8
    assert got["balanced_accuracy"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert got["precision"] == pytest.approx(2 / 3)
    assert got["recall"] == pytest.approx(2 / 3)
    assert got["f1"] == pytest.approx(2 / 3)
    assert got["fpr"] == pytest.approx(1 / 5)
    assert got["auc"] == pytest.approx((5 + 4 + 2) / 15)
    assert got["average_precision"] == pytest.approx((1 / 1 + 2 / 3 + 3 / 6) / 3)
    assert got["brier"] == pytest.approx((0.01 + 0.16 + 0.64 + 0.49 + 0.16 + 0.09 + 0.01 + 0.01) / 8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 60), st.integers(2, 12))
def test_binary_agrees_with_sklearn(seed, n, levels):
    rng = np.random.default_rng(seed)
    t = rng.integers(0, 2, n)
    t[:2] = [0, 1]
    p = rng.integers(0, levels, n) / levels  # many ties
    assert float(BINARY["auc"](p, t)) == pytest.approx(sk.roc_auc_score(t, p))
    assert float(BINARY["average_precision"](p, t)) == pytest.approx(sk.average_precision_score(t, p))
    assert float(BINARY["brier"](p, t)) == pytest.approx(sk.brier_score_loss(t, p))
    assert float(BINARY["balanced_accuracy"](p, t)) == pytest.approx(sk.balanced_accuracy_score(t, p >= 0.5))


def test_multiclass_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8], [0.5, 0.3, 0.2]])
    t = np.array([0, 1, 2, 1])
    got = {k: float(f(p, t)) for k, f in MULTICLASS.items()}
    assert got["accuracy"] == 0.75
    assert got["balanced_accuracy"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert got["log_loss"] == pytest.approx(-np.log([0.7, 0.4, 0.8, 0.3]).mean())


def test_ranking_by_hand():
    score = np.array([9.0, 8, 7, 7, 7, 1])
    relevant = np.array([1, 0, 1, 0, 0, 1])
    assert precision_at_k(score, relevant, 1) == 1.0
    assert precision_at_k(score, relevant, 3) == pytest.approx((1 + 1 / 3) / 3)
    assert recall_at_k(score, relevant, 3) == pytest.approx((1 + 1 / 3) / 3)
    assert recall_at_k(score, relevant, 5) == pytest.approx(2 / 3)
    assert precision_at_k(score, relevant, 100) == 0.5
    assert np.isnan(recall_at_k(score, np.zeros(6), 3))


@pytest.mark.parametrize("table", [PHOTOZ, MASS, REGRESSION, BINARY])
def test_nan_in_nan_out_and_nothing_in_nan_out(table):
    t = np.array([0.0, 1.0, 1.0, 0.0])
    p = np.array([0.1, np.nan, 0.7, 0.2])
    for name, f in table.items():
        assert np.isnan(float(f(p, t))), name
        assert np.isnan(float(f(np.empty(0), np.empty(0)))), name
    clean_p, clean_t = finite_pairs(p, t)
    assert len(clean_p) == len(clean_t) == 3


@pytest.mark.parametrize("table", [PHOTOZ, MASS, REGRESSION, BINARY])
def test_last_axis(table):
    rng = np.random.default_rng(1)
    p = rng.random((7, 40))
    t = (rng.random((7, 40)) < 0.4).astype(float)
    for name, f in table.items():
        together = f(p, t)
        assert together.shape == (7,)
        np.testing.assert_allclose(together, [f(a, b) for a, b in zip(p, t, strict=True)], err_msg=name)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_order_of_galaxies_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    p, t = rng.random(30).round(1), rng.integers(0, 2, 30).astype(float)
    order = rng.permutation(30)
    for f in (*PHOTOZ.values(), *BINARY.values()):
        np.testing.assert_allclose(f(p, t), f(p[order], t[order]), rtol=1e-12)
    for k in (1, 5, 29):
        assert precision_at_k(p, t, k) == pytest.approx(precision_at_k(p[order], t[order], k))


def test_bootstrap_covers():
    rng = np.random.default_rng(3)
    inside = 0
    for i in range(150):
        x = rng.normal(0, 1, 200)
        r = bootstrap(lambda a: a.mean(axis=-1), x, resamples=300, seed=i)
        assert r.low < r.value < r.high
        inside += r.low <= 0 <= r.high
    assert 0.55 < inside / 150 < 0.8


def test_bootstrap_is_seeded_and_paired():
    rng = np.random.default_rng(0)
    t = rng.random(100)
    p = t + rng.normal(0, 0.1, 100)
    a = bootstrap_all(PHOTOZ, p, t, seed=4)
    assert a == bootstrap_all(PHOTOZ, p, t, seed=4)
    assert a != bootstrap_all(PHOTOZ, p, t, seed=5)
    assert a["nmad"] == bootstrap(PHOTOZ["nmad"], p, t, seed=4)
    assert np.isnan(bootstrap(PHOTOZ["nmad"], p, t, resamples=0).low)


def test_paired_difference_is_narrower():
    rng = np.random.default_rng(2)
    t = rng.normal(size=500)
    shared = rng.normal(0, 1, 500)
    a, b = t + shared + 0.05 * rng.normal(size=500), t + 1.1 * shared + 0.05 * rng.normal(size=500)
    d = paired_difference(REGRESSION["mae"], b, a, t)
    alone = bootstrap(REGRESSION["mae"], a, t)
    assert d.low > 0 and d.high - d.low < 0.3 * (alone.high - alone.low)
    assert d.value == pytest.approx(float(REGRESSION["mae"](b, t) - REGRESSION["mae"](a, t)))


def test_bootstrap_standard_error():
    x = np.random.default_rng(0).normal(0, 1, 400)
    r = bootstrap(lambda a: a.mean(axis=-1), x, resamples=4000)
    assert (r.high - r.low) / 2 == pytest.approx(x.std() / 20 * 0.9945, rel=0.05)
