"""Optimisers, schedules, averages, parts of batches, guards: each with an exact resume."""

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from euclidfm.core.errors import InputError
from euclidfm.model import FoundationModel, ImageModality, ModelConfig
from euclidfm.pretrain import PretrainConfig, pretrain
from euclidfm.pretrain.optimizers import Average, learning_rate
from euclidfm.pretrain.step import Stepper
from samples import blobs, write_store

MODEL = ModelConfig(
    images=(ImageModality(name="VIS", bands=("VIS",), patch=8),), crop=16, width=32, depth=2, heads=4
)
CONFIG = PretrainConfig(
    model=MODEL, steps=30, batch=32, lr=3e-3, checkpoint_every=10, validate_every=10, precision="fp32", seed=3
)
EVERYTHING = replace(CONFIG, optimizer="muon", schedule="wsd", ema=0.9, accumulate=3)


def read_log(run):
    with (run / "log.csv").open() as f:
        return list(csv.DictReader(f))


def weights(run):
    return FoundationModel.load(run).state_dict()


def test_parts_of_a_batch_equal_the_whole(store, tmp_path):
    for parts in (1, 3):
        pretrain(replace(CONFIG, steps=10, accumulate=parts), store.path, tmp_path / str(parts))
    one, three = read_log(tmp_path / "1"), read_log(tmp_path / "3")
    for key in ("loss", "val_loss", "grad_norm", "loss_SED"):
        got, want = ([float(r[key]) for r in rows] for rows in (three, one))
        np.testing.assert_allclose(got, want, rtol=2e-4)


def test_resume_is_exact_with_everything(store, tmp_path):
    config = replace(EVERYTHING, model=replace(MODEL, objective="likelihood"))
    pretrain(config, store.path, tmp_path / "whole")
    pretrain(config, store.path, tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-00000030")  # as if killed after step 20
    (tmp_path / "cut" / "model.safetensors").unlink()
    pretrain(config, store.path, tmp_path / "cut")
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert [r["loss"] for r in read_log(tmp_path / "whole")] == [
        r["loss"] for r in read_log(tmp_path / "cut")
    ]


KILLED = """
from test_engine import EVERYTHING
from euclidfm.pretrain import pretrain
from dataclasses import replace
pretrain(replace(EVERYTHING, steps=400), {store!r}, {out!r})
"""


@pytest.mark.slow
def test_resume_after_kill_9_is_exact(store, tmp_path):
    here = Path(__file__).parent
    path = f"{here}:{here.parent}:{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def start(out):
        code = KILLED.format(store=str(store.path), out=str(tmp_path / out))
        return subprocess.Popen([sys.executable, "-c", code], env=env)

    assert start("whole").wait() == 0
    process = start("cut")
    while not list((tmp_path / "cut" / "checkpoints").glob("step-000000[3-9]*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not (tmp_path / "cut" / "model.json").exists()
    assert start("cut").wait() == 0
    whole, cut = read_log(tmp_path / "whole"), read_log(tmp_path / "cut")
    for key in ("loss", "val_loss", "grad_norm"):
        assert [r[key] for r in whole] == [r[key] for r in cut]
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_muon_learns(store, tmp_path):
    pretrain(replace(CONFIG, steps=50, optimizer="muon"), store.path, tmp_path / "run")
    losses = [float(r["val_loss"]) for r in read_log(tmp_path / "run")]
    assert losses[-1] < 0.8 * losses[0]


def test_schedules():
    cosine = replace(CONFIG, steps=100, warmup=0.1, min_lr=0.1, lr=1.0)
    wsd = replace(cosine, schedule="wsd", decay=0.2)
    assert [learning_rate(cosine, s) for s in (0, 9)] == [learning_rate(wsd, s) for s in (0, 9)] == [0.1, 1.0]
    assert learning_rate(wsd, 50) == learning_rate(wsd, 80) == 1.0
    np.testing.assert_allclose([learning_rate(wsd, 90), learning_rate(wsd, 100)], [0.55, 0.1])
    np.testing.assert_allclose([learning_rate(cosine, 55), learning_rate(cosine, 100)], [0.55, 0.1])


def test_average_of_the_weights(store, tmp_path):
    model = FoundationModel(MODEL)
    average = Average(model, 0.5)
    first = model.end.detach().clone()
    with torch.no_grad():
        model.end.add_(1.0)
    average.update(1000)
    with average.used():
        torch.testing.assert_close(model.end.detach(), first + 0.5)
    torch.testing.assert_close(model.end.detach(), first + 1.0)
    pretrain(CONFIG, store.path, tmp_path / "plain")
    pretrain(replace(CONFIG, ema=0.9), store.path, tmp_path / "ema")
    plain, ema = read_log(tmp_path / "plain"), read_log(tmp_path / "ema")
    assert [r["loss"] for r in plain] == [r["loss"] for r in ema]
    assert [r["val_loss"] for r in plain] != [r["val_loss"] for r in ema]


def test_the_best_model_is_kept(store, tmp_path):
    pretrain(replace(CONFIG, steps=60, lr=2e-2), store.path, tmp_path / "run")
    seen = {int(r["step"]): float(r["val_loss"]) for r in read_log(tmp_path / "run") if r["val_loss"]}
    card = json.loads((tmp_path / "run" / "best" / "model.json").read_text())
    assert seen[card["steps"]] == min(seen.values())
    assert FoundationModel.load(tmp_path / "run" / "best").typical.abs().sum() > 0


def test_tensorboard_or_a_sentence(store, tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder, purge_step):
            assert folder.endswith("tensorboard") and purge_step == 0

        def add_scalar(self, name, value, step):
            written.append((name, step))

        def flush(self):
            pass

    config = replace(CONFIG, steps=2, tensorboard=True)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    pretrain(config, store.path, tmp_path / "run")
    assert {("loss", 2), ("val_SED", 2), ("lr", 2)} <= set(written)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="tensorboard is not installed"):
        pretrain(config, store.path, tmp_path / "other")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_out_of_memory_says_what_to_do(store, tmp_path, monkeypatch, error):
    real, calls = Stepper.backward, []

    def fails(self, *args):
        calls.append(1)
        if len(calls) > 12:
            raise error
        return real(self, *args)

    monkeypatch.setattr(Stepper, "backward", fails)
    with pytest.raises(InputError, match=r"out of memory at step 12 .* --accumulate 2"):
        pretrain(CONFIG, store.path, tmp_path / "run")
    monkeypatch.undo()
    pretrain(CONFIG, store.path, tmp_path / "run")  # the checkpoint of step 10 is good
    assert len(read_log(tmp_path / "run")) == 3


def test_other_errors_are_not_taken_for_memory(store, tmp_path, monkeypatch):
    def fails(self, *args):
        msg = "shapes differ"
        raise RuntimeError(msg)

    monkeypatch.setattr(Stepper, "backward", fails)
    with pytest.raises(RuntimeError, match="shapes differ"):
        pretrain(CONFIG, store.path, tmp_path / "run")


def test_a_store_without_a_modality_says_so(tmp_path, caplog):
    store = write_store(tmp_path / "store", blobs(60, bands=()))
    model = pretrain(replace(CONFIG, steps=2), store.path, tmp_path / "run")
    assert "has no VIS: the model is made without" in caplog.text and model.config.modalities == ("SED",)


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"accumulate": 0}, "accumulate must be"), ({"ema": 1.5}, "between 0 and 1"), ({"lr": -1.0}, "above 0")],
)
def test_settings_that_make_no_sense(settings, told):
    with pytest.raises(InputError, match=told):
        replace(CONFIG, **settings)
    assert math.isclose(CONFIG.lr, 3e-3)
