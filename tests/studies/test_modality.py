"""The modality study: same galaxies, paired gains, purity by hand."""

import numpy as np
import pytest

from euclidfm.core.errors import InputError
from euclidfm.studies.modality import modality_study, neighbour_purity


def test_more_information_is_a_gain(world):
    store, emb = world
    poor = emb.take(np.random.default_rng(0).permutation(len(emb)))  # other order, fewer numbers
    poor.vectors = poor.vectors[:, :3]
    records = modality_study(
        {"VIS": poor, "VIS+SED": emb}, store.index, tasks=("star", "photoz"), resamples=100
    )
    of = {(r["task"], r["inputs"], r["metric"]): r for r in records}
    gain = of["star", "VIS+SED", "gain_average_precision"]
    assert gain["low"] > 0
    ap = [of["star", i, "average_precision"]["value"] for i in ("VIS", "VIS+SED")]
    assert gain["value"] == pytest.approx(ap[1] - ap[0])
    assert of["photoz", "VIS+SED", "gain_nmad"]["high"] < 0
    purity = of["star", "VIS+SED", "neighbour_purity"]
    assert of["star", "VIS", "class_balance"]["value"] < purity["value"] <= 1
    assert of["star", "VIS", "auc"]["n_test"] == of["star", "VIS+SED", "auc"]["n_test"]


def test_purity_by_hand():
    train = np.array([[0.0], [0.1], [0.2], [5.0], [5.1]])
    truth = np.array([1.0, 1, 0, 0, 0])
    np.testing.assert_allclose(neighbour_purity(train, truth, np.array([[0.0], [5.0]]), 2), [1.0, 0.0])
    np.testing.assert_allclose(neighbour_purity(train, truth, np.array([[0.0]]), 3), [2 / 3])


def test_mistakes_are_explained(world):
    store, emb = world
    other = emb.take(np.arange(len(emb)))
    other.object_id = other.object_id + 1
    with pytest.raises(InputError, match="every embedding table"):
        modality_study({"a": emb, "b": other}, store.index)
    with pytest.raises(InputError, match="at least one"):
        modality_study({}, store.index)
