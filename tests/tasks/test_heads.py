"""Heads against closed forms, brute force and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.logistic import (
    LogisticHead,
    fit_binary,
    fit_softmax,
    leave_one_out,
    stratified_folds,
)
from euclidfm.tasks.heads.maps import FeatureMap
from euclidfm.tasks.heads.neighbours import NeighboursHead
from euclidfm.tasks.heads.ridge import RidgeHead, ridge


@pytest.mark.parametrize("shape", [(40, 6), (12, 30)])
@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_leave_one_out_is_exact(shape, weighted):
    rng = np.random.default_rng(0)
    F = rng.normal(size=shape) + 3
    y = F[:, 0] + rng.normal(size=len(F))
    c = rng.uniform(0.2, 1, len(F)) if weighted else np.ones(len(F))
    got = ridge(F, y, penalties=np.array([0.7]), case=c)
    whole = Ridge(alpha=0.7).fit(F, y, sample_weight=c)
    np.testing.assert_allclose(got.weights, whole.coef_, rtol=1e-6)
    assert got.intercept == pytest.approx(whole.intercept_)
    for i in range(len(F)):
        rest = np.arange(len(F)) != i
        left_out = Ridge(alpha=0.7).fit(F[rest], y[rest], sample_weight=c[rest])
        assert got.residuals[i] == pytest.approx(y[i] - left_out.predict(F[i : i + 1])[0], rel=1e-5)


def test_ridge_resists_wrong_labels():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 5))
    truth = X @ rng.normal(size=5)
    y = truth + 0.05 * rng.normal(size=300)
    y[:20] += 8
    errors = {}
    for robust in (False, True):
        head = RidgeHead(robust=robust)
        head.fit(X, y)
        errors[robust] = np.abs(head.predict(X) - truth).mean()
    assert errors[True] < 0.3 * errors[False]


def test_auto_bends_only_when_it_pays():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(400, 6))
    straight, bent = RidgeHead("auto"), RidgeHead("auto")
    straight.fit(X, X[:, 0] + 0.3 * rng.normal(size=400))
    bent.fit(X, np.sin(2 * X[:, 0]) * X[:, 1] + 0.05 * rng.normal(size=400))
    assert straight.map.kind == "linear" and bent.map.kind != "linear"


def test_kernel_map_is_the_kernel():
    X = np.random.default_rng(3).normal(size=(30, 4))
    m = FeatureMap(kind="kernel", leading=4, centres=30)
    F = m.fit(X)[:, 4:]
    P = X @ m.arrays["rotation"]
    K = np.exp(-0.5 * ((P[:, None] - P[None]) ** 2).sum(-1))
    np.testing.assert_allclose(F @ F.T, K, atol=1e-6)
    np.testing.assert_allclose(m(X)[:, 4:], F, atol=1e-9)


@pytest.mark.parametrize("shape", [(80, 5), (15, 30)])
def test_logistic_agrees_with_sklearn(shape):
    rng = np.random.default_rng(4)
    F = rng.normal(size=shape)
    y = (F[:, 0] + rng.normal(size=len(F)) > 0).astype(float)
    w = fit_binary(F, y, 2.0)
    want = LogisticRegression(C=0.5, tol=1e-9, max_iter=5000).fit(F, y)
    np.testing.assert_allclose(w[:-1], want.coef_[0], atol=2e-3)
    three = np.digitize(F[:, 0] + 0.3 * rng.normal(size=len(F)), [-0.5, 0.5]).astype(float)
    W = fit_softmax(F, three, 3, 2.0)
    want = LogisticRegression(C=0.5, tol=1e-9, max_iter=5000).fit(F, three)
    p = np.exp(F @ W[:-1] + W[-1])
    np.testing.assert_allclose(p / p.sum(1, keepdims=True), want.predict_proba(F), atol=5e-3)


def test_logistic_leave_one_out_is_the_refit():
    rng = np.random.default_rng(6)
    F = rng.normal(size=(300, 12))
    y = (F[:, 0] + rng.normal(size=300) > 0.8).astype(float)
    w = fit_binary(F, y, 3.0)
    got = leave_one_out(F, y, w, 3.0)
    for i in range(0, 300, 30):
        rest = np.arange(300) != i
        u = fit_binary(F[rest], y[rest], 3.0)
        assert got[i] == pytest.approx(F[i] @ u[:-1] + u[-1], abs=0.02)
        assert abs(got[i] - (F[i] @ u[:-1] + u[-1])) < 0.2 * abs(got[i] - (F[i] @ w[:-1] + w[-1]))


def test_many_galaxies_choose_the_penalty_whatever_the_seed():
    """Weak signals in many dimensions, few positives: a subset's penalty would differ from seed to seed."""
    rng = np.random.default_rng(7)
    F = np.c_[rng.normal(size=(3000, 60)), np.zeros((3000, 20))]
    chance = 1 / (1 + np.exp(3 - F[:, :30] @ rng.normal(0, 0.6, 30)))
    y = (rng.random(3000) < chance).astype(float)
    heads = [LogisticHead(seed=seed) for seed in range(3)]
    for head in heads:
        head.fit(F[:2000], y[:2000])
    assert len({head.penalty for head in heads}) == 1
    assert (heads[0].weights[60:80] == 0).all()
    losses = []
    for penalty in np.logspace(-2, 4, 13):
        w = fit_binary(F[:2000], y[:2000], penalty)
        s = F[2000:] @ w[:-1] + w[-1]
        losses.append((np.logaddexp(0, s) - y[2000:] * s).mean())
    p = heads[0].predict(F[2000:])[np.arange(1000), y[2000:].astype(int)]
    assert -np.log(p).mean() < 1.02 * min(losses)


def test_separable_classes_do_not_diverge():
    F = np.linspace(-1, 1, 20)[:, None]
    w = fit_binary(F, (F[:, 0] > 0).astype(float), 1e-6)
    assert np.isfinite(w).all()


def test_neighbours_by_hand():
    X = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
    head = NeighboursHead()
    head.fit(X, np.array([0.0, 0, 0, 5, 5, 5]))
    np.testing.assert_allclose(head.predict(np.array([[0.5], [11.2]])), [0, 5])
    classes = NeighboursHead(2)
    classes.fit(X, np.array([0, 0, 0, 1, 1, 1]))
    np.testing.assert_allclose(classes.predict(np.array([[0.5], [11.2]])).argmax(1), [0, 1])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 40), st.integers(1, 6))
def test_scaler(seed, n, d):
    rng = np.random.default_rng(seed)
    X = rng.normal(3, 10 ** rng.uniform(-3, 3), (n, d))
    X[rng.random(X.shape) < 0.2] = np.nan
    X[:, 0] = 7.0  # constant
    scaler = Scaler.of(X)
    S = scaler(X)
    assert np.isfinite(S).all() and S.shape[1] == d + len(scaler.flagged)
    assert (S[:, 0] == 0).all()
    np.testing.assert_allclose(S[:, :d].mean(axis=0), 0, atol=1e-6)


def test_folds_are_even():
    y = np.array([0] * 23 + [1] * 7)
    fold = stratified_folds(y, 5, 0)
    assert all(1 <= (fold[y == 1] == k).sum() <= 2 for k in range(5))
    assert all(abs((fold == k).sum() - 6) <= 1 for k in range(5))
