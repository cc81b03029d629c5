"""A small real run: a store of blobs, a model of a few steps, its embeddings, outliers and p(z)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from euclidfm import tasks
from euclidfm.core.files import write_table
from euclidfm.discover import outlier_scores
from euclidfm.embeddings import embed
from euclidfm.explore.app import create_app
from euclidfm.explore.connections import TimedProtocol
from euclidfm.explore.run import RunData
from euclidfm.model import FoundationModel
from euclidfm.pretrain import PretrainConfig, pretrain
from euclidfm.tasks.products import density_and_write, fit_and_write
from samples import SMALL, blobs, write_store


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("explore") / "small"
    galaxies = blobs(240)
    galaxies.masks["Y"][3] = True
    galaxies.flux[5, 2] = float("nan")
    store = write_store(out / "store", galaxies)
    model = replace(SMALL, heads=2, objective="likelihood")
    pretrain(PretrainConfig(model=model, steps=3, batch=16), out / "store", out / "run")
    emb = embed(FoundationModel.load(out / "run"), store)
    emb.write(out / "embeddings.parquet")
    write_table(outlier_scores(emb), out / "outliers.parquet")
    fit_and_write(tasks.photoz, emb, store.index, out / "science" / "photoz")
    density_and_write(tasks.photoz, emb, store.index, out / "science" / "photoz")
    return out


@pytest.fixture
def run(run_folder) -> Iterator[RunData]:
    yield RunData(run_folder, "pca")
    (run_folder / "ratings.csv").unlink(missing_ok=True)


@pytest.fixture
def address(run) -> Iterator[str]:
    """The page of the run, served for real."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    settings = uvicorn.Config(create_app(run), http=TimedProtocol, log_level="warning", lifespan="off")
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    for _ in range(200):
        if server.started:
            break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listening.close()
