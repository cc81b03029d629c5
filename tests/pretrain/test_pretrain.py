"""Pre-training learns, resumes exactly, and takes any store."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

import euclidfm as ef
from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.pretrain import pretrain
from pretrain.tiny import CONFIG, MODEL, assert_same_run, logged
from samples import NISP, blobs, write_store

TWO = replace(MODEL, images=(*MODEL.images, NISP))
"""A model of both instruments."""


def test_it_learns(store, tmp_path):
    pretrain(replace(CONFIG, model=TWO, steps=120), store.path, tmp_path / "run")
    losses = logged(tmp_path / "run", "val_loss")
    assert losses[-1] < 0.6 * losses[0]
    model = ef.FoundationModel.load(tmp_path / "run")
    emb = ef.embed(model, store)
    assert len(emb) == 400 and np.isfinite(emb.vectors).all()
    z = emb.column_of(store.labels("z_spec"), "z_spec")
    train, test = emb.split == "train", emb.split == "test"
    ridge = RidgeCV(np.logspace(-4, 3, 20)).fit(emb.vectors[train], z[train])
    scatter = np.std(ridge.predict(emb.vectors[test]) - z[test])
    assert scatter < 0.5 * np.std(z[test])


def test_same_seed_same_weights(store, tmp_path):
    for name in ("a", "b"):
        pretrain(CONFIG, store.path, tmp_path / name)
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_a_part_of_the_galaxies(store, tmp_path):
    """With one batch of galaxies and no augmentations, every step sees the same tokens."""
    still = {"random_order": "none", "drop_modality": 0.0, "drop_band": 0.0, "random_symmetry": False}
    few = replace(CONFIG, galaxies=32, lr=1e-12, **still)
    pretrain(few, store.path, tmp_path / "few")
    losses = logged(tmp_path / "few", "loss")
    assert len(losses) > 2 and np.ptp(losses) < 1e-5 * losses[0]
    pretrain(replace(few, galaxies=0), store.path, tmp_path / "all")
    assert np.ptp(logged(tmp_path / "all", "loss")) > 1e-3 * losses[0]


def test_validation_and_checkpoints_come_when_they_are_due(store, tmp_path):
    pretrain(replace(CONFIG, steps=20, validate_every=7, checkpoint_every=9), store.path, tmp_path / "run")
    steps = logged(tmp_path / "run", "step")
    assert steps.tolist() == [7, 10, 14, 20] and len(logged(tmp_path / "run", "val_loss")) == 3
    checkpoints = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert checkpoints == ["step-00000018", "step-00000020"]


def test_damaged_newest_checkpoint_falls_back(store, tmp_path, caplog):
    for name in ("whole", "run"):
        pretrain(CONFIG, store.path, tmp_path / name)
    newest = tmp_path / "run" / "checkpoints" / "step-00000030" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:50])
    pretrain(CONFIG, store.path, tmp_path / "run")
    assert "damaged" in caplog.text
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_another_config_does_not_overwrite(store, tmp_path):
    pretrain(replace(CONFIG, steps=2), store.path, tmp_path / "run")
    with pytest.raises(InputError, match=r"other settings .*lr"):
        pretrain(replace(CONFIG, steps=2, lr=1e-4), store.path, tmp_path / "run")


OLD = {
    "turn": True, "random_order": True, "shuffle_patches": 0.5, "clip": 1.0, "decay": 0.2, "hide": 0.5,
    "keep": 5, "keep_best": False, "sample_every": 15, "tensorboard": True, "wandb": False,
}  # fmt: skip
"""Settings by which an older version would have written the same run."""


def test_a_run_of_an_older_version_continues(store, tmp_path):
    config = replace(CONFIG, random_order="patches")
    for name in ("whole", "run"):
        pretrain(config, store.path, tmp_path / name)
    file = tmp_path / "run" / "config.json"
    card = json.loads(file.read_text())
    del card["random_symmetry"], card["log_to"], card["model"]["options"], card["model"]["objective"]
    file.write_text(json.dumps(card | OLD))
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000030")
    pretrain(config, store.path, tmp_path / "run")
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("other", [{"clip": 5.0}, {"hide": 0.3}, {"shuffle_patches": 0.7}, {"turn": False}])
def test_a_run_that_this_version_cannot_continue_says_so(store, tmp_path, other):
    config = replace(CONFIG, steps=2, random_order="patches")
    pretrain(config, store.path, tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    card = json.loads(file.read_text())
    del card["random_symmetry"]
    file.write_text(json.dumps(card | OLD | other))
    with pytest.raises(InputError, match="holds a run with other settings"):
        pretrain(config, store.path, tmp_path / "run")


def test_diverging_run_says_so(store, tmp_path):
    with pytest.raises(InputError, match=r"not finite at step \d+ .*lower lr"):
        pretrain(replace(CONFIG, lr=1e30, warmup=0.0), store.path, tmp_path / "run")


@pytest.mark.parametrize(
    ("bands", "sed"), [((), ("g", "r", "H")), (("VIS",), ()), (("VIS", "H"), ("VIS", "H"))]
)
def test_any_store(tmp_path, bands, sed):
    galaxies = blobs(120, bands=bands)
    keep = [galaxies.sed_bands.index(b) for b in sed]
    galaxies = replace(
        galaxies, flux=galaxies.flux[:, keep], fluxerr=galaxies.fluxerr[:, keep], sed_bands=sed
    )
    store = write_store(tmp_path / "store", galaxies)
    model = pretrain(replace(CONFIG, model=TWO, steps=3), store.path, tmp_path / "run")
    assert np.isfinite(ef.embed(model, store).vectors).all()


def test_a_store_without_a_modality_says_so(tmp_path, caplog):
    store = write_store(tmp_path / "store", blobs(60, bands=()))
    model = pretrain(replace(CONFIG, steps=2), store.path, tmp_path / "run")
    assert "has no VIS: the model is made without" in caplog.text and model.config.modalities == ("SED",)


def test_one_checkpoint_embeds_other_stores(store, tmp_path):
    model = pretrain(replace(CONFIG, model=TWO, steps=3), store.path, tmp_path / "run")
    galaxies = blobs(30, bands=("VIS",))
    galaxies = replace(
        galaxies, flux=galaxies.flux[:, :2], fluxerr=galaxies.fluxerr[:, :2], sed_bands=("F606W", "K_cfht")
    )
    emb = ef.embed(model, write_store(tmp_path / "other", galaxies))
    assert np.isfinite(emb.vectors).all() and np.isnan(emb.by_modality["NISP"]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"ema": 1.5}, "ema must be between 0 and 1"),
        ({"lr": -1.0}, "lr must be above 0"),
        ({"galaxies": -1}, "galaxies must be at least 0"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(InputError, match=message):
        replace(CONFIG, **settings)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--turn=false", "is now --random_symmetry"),
        ("--wandb=true", "is now --log_to=[wandb]"),
        ("--shuffle_patches=0.5", "is now --random_order=patches"),
        ("--keep_best=false", "was removed: the best model is always kept"),
    ],
)
def test_options_of_older_versions_are_answered(capsys, option, message):
    assert main(["pretrain", "store", "--out", "run", option]) == 2
    assert message in capsys.readouterr().err
