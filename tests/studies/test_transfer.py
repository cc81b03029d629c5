"""Transfer: what is lost where the training sample differs from the target, and regained."""

import numpy as np
import pytest

from euclidfm.core.errors import InputError
from euclidfm.studies.transfer import LabelledVectors, importance_draw, transfer
from euclidfm.tasks import get


def curved(rng, n, centre):
    """A label that is not linear in the features, so that where one trains matters."""
    X = rng.normal(0, 0.6, (n, 3))
    X[:, 0] += centre
    y = 1.0 + 0.15 * X[:, 0] ** 2 + 0.05 * X[:, 1] + rng.normal(0, 0.01, n)
    return LabelledVectors(X, y)


def nmad(records):
    return {r["method"]: r["value"] for r in records if r["metric"] == "rmse"}


def test_weights_labels_and_alterations_bring_back_what_was_lost():
    rng = np.random.default_rng(0)
    source, target, local = curved(rng, 800, 0.0), curved(rng, 400, 1.2), curved(rng, 300, 1.2)
    shifted = curved(rng, 800, 1.0)
    found = transfer(
        get("photoz"), source, target, local=local, altered={"moved": shifted}, target_name="faint"
    )
    error = nmad(found)
    assert list(error) == ["as it is", "weighted", "moved", "few labels", "local labels"]
    assert error["local labels"] < 0.7 * error["as it is"]
    assert error["weighted"] < error["as it is"] and error["moved"] < error["as it is"]
    assert error["few labels"] < error["as it is"]
    assert {r["target_name"] for r in found} == {"faint"}
    weighted = next(r for r in found if r["method"] == "weighted")
    assert 5 < weighted["n_train"] < 800


def test_draw_resembles_the_target():
    rng = np.random.default_rng(1)
    source, target = rng.normal(0, 1, (2000, 4)), rng.normal(0.7, 1, (1000, 4))
    rows, effective = importance_draw(source, target, seed=3)
    assert abs(source[rows].mean() - 0.7) < 0.15 and 50 < effective < 2000
    again, _ = importance_draw(source, target, seed=3)
    assert (rows == again).all()
    same, effective = importance_draw(source, source.copy())
    assert effective > 1900 and len(same) == 2000


def test_nothing_to_learn_from_is_said():
    empty = LabelledVectors(np.empty((0, 2)), np.empty(0))
    with pytest.raises(InputError, match="no labels in the source or the target"):
        transfer(get("photoz"), empty, empty)
    with pytest.raises(InputError, match="regressions"):
        transfer(get("star"), empty, empty)
