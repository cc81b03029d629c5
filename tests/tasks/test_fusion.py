"""Fusion of blocks: it uses what helps, leaves out what does not, and predicts galaxies that lack blocks."""

import json
from dataclasses import replace

import numpy as np
import pytest

import euclidfm as ef
from colours import BANDS, sky, table
from euclidfm.commands.science import probe as probe_command
from euclidfm.core.errors import InputError
from euclidfm.tasks.baselines.photometric import colours_ridge
from euclidfm.tasks.fusion.choose import choose_terms
from euclidfm.tasks.fusion.head import fit_fusion
from euclidfm.tasks.heads.leverage import Directions
from euclidfm.tasks.heads.ridge import ridge


def test_gram_and_features_give_the_same_leave_one_out():
    rng = np.random.default_rng(0)
    F, y = rng.normal(size=(30, 50)), rng.normal(size=30)
    A, t = F - F.mean(axis=0), y - y.mean()
    for a in (1e-6, 1.0, 1e4):
        r, share = Directions.of_gram(A @ A.T).residuals(t, a)
        np.testing.assert_allclose(r / share, ridge(F, y, np.array([a])).residuals, rtol=1e-6)


def test_noise_is_left_out_and_news_are_used():
    for tell, wanted in ((0.0, False), (5.0, True)):
        photometry, vectors, y = sky(240, tell=tell)
        X = np.concatenate([photometry, vectors], axis=1)
        head = fit_fusion([("photometry", 2 * BANDS), ("VIS", 30)], X, y).head
        used = [r["term"] for r in head.report() if r["used"]]
        assert used[0].startswith("photometry")
        assert any(u.startswith("VIS") for u in used) == wanted
        for r in head.report():
            if not r["used"]:
                assert r["error_without"] - r["error"] <= r["standard_error"] + 1e-12


def test_never_worse_than_the_colours_alone():
    photometry, vectors, y = sky(600)
    X = np.concatenate([photometry, vectors], axis=1)
    a, b = slice(0, 60), slice(60, 600)
    fused = fit_fusion([("photometry", 2 * BANDS), ("VIS", 30)], X[a], y[a]).predict(X[b])
    flux, error = np.split(photometry.astype(float), 2, axis=1)
    alone = colours_ridge((flux[a], error[a]), y[a], (flux[b], error[b]))
    assert np.abs(fused - y[b]).mean() < 1.1 * np.abs(alone - y[b]).mean()


def test_the_weight_of_an_added_block_is_the_best_of_those_tried():
    rng = np.random.default_rng(1)
    A, B = rng.normal(size=(200, 4)), rng.normal(size=(200, 60))
    y = A @ np.ones(4) + 0.2 * B[:, 0] + 0.1 * rng.normal(size=200)
    chosen, trials = choose_terms({"A": A, "B": B}, y[:, None], squared=False)
    assert list(chosen) == ["A", "B"] and chosen["A"] == 1.0
    for w in (0.03, 0.1, 0.3, 1.0):
        assert trials[1].error <= ridge(np.c_[A, w * B], y).loss * (1 + 1e-6)


@pytest.mark.parametrize("task", ["photoz", "star"])
def test_galaxies_that_lack_blocks_are_predicted_from_the_others(task, tmp_path):
    photometry, vectors, y = sky(320, tell=5.0)
    vectors[:, 1] += 2 * (y - y.mean()) / y.std()  # so that the images alone tell something, too
    lacks = np.arange(320) % 4 == 3  # the test galaxies
    some = photometry.copy()
    some[lacks] = np.nan
    emb = table(some, vectors)
    emb.by_modality["SED"][lacks] = np.nan
    labels = {"object_id": emb.object_id, "z_spec": np.expm1(y), "is_star": (y > 0.5).astype(float)}
    probe = ef.tasks.get(task).fit(emb, labels, head="fusion")
    images = ef.tasks.get(task).fit(emb, labels, head="fusion", use=("VIS",))
    np.testing.assert_allclose(probe.predict_array(emb)[lacks], images.predict_array(emb)[lacks], rtol=1e-9)
    assert not np.allclose(probe.predict_array(emb)[~lacks], images.predict_array(emb)[~lacks])
    nothing = replace(emb, spaces={"photometry": np.full_like(some, np.nan)}).take(np.arange(5))
    nothing.by_modality = {m: np.full_like(v, np.nan) for m, v in nothing.by_modality.items()}
    assert np.isnan(probe.predict_array(nothing)).all()
    probe.save(tmp_path)
    back = ef.tasks.load_probe(tmp_path)
    np.testing.assert_array_equal(back.predict_array(emb), probe.predict_array(emb))
    for ours, theirs in zip(back.distance(emb), probe.distance(emb), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_missing_band_is_not_a_missing_galaxy():
    photometry, _, y = sky(300)
    photometry[::3, 1] = photometry[::3, BANDS + 1] = np.nan
    fitted = fit_fusion([("photometry", 2 * BANDS)], photometry, y)
    assert np.abs(fitted.predict(photometry) - y)[::3].mean() < 0.15


def test_the_command_reports_blocks_and_takes_a_choice(tmp_path, capsys, world):
    store, emb = world
    emb.write(tmp_path / "e.parquet")
    probe_command(tmp_path / "e.parquet", store=store.path, task="photoz", out=tmp_path / "all")
    card = json.loads((tmp_path / "all" / "probe.json").read_text())
    rows = card["info"]["blocks"]
    assert {r["term"].partition(" ")[0] for r in rows} == {"VIS", "SED"}
    printed = capsys.readouterr().out
    assert all(r["term"] in printed for r in rows) and "without" in printed
    probe_command(
        tmp_path / "e.parquet", store=store.path, task="photoz", inputs=["VIS"], out=tmp_path / "one"
    )
    card = json.loads((tmp_path / "one" / "probe.json").read_text())
    assert card["use"] == ["VIS"] and card["info"]["inputs"] == "VIS"
    with pytest.raises(InputError, match="'XRAY'; it has joint, VIS, SED"):
        probe_command(tmp_path / "e.parquet", store=store.path, inputs=["XRAY"], out=tmp_path / "none")


def test_embeddings_carry_the_photometry(store, config):
    from euclidfm.model.foundation import FoundationModel

    model = FoundationModel(config)
    emb = ef.embed(model, store)
    flux, error = store.photometry()
    np.testing.assert_array_equal(
        emb.spaces["photometry"], np.concatenate([flux, error], axis=1).astype(np.float32)
    )
    assert "photometry" not in ef.embed(model, store, modalities=["VIS"]).spaces
