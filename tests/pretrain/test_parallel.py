"""Several processes (gloo, on the CPU): the same losses as one, whole checkpoints, an exact resume."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import euclidfm as ef
from euclidfm.core.errors import InputError
from euclidfm.model import FoundationModel, ImageModality, ModelConfig
from euclidfm.pretrain import PretrainConfig, pretrain, sharding
from euclidfm.pretrain.distributed import World

MODEL = ModelConfig(
    images=(ImageModality(name="VIS", bands=("VIS",), patch=8),),
    crop=16,
    width=32,
    depth=2,
    heads=4,
    objective="likelihood",
)
PLAIN = PretrainConfig(
    model=MODEL, steps=20, batch=32, lr=3e-3, ema=0.9, accumulate=2, checkpoint_every=10,
    validate_every=10, precision="fp32", seed=3,
)  # fmt: skip

SCRIPT = """
import shutil, sys
from dataclasses import replace
from pathlib import Path
import torch
from torch import distributed as dist
from euclidfm.pretrain import pretrain, train
from euclidfm.pretrain.distributed import World
from test_parallel import PLAIN

store, out, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
world = World.join()
World.join, World.leave = classmethod(lambda cls: world), lambda self: None  # one group for all the runs

def run(name, **how):
    return pretrain(replace(PLAIN, parallel=kind, **how), store, out / name)

def cut(name):
    dist.barrier()
    if world.rank == 0:
        (out / name / "model.safetensors").unlink()
        shutil.rmtree(out / name / "checkpoints" / "step-00000020")  # as if killed after step 10
    dist.barrier()

run("whole")
run("again")
cut("again")
model = run("again")
assert model.typical.abs().sum() > 0  # whole on every process
run("other")
cut("other")
if kind == "fsdp":
    run("muon", optimizer="muon", steps=3)
dist.barrier()
dist.destroy_process_group()
"""


def read_log(run):
    with (run / "log.csv").open() as f:
        return list(csv.DictReader(f))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_halves_of_a_batch_equal_the_whole(store, tmp_path, kind):
    pretrain(PLAIN, store.path, tmp_path / "one")
    script = tmp_path / "go.py"
    script.write_text(SCRIPT)
    here = Path(__file__).parent
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = f"{here}:{here.parent}:{os.environ.get('PYTHONPATH', '')}"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command = [*launch, str(script), str(store.path), str(tmp_path), kind]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    one, whole, again = (read_log(tmp_path / name) for name in ("one", "whole", "again"))
    for key in ("loss", "val_loss", "grad_norm", "loss_SED"):
        alone, two = ([float(r[key]) for r in rows] for rows in (one, whole))
        np.testing.assert_allclose(two, alone, rtol=1e-4)
        assert [r[key] for r in whole] == [r[key] for r in again]
    a, b = (FoundationModel.load(tmp_path / name) for name in ("whole", "again"))
    assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())
    alone = FoundationModel.load(tmp_path / "one")
    vectors = [ef.embed(m, store).vectors for m in (a, alone, FoundationModel.load(tmp_path / "whole/best"))]
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=1e-2, atol=1e-2)
    assert np.isfinite(vectors[2]).all()
    # what two processes began one can end
    pretrain(PLAIN, store.path, tmp_path / "other")
    np.testing.assert_allclose(
        [float(r["loss"]) for r in read_log(tmp_path / "other")], [float(r["loss"]) for r in one], rtol=1e-4
    )
    if kind == "fsdp":
        pretrain(replace(PLAIN, optimizer="muon", steps=3), store.path, tmp_path / "muon-one")
        for key in ("loss", "val_loss"):
            got, want = (float(read_log(tmp_path / name)[-1][key]) for name in ("muon", "muon-one"))
            np.testing.assert_allclose(got, want, rtol=1e-3)  # its square roots are in bf16


def test_alone_there_is_nothing_to_share(store, tmp_path):
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

    monkeypatch.setattr(sharding.dist, "all_reduce", other_has_none)
    with pytest.raises(InputError, match="file system that all machines see"):
        sharding.agree(World(0, 2, torch.device("cpu")), 20)
