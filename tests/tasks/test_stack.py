"""Stacks: weights from galaxies left out, and no worse than their members."""

import numpy as np
import pytest

from euclidfm.tasks.heads.make import make_head
from euclidfm.tasks.heads.stack import stack, weights_of


def test_weights_find_the_good_member_and_sum_to_one():
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    P = np.stack([y + rng.normal(0, 0.05, 400), y + rng.normal(0, 1.0, 400), np.zeros(400)], axis=1)
    w = weights_of(P, y)
    assert w.sum() == pytest.approx(1.0) and (w >= 0).all() and w[0] > 0.9


def test_independent_errors_are_averaged():
    rng = np.random.default_rng(1)
    y = rng.normal(size=600)
    w = weights_of(np.stack([y + rng.normal(0, 0.3, 600) for _ in range(3)], axis=1), y)
    assert w == pytest.approx(np.full(3, 1 / 3), abs=0.1)


@pytest.mark.parametrize("n", [30, 300])
def test_a_stack_is_as_good_as_its_best_member(n):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n + 500, 4))
    y = X[:, 0] + (X[:, 1] ** 2 if n > 100 else 0.0) + 0.1 * rng.normal(size=len(X))
    wide = np.concatenate([X, rng.normal(size=(len(X), 10))], axis=1)
    got = stack([X[:n], wide[:n]], [X[n:], wide[n:]], y[:n], 0, 0)
    alone = []
    for name in ("linear", "quadratic", "knn"):
        head = make_head(name, 0, 0)
        head.fit(X[:n], y[:n])
        alone.append(np.abs(head.predict(X[n:]) - y[n:]).mean())
    assert np.abs(got - y[n:]).mean() < 1.25 * min(alone)


def test_classes_are_probabilities():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 3))
    y = (X[:, 0] > 0).astype(int)
    p = stack([X[:200]], [X[200:]], y[:200], 2, 0)
    assert p.shape == (200, 2) and p.sum(axis=1) == pytest.approx(1.0)
    assert (p.argmax(axis=1) == y[200:]).mean() > 0.9
