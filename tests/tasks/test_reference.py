"""Distance to the training galaxies: calibrated on galaxies like them, large for others, bounded, kept."""

import numpy as np
import pytest

import euclidfm as ef
from euclidfm.core.errors import InputError
from euclidfm.tasks.reference import MOST, Reference


def cloud(n, rng, mixed):
    """Correlated features with heavy tails."""
    return rng.standard_t(6, (n, mixed.shape[0])) @ mixed


@pytest.mark.parametrize("n", [60, 300, 3000])
def test_percentiles_of_new_galaxies_are_uniform(n):
    rng = np.random.default_rng(n)
    mixed = rng.normal(size=(40, 40)) / np.arange(1, 41)
    told = [Reference.of(cloud(n, rng, mixed), seed)(cloud(400, rng, mixed)) for seed in range(6)]
    percentile = np.concatenate([p for _, p in told])
    assert 0.7 < np.median(np.concatenate([d for d, _ in told])) < 1.4
    for level in (50, 90):
        assert (percentile > level).mean() == pytest.approx(1 - level / 100, abs=0.12 if n < 100 else 0.05)
    assert (percentile > 99).mean() < 0.035


def test_far_is_far_and_nan_is_unknown():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(30, 30)) / np.arange(1, 31)
    reference = Reference.of(cloud(500, rng, mixed))
    new = cloud(5, rng, mixed)
    new[1] *= 10.0
    new[3] = np.nan
    distance, percentile = reference(new)
    assert distance[1] > 3 and percentile[1] == 100
    assert np.isnan(distance[3]) and np.isnan(percentile[3])
    assert np.isfinite(np.delete(distance, 3)).all()


def test_by_hand():
    """Six points on a line, two apart: mean distances to the others are 6, 4.4 and 3.6."""
    line = 2.0 * np.arange(6.0)[:, None]
    reference = Reference.of(line - line.mean())
    raw = np.array([(2 + 4 + 6 + 8 + 10) / 5, (2 + 2 + 4 + 6 + 8) / 5, (4 + 2 + 2 + 4 + 6) / 5])
    np.testing.assert_allclose(reference.own, np.sort(np.repeat(raw, 2)) / raw[1], rtol=1e-6)
    distance, percentile = reference(line[:1] - line.mean() - 1.0)  # 1 beyond the end
    np.testing.assert_allclose(distance, np.mean([1, 3, 5, 7, 9]) / raw[1], rtol=1e-6)
    assert percentile[0] == pytest.approx(100 * 4 / 6)


def test_size_is_bounded_and_choice_is_seeded():
    X = np.random.default_rng(0).normal(size=(MOST + 500, 3))
    one, same, other = Reference.of(X, 1), Reference.of(X, 1), Reference.of(X, 2)
    assert one.points.shape == (MOST, 3) and len(one.own) == MOST
    np.testing.assert_array_equal(one.points, same.points)
    assert not np.array_equal(one.points, other.points)


def test_probes_keep_it(world, tmp_path):
    store, emb = world
    probe = ef.tasks.star.fit(emb, store.index)
    probe.save(tmp_path)
    back = ef.tasks.load_probe(tmp_path)
    np.testing.assert_array_equal(back.distance(emb), probe.distance(emb))
    assert back.info["had"] == probe.info["had"] and 0.8 < back.info["had"]["VIS"] < 1.0
    assert back.info["embeddings"]["modalities"] == ["VIS", "SED"]
    back.reference = None
    with pytest.raises(InputError, match="fit it again"):
        back.distance(emb)
