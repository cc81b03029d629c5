"""A tiny model, its settings, and what a run folder holds: shared by the tests of pre-training."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from euclidfm.model import FoundationModel
from euclidfm.pretrain import PretrainConfig
from samples import COARSE_VIS, SMALL

MODEL = replace(SMALL, images=(COARSE_VIS,))
CONFIG = PretrainConfig(
    model=MODEL, steps=30, batch=32, lr=3e-3, checkpoint_every=10, validate_every=10, precision="fp32", seed=3
)

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": f"{Path(__file__).parents[1]}:{os.environ.get('PYTHONPATH', '')}",
}
"""For processes that import this file as ``pretrain.tiny``."""


def read_log(run):
    with (run / "log.csv").open() as f:
        return list(csv.DictReader(f))


def logged(run, name):
    """(n,) values of a column of the log, where it has some."""
    return np.array([float(r[name]) for r in read_log(run) if r[name]])


def assert_same_run(a, b):
    """Equal bit for bit: weights and logged losses."""
    for name in ("loss", "val_loss", "grad_norm"):
        assert logged(a, name).tolist() == logged(b, name).tolist()
    a, b = (FoundationModel.load(run).state_dict() for run in (a, b))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
