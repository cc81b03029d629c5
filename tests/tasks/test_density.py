"""Densities: calibrated, sharper than the marginal, conformal, kept on disk, blind to the test set."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import euclidfm as ef
from euclidfm.core.errors import InputError
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.tasks.density.calibrate import KNOTS, conformal_half_width, recalibrate, recalibration_map
from euclidfm.tasks.density.fit import fit_density
from euclidfm.tasks.density.mixture import MixtureConfig, MixtureDensityNetwork
from euclidfm.tasks.density.probe import load_density

QUICK = MixtureConfig(ensemble=1, steps=200, epochs=5)
FULLER = replace(QUICK, ensemble=3)


@pytest.fixture(scope="module")
def sky():
    """Redshifts whose error depends on the galaxy, with some catastrophic ones."""
    rng = np.random.default_rng(0)
    n = 1500
    z = rng.uniform(0.1, 2.0, n)
    sigma = np.where(rng.random(n) < 0.5, 0.01, 0.06)
    seen = np.log1p(z) + sigma * rng.normal(size=n)
    hidden = np.c_[seen, sigma * 10, rng.normal(size=(n, 4))]
    vectors = np.c_[hidden, np.tanh(hidden @ rng.normal(0, 0.5, (6, 10)))].astype(np.float32)
    split = rng.choice(["train", "validation", "test"], n, p=[0.5, 0.2, 0.3])
    emb = EmbeddingTable(
        object_id=np.arange(n),
        ra=np.zeros(n),
        dec=np.zeros(n),
        split=split,
        vectors=vectors,
        info={"modalities": ["SED"]},
    )
    return emb, {"object_id": np.arange(n), "z_spec": z}, sigma


@pytest.fixture(scope="module")
def probe(sky):
    return fit_density(sky[0], sky[1], config=FULLER)


def test_calibrated_and_sharp(sky, probe):
    emb, labels, sigma = sky
    got = {r["metric"]: r["value"] for r in probe.evaluate(emb, labels, resamples=30)}
    assert got["coverage_68"] == pytest.approx(0.68, abs=0.06)
    assert got["coverage_95"] == pytest.approx(0.95, abs=0.04)
    assert got["conformal_coverage_68"] == pytest.approx(0.68, abs=0.07)
    assert got["pit_ks"] < 0.08 and got["crps"] < 0.08 and got["nmad"] < 0.05
    table = probe.predict(emb)
    width = table["z_phot_high68"].to_numpy() - table["z_phot_low68"].to_numpy()
    assert np.median(width[sigma > 0.03]) > 2 * np.median(width[sigma < 0.03])


def test_table_holds_the_densities(sky, probe):
    emb, _, _ = sky
    table = probe.predict(emb.take(np.arange(20)))
    grid = np.array(json.loads(table.schema.metadata[b"pz_grid"]))
    pz = np.array(table["pz"].to_pylist())
    assert pz.shape == (20, len(grid)) and (pz >= 0).all()
    np.testing.assert_allclose(np.trapezoid(pz, grid, axis=1), 1, atol=1e-3)
    for level in ("68", "95"):
        assert (table[f"z_phot_low{level}"].to_numpy() <= table["z_phot"].to_numpy()).all()
        assert (table["z_phot"].to_numpy() <= table[f"z_phot_high{level}"].to_numpy()).all()
    assert (table["z_phot_low95"].to_numpy() <= table["z_phot_low68"].to_numpy()).all()
    assert "pz" not in probe.predict(emb, with_density=False).column_names


def test_saves_and_loads(sky, probe, tmp_path):
    emb, _, _ = sky
    probe.save(tmp_path)
    assert ef.tasks.load_density(tmp_path).info == probe.info
    np.testing.assert_array_equal(load_density(tmp_path).densities(emb), probe.densities(emb))
    (tmp_path / "density.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="damaged"):
        load_density(tmp_path)


def test_test_labels_never_leak(sky, probe):
    emb, labels, _ = sky
    other = {k: v.copy() for k, v in labels.items()}
    other["z_spec"][emb.split == "test"] = 0.7
    again = fit_density(emb, other, config=FULLER)
    np.testing.assert_array_equal(again.densities(emb), probe.densities(emb))


def test_without_validation_galaxies_some_training_ones_calibrate(sky):
    emb, labels, _ = sky
    few = emb.take(emb.split != "validation")
    probe = fit_density(few, labels, config=QUICK)
    assert probe.info["n_calibration"] == (few.split == "train").sum() // 5


def test_classes_have_no_density(sky):
    with pytest.raises(InputError, match="has classes"):
        fit_density(sky[0], sky[1], task="star")


def test_missing_vectors_have_no_density(sky, probe):
    emb = sky[0].take(np.arange(3))
    emb.vectors = emb.vectors.copy()
    emb.vectors[1] = np.nan
    pz = probe.densities(emb)
    assert np.isnan(pz[1]).all() and np.isfinite(pz[[0, 2]]).all()
    assert np.isnan(probe.predict(emb)["z_phot"].to_numpy()[1])


def test_mixture_integrates_to_one():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 3))
    m = MixtureDensityNetwork(MixtureConfig(ensemble=2, epochs=2, steps=10))
    m.fit(X, X[:, 0] + 0.1 * rng.normal(size=200))
    t = np.linspace(-60, 60, 6001)
    area = np.trapezoid(m.density(X[:5], np.broadcast_to(t, (5, len(t)))), t, axis=1)
    np.testing.assert_allclose(area, 1, atol=2e-3)


@settings(max_examples=50, deadline=None)
@given(st.integers(5, 300), st.sampled_from([0.5, 0.68, 0.9]), st.integers(0, 500))
def test_conformal_index(n, level, seed):
    pit = np.random.default_rng(seed).random(n)
    q = conformal_half_width(pit, level)
    inside = (np.abs(pit - 0.5) <= q).sum()
    assert inside == min(n, np.ceil((n + 1) * level))


def test_conformal_coverage_is_guaranteed_for_wrong_densities():
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(300):
        u = rng.beta(0.4, 0.4, 101)  # far from uniform
        covered.append(abs(u[-1] - 0.5) <= conformal_half_width(u[:-1], 0.68))
    assert np.mean(covered) == pytest.approx(0.68, abs=0.07)
    assert conformal_half_width(np.empty(0), 0.68) == 0.5


def test_recalibration_makes_pit_uniform():
    rng = np.random.default_rng(4)
    mapped = recalibration_map(rng.beta(2, 2, 20_000))
    assert (np.diff(mapped) >= 0).all() and mapped[0] == 0 and mapped[-1] == 1
    fresh = np.sort(np.interp(rng.beta(2, 2, 5000), KNOTS, mapped))
    assert np.abs(fresh - np.linspace(0, 1, 5000)).max() < 0.04
    same = recalibration_map(np.empty(0))
    cdf = np.linspace(0, 1, 50)[None]
    np.testing.assert_allclose(recalibrate(np.ones((1, 50)), cdf, same)[1], cdf)
