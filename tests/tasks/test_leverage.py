"""Claimed leave-one-out errors against fits without each galaxy, where 1 - h is tiny and where it is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euclidfm.tasks.heads.logistic import fit_binary, leave_one_out
from euclidfm.tasks.heads.ridge import RidgeHead, ridge


def fit_without(F, y, c, penalty, i):
    """Prediction of galaxy i by a ridge on the others, as an augmented least-squares problem."""
    rest = np.arange(len(F)) != i
    G, t, w = F[rest], y[rest], c[rest]
    centre, mean = w @ G / w.sum(), w @ t / w.sum()
    rows = np.concatenate([(G - centre) * np.sqrt(w)[:, None], np.sqrt(penalty) * np.eye(F.shape[1])])
    target = np.concatenate([(t - mean) * np.sqrt(w), np.zeros(F.shape[1])])
    return mean + (F[i] - centre) @ np.linalg.lstsq(rows, target, rcond=None)[0]


@pytest.mark.parametrize("shape", [(14, 60), (20, 20), (20, 19), (20, 18), (50, 8)])
@pytest.mark.parametrize("penalty", [1e-9, 1e-4, 1.0, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_claims_the_errors_of_fits_without_each_galaxy(shape, penalty, weighted):
    rng = np.random.default_rng(shape[0])
    F = rng.normal(size=shape) * np.logspace(0, -2, shape[1]) + 2
    y = F[:, 0] + 0.3 * rng.normal(size=len(F))
    c = rng.uniform(0.01, 1, len(F)) if weighted else np.ones(len(F))
    got = ridge(F, y, penalties=np.array([penalty]), case=c)
    want = [y[i] - fit_without(F, y, c, penalty, i) for i in range(len(F))]
    np.testing.assert_allclose(got.residuals, want, rtol=2e-4)
    assert got.loss == pytest.approx(np.abs(want).mean(), rel=2e-4)


@given(st.integers(3, 25), st.integers(1, 30), st.floats(-7, 7), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_ridge_claims_are_exact_at_any_shape_and_penalty(n, m, power, seed):
    rng = np.random.default_rng(seed)
    F, y, c = rng.normal(size=(n, m)), rng.normal(size=n), rng.uniform(0.1, 1, n)
    F[:, -1] = F[:, 0]  # a direction without variance
    got = ridge(F, y, penalties=np.array([10.0**power]), case=c)
    want = [y[i] - fit_without(F, y, c, 10.0**power, i) for i in range(n)]
    np.testing.assert_allclose(got.residuals, want, rtol=1e-3, atol=1e-6)


def test_a_feature_of_one_galaxy_alone_does_not_hide_its_error():
    """Its own column takes up the galaxy's residual in the fit; without the galaxy, the column is unknown."""
    rng = np.random.default_rng(1)
    F = np.c_[rng.normal(size=(200, 3)), np.zeros(200)]
    F[7, 3] = 100.0
    y = F[:, 0] + 0.1 * rng.normal(size=200)
    y[7] += 5.0
    got = ridge(F, y, penalties=np.array([1e-9]))
    assert got.residuals[7] == pytest.approx(y[7] - fit_without(F, y, np.ones(200), 1e-9, 7), rel=1e-3)
    assert got.residuals[7] > 4.0


def test_few_labels_are_not_interpolated():
    """42 labels, 384 numbers: the chosen penalty must be about the best for other galaxies."""
    rng = np.random.default_rng(3)
    hidden = rng.normal(size=(2042, 20))
    F = hidden @ rng.normal(size=(20, 384)) + 2.0 * rng.normal(size=(2042, 384))
    y = hidden[:, :4].sum(axis=1) + 0.5 * rng.normal(size=2042)
    train, test = slice(0, 42), slice(42, None)
    head = RidgeHead(robust=False)
    head.fit(F[train], y[train])
    unit = ((F[train] - F[train].mean(axis=0)) ** 2).sum() / 41
    true = {}
    for a in np.logspace(-8, 3, 23):
        fit = ridge(F[train], y[train], penalties=np.array([a * unit]))
        true[a] = np.abs(F[test] @ fit.weights + fit.intercept - y[test]).mean()
    own = np.abs(head.predict(F[test]) - y[test]).mean()
    assert own < 1.05 * min(true.values())
    claimed = np.abs(head.residuals).mean()
    assert abs(claimed - own) < 0.3 * own  # the scatter of a mean of 42


@pytest.mark.parametrize("shape", [(20, 40), (25, 25), (120, 6)])
@pytest.mark.parametrize("penalty", [1e-7, 1e-2, 10.0])
def test_logistic_leave_one_out_is_a_newton_step_without_the_galaxy(shape, penalty):
    rng = np.random.default_rng(5)
    F = rng.normal(size=shape)
    y = (F[:, 0] + rng.normal(size=len(F)) > 0).astype(float)
    w = fit_binary(F, y, 3.0)  # at a fit that is not separated, so that all weights p (1 - p) count
    A = np.c_[F, np.ones(len(F))]
    p = 1 / (1 + np.exp(-A @ w))
    prior = np.diag(np.r_[np.full(shape[1], penalty), 1e-6] + 1e-9)
    want = []
    for i in range(len(F)):
        rest = np.arange(len(F)) != i
        H = (A[rest] * (p * (1 - p))[rest, None]).T @ A[rest] + prior
        want.append(A[i] @ w + (p[i] - y[i]) * (A[i] @ np.linalg.solve(H, A[i])))
    np.testing.assert_allclose(leave_one_out(F, y, w, penalty), want, rtol=1e-4)
