"""Several processes (gloo, on the CPU): the same losses as one, full checkpoints, an exact resume."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import euclidfm as ef
from euclidfm.core.errors import InputError
from euclidfm.model import FoundationModel
from euclidfm.pretrain import distributed, pretrain
from euclidfm.pretrain.distributed import DistributedContext
from pretrain.tiny import CONFIG, ENVIRONMENT, MODEL, assert_same_run, logged

PLAIN = replace(CONFIG, model=replace(MODEL, objective="likelihood"), steps=20, ema=0.9, accumulate=2)

SCRIPT = """
import shutil, sys
from dataclasses import replace
from pathlib import Path
import torch
from torch import distributed as dist
from euclidfm.pretrain import pretrain
from euclidfm.pretrain.distributed import DistributedContext
from pretrain.test_parallel import PLAIN

store, out, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
context = DistributedContext.initialise()  # one process group for all the runs
DistributedContext.initialise = classmethod(lambda cls: context)
DistributedContext.close = lambda self: None

def run(name, **how):
    return pretrain(replace(PLAIN, parallel=kind, **how), store, out / name)

def cut(name):
    dist.barrier()
    if context.is_main:
        (out / name / "model.safetensors").unlink()
        shutil.rmtree(out / name / "checkpoints" / "step-00000020")  # as if killed after step 10
    dist.barrier()

run("whole")
run("again")
cut("again")
model = run("again")
assert model.modality_mean.abs().sum() > 0  # every process returns the full model
run("other")
cut("other")
if kind == "fsdp":
    run("muon", optimizer="muon", steps=3)
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_halves_of_a_batch_equal_the_whole(store, tmp_path, kind):
    pretrain(PLAIN, store.path, tmp_path / "one")
    script = tmp_path / "go.py"
    script.write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command = [*launch, str(script), str(store.path), str(tmp_path), kind]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    for key in ("loss", "val_loss", "grad_norm", "loss_SED"):
        one, two = (logged(tmp_path / name, key) for name in ("one", "whole"))
        np.testing.assert_allclose(two, one, rtol=1e-4)
    assert_same_run(tmp_path / "whole", tmp_path / "again")
    vectors = [
        ef.embed(FoundationModel.load(tmp_path / name), store).vectors
        for name in ("whole", "one", "whole/best")
    ]
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=1e-2, atol=1e-2)
    assert np.isfinite(vectors[2]).all()
    pretrain(PLAIN, store.path, tmp_path / "other")  # one process continues what two began
    other, one = (logged(tmp_path / name, "loss") for name in ("other", "one"))
    np.testing.assert_allclose(other, one, rtol=1e-4)
    if kind == "fsdp":
        pretrain(replace(PLAIN, optimizer="muon", steps=3), store.path, tmp_path / "muon-one")
        for key in ("loss", "val_loss"):
            got, want = (logged(tmp_path / name, key)[-1] for name in ("muon", "muon-one"))
            np.testing.assert_allclose(got, want, rtol=1e-3)  # its square roots are in bf16


def test_one_process_has_nothing_to_shard(store, tmp_path):
    config = replace(PLAIN, steps=2)
    pretrain(config, store.path, tmp_path / "ddp")
    pretrain(replace(config, parallel="fsdp"), store.path, tmp_path / "fsdp")
    a, b = (FoundationModel.load(tmp_path / k).identity() for k in ("ddp", "fsdp"))
    assert a == b
    pretrain(replace(config, parallel="fsdp"), store.path, tmp_path / "ddp")  # goes on where the other was
    card = json.loads((tmp_path / "ddp" / "config.json").read_text())
    assert card["parallel"] == "ddp"


def test_processes_that_see_different_folders_say_so(monkeypatch):
    def other_has_none(steps, op):
        steps.copy_(torch.maximum(steps, torch.tensor([0, 0])))

    monkeypatch.setattr(distributed.dist, "all_reduce", other_has_none)
    with pytest.raises(InputError, match="file system that all machines see"):
        DistributedContext(0, 2, torch.device("cpu")).check_same_step(20)
