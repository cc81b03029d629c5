"""Optimisers, schedules, averaged weights, micro-batches, failures: each with an exact resume."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from euclidfm.core.errors import InputError
from euclidfm.model import FoundationModel
from euclidfm.pretrain import pretrain
from euclidfm.pretrain.ema import ExponentialMovingAverage
from euclidfm.pretrain.guards import check_finite
from euclidfm.pretrain.optimizers import learning_rate
from euclidfm.pretrain.step import TrainingStep
from pretrain.tiny import CONFIG, ENVIRONMENT, MODEL, assert_same_run, logged, read_log

EVERYTHING = replace(
    CONFIG,
    model=replace(MODEL, objective="likelihood"),
    optimizer="muon",
    schedule="wsd",
    ema=0.9,
    accumulate=3,
)


def test_micro_batches_equal_the_whole_batch(store, tmp_path):
    for parts in (1, 3):
        pretrain(replace(CONFIG, steps=10, accumulate=parts), store.path, tmp_path / str(parts))
    for key in ("loss", "val_loss", "grad_norm", "loss_SED"):
        got, want = (logged(tmp_path / parts, key) for parts in ("3", "1"))
        np.testing.assert_allclose(got, want, rtol=2e-4)


@pytest.mark.parametrize("config", [CONFIG, EVERYTHING], ids=["plain", "everything"])
def test_resume_is_exact(store, tmp_path, config):
    for name in ("whole", "cut"):
        pretrain(config, store.path, tmp_path / name)
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-00000030")  # as if killed after step 20
    (tmp_path / "cut" / "model.safetensors").unlink()
    pretrain(config, store.path, tmp_path / "cut")
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


KILLED = """
from dataclasses import replace
from pretrain.test_engine import EVERYTHING
from euclidfm.pretrain import pretrain
pretrain(replace(EVERYTHING, steps=150), {store!r}, {out!r})
"""


@pytest.mark.slow
def test_resume_after_kill_9_is_exact(store, tmp_path):
    def start(out):
        code = KILLED.format(store=str(store.path), out=str(tmp_path / out))
        return subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT)

    assert start("whole").wait() == 0
    process = start("cut")
    while not list((tmp_path / "cut" / "checkpoints").glob("step-000000[3-9]*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not (tmp_path / "cut" / "model.json").exists()
    assert start("cut").wait() == 0
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_muon_learns(store, tmp_path):
    pretrain(replace(CONFIG, steps=50, optimizer="muon"), store.path, tmp_path / "run")
    losses = logged(tmp_path / "run", "val_loss")
    assert losses[-1] < 0.8 * losses[0]


def test_schedules():
    cosine = replace(CONFIG, steps=100, warmup=0.1, min_lr=0.1, lr=1.0)
    wsd = replace(cosine, schedule="wsd")
    assert [learning_rate(cosine, s) for s in (0, 9)] == [learning_rate(wsd, s) for s in (0, 9)] == [0.1, 1.0]
    assert learning_rate(wsd, 50) == learning_rate(wsd, 80) == 1.0
    np.testing.assert_allclose([learning_rate(wsd, 90), learning_rate(wsd, 100)], [0.55, 0.1])
    np.testing.assert_allclose([learning_rate(cosine, 55), learning_rate(cosine, 100)], [0.55, 0.1])


def test_average_of_the_weights(store, tmp_path):
    model = FoundationModel(MODEL)
    average = ExponentialMovingAverage(model, 0.5)
    first = model.end.detach().clone()
    with torch.no_grad():
        model.end.add_(1.0)
    average.update(1000)
    with average.applied():
        torch.testing.assert_close(model.end.detach(), first + 0.5)
    torch.testing.assert_close(model.end.detach(), first + 1.0)
    pretrain(CONFIG, store.path, tmp_path / "plain")
    pretrain(replace(CONFIG, ema=0.9), store.path, tmp_path / "ema")
    plain, ema = tmp_path / "plain", tmp_path / "ema"
    assert logged(plain, "loss").tolist() == logged(ema, "loss").tolist()
    assert logged(plain, "val_loss").tolist() != logged(ema, "val_loss").tolist()


def test_the_best_model_is_kept(store, tmp_path):
    pretrain(replace(CONFIG, steps=60, lr=2e-2), store.path, tmp_path / "run")
    seen = {int(r["step"]): float(r["val_loss"]) for r in read_log(tmp_path / "run") if r["val_loss"]}
    card = json.loads((tmp_path / "run" / "best" / "model.json").read_text())
    assert seen[card["steps"]] == min(seen.values())
    assert FoundationModel.load(tmp_path / "run" / "best").modality_mean.abs().sum() > 0


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_out_of_memory_says_what_to_do(store, tmp_path, monkeypatch, error):
    real, calls = TrainingStep.forward_backward, []

    def fails(self, *args):
        calls.append(1)
        if len(calls) > 12:
            raise error
        return real(self, *args)

    monkeypatch.setattr(TrainingStep, "forward_backward", fails)
    with pytest.raises(InputError, match=r"out of memory at step 12 .* --accumulate 2"):
        pretrain(CONFIG, store.path, tmp_path / "run")
    monkeypatch.undo()
    pretrain(CONFIG, store.path, tmp_path / "run")  # the checkpoint of step 10 is good
    assert len(read_log(tmp_path / "run")) == 3


def test_a_lower_lr_is_advised_only_after_a_step(tmp_path):
    bad = torch.tensor(float("nan"))
    check_finite(torch.tensor(1.0), bad, 0, tmp_path)  # only the gradient decides
    with pytest.raises(InputError, match=r"at step 0 \(loss nan\); no weight has changed yet") as first:
        check_finite(bad, bad, 0, tmp_path)
    assert "lr" not in str(first.value)
    with pytest.raises(InputError, match=r"at step 1 .*start again with a lower lr"):
        check_finite(bad, bad, 1, tmp_path)


def test_other_errors_are_not_taken_for_memory(store, tmp_path, monkeypatch):
    def fails(self, *args):
        msg = "shapes differ"
        raise RuntimeError(msg)

    monkeypatch.setattr(TrainingStep, "forward_backward", fails)
    with pytest.raises(RuntimeError, match="shapes differ"):
        pretrain(CONFIG, store.path, tmp_path / "run")
