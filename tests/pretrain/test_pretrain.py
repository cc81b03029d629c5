"""Pre-training: it learns, resumes exactly, and does not depend on the number of processes."""

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV

import euclidfm as ef
from euclidfm.core.errors import InputError
from euclidfm.model import FoundationModel, ImageModality, ModelConfig
from euclidfm.pretrain import PretrainConfig, pretrain
from samples import blobs, write_store

MODEL = ModelConfig(
    images=(
        ImageModality(name="VIS", bands=("VIS",), patch=8),
        ImageModality(name="NISP", bands=("Y", "J", "H"), patch=8),
    ),
    crop=16,
    width=32,
    depth=2,
    heads=4,
)
CONFIG = PretrainConfig(
    model=MODEL, steps=30, batch=32, lr=3e-3, checkpoint_every=10, validate_every=10, precision="fp32", seed=3
)


def read_log(run):
    with (run / "log.csv").open() as f:
        return list(csv.DictReader(f))


def weights(run):
    return FoundationModel.load(run).state_dict()


def test_it_learns(store, tmp_path):
    pretrain(replace(CONFIG, steps=120), store.path, tmp_path / "run")
    log = read_log(tmp_path / "run")
    assert float(log[-1]["val_loss"]) < 0.6 * float(log[0]["val_loss"])
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
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_part_of_the_galaxies(store, tmp_path):
    """With so many galaxies as a batch holds, and nothing left to chance, every step sees the same ones."""
    still = {"random_order": False, "drop_modality": 0.0, "drop_band": 0.0, "turn": False}
    few = replace(CONFIG, galaxies=32, lr=1e-12, **still)
    pretrain(few, store.path, tmp_path / "few")
    losses = [float(r["loss"]) for r in read_log(tmp_path / "few")]
    assert len(losses) > 2 and np.ptp(losses) < 1e-5 * losses[0]
    pretrain(replace(few, galaxies=0), store.path, tmp_path / "all")
    assert np.ptp([float(r["loss"]) for r in read_log(tmp_path / "all")]) > 1e-3 * losses[0]
    with pytest.raises(InputError, match="galaxies must be at least 0"):
        replace(CONFIG, galaxies=-1)


def test_resume_is_exact(store, tmp_path):
    pretrain(CONFIG, store.path, tmp_path / "whole")
    pretrain(CONFIG, store.path, tmp_path / "cut")
    for path in (tmp_path / "cut" / "checkpoints").glob("step-00000030"):
        shutil.rmtree(path)  # as if killed after step 20
    (tmp_path / "cut" / "model.safetensors").unlink()
    pretrain(CONFIG, store.path, tmp_path / "cut")
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(a[k], b[k]) for k in a)
    whole, cut = read_log(tmp_path / "whole"), read_log(tmp_path / "cut")
    assert [r["loss"] for r in whole] == [r["loss"] for r in cut]


def test_damaged_newest_checkpoint_falls_back(store, tmp_path, caplog):
    pretrain(CONFIG, store.path, tmp_path / "run")
    before = weights(tmp_path / "run")
    newest = tmp_path / "run" / "checkpoints" / "step-00000030" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:50])
    pretrain(CONFIG, store.path, tmp_path / "run")
    assert "damaged" in caplog.text
    after = weights(tmp_path / "run")
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_another_config_does_not_overwrite(store, tmp_path):
    pretrain(replace(CONFIG, steps=2), store.path, tmp_path / "run")
    with pytest.raises(InputError, match=r"other settings .*lr"):
        pretrain(replace(CONFIG, steps=2, lr=1e-4), store.path, tmp_path / "run")


def test_a_run_of_an_older_version_continues(store, tmp_path):
    pretrain(replace(CONFIG, steps=2), store.path, tmp_path / "run")
    card = json.loads((tmp_path / "run" / "config.json").read_text())
    del card["hide"], card["shuffle_patches"], card["model"]["blocks"], card["model"]["objective"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(card))
    pretrain(replace(CONFIG, steps=2), store.path, tmp_path / "run")


def test_losses_are_those_of_the_first_version(store, tmp_path):
    """Default settings and the same seed give the losses that they gave before there were options."""
    pretrain(CONFIG, store.path, tmp_path / "run")
    losses = [float(r["loss"]) for r in read_log(tmp_path / "run")]
    np.testing.assert_allclose(losses, [0.896641, 0.887398, 0.868487], rtol=1e-4)


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
    model = pretrain(replace(CONFIG, steps=3), store.path, tmp_path / "run")
    assert np.isfinite(ef.embed(model, store).vectors).all()


def test_one_checkpoint_embeds_other_stores(store, tmp_path):
    model = pretrain(replace(CONFIG, steps=3), store.path, tmp_path / "run")
    galaxies = blobs(30, bands=("VIS",))
    galaxies = replace(
        galaxies, flux=galaxies.flux[:, :2], fluxerr=galaxies.fluxerr[:, :2], sed_bands=("F606W", "K_cfht")
    )
    emb = ef.embed(model, write_store(tmp_path / "other", galaxies))
    assert np.isfinite(emb.vectors).all() and np.isnan(emb.by_modality["NISP"]).all()


TWO_PROCESSES = """
from dataclasses import replace
from test_pretrain import CONFIG
from euclidfm.pretrain import pretrain
pretrain(replace(CONFIG, steps=5), {store!r}, {out!r})
"""


@pytest.mark.slow
def test_two_processes_equal_one(store, tmp_path):
    pretrain(replace(CONFIG, steps=5), store.path, tmp_path / "one")
    script = tmp_path / "go.py"
    script.write_text(TWO_PROCESSES.format(store=str(store.path), out=str(tmp_path / "two")))
    here = Path(__file__).parent
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--standalone",
        str(script),
    ]
    env = {**os.environ, "PYTHONPATH": f"{here}:{here.parent}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = read_log(tmp_path / "one"), read_log(tmp_path / "two")
    for key in ("loss", "val_loss", "grad_norm"):
        np.testing.assert_allclose(float(one[-1][key]), float(two[-1][key]), rtol=1e-4)
