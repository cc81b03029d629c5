"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from euclidfm.model import ModelConfig
from euclidfm.model.scaling import fit_scaling
from euclidfm.store import GalaxyStore
from samples import SMALL, blobs, write_store


@pytest.fixture
def store(tmp_path) -> GalaxyStore:
    return write_store(tmp_path / "store", blobs(400))


@pytest.fixture
def sed_store(tmp_path) -> GalaxyStore:
    return write_store(tmp_path / "sed-store", blobs(400, bands=()))


@pytest.fixture
def unscaled() -> ModelConfig:
    """The model of `config` before scaling; files override it for another one."""
    return SMALL


@pytest.fixture
def config(unscaled, store) -> ModelConfig:
    """A model's config with the scaling of the store's training split."""
    return fit_scaling(unscaled, store, store.rows("train"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip that says how to have it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EUCLIDFM_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"REAL DATA MISSING: set EUCLIDFM_REAL_DATA to its folder (looked in {folder})")
    return folder


@pytest.fixture
def one_torch_thread():
    """Tiny networks: threads that wait for one another on a busy machine take longer than they save."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A store of 500 labelled mock galaxies and their embeddings."""
    from worlds import make_world

    return make_world(tmp_path_factory.mktemp("world") / "store")
