"""`euclidfm ingest` as a user runs it: what is wrong ends with 2 and one sentence, what is right is kept."""

import json

import numpy as np
import pytest
from astropy.table import Table
from skyfiles import write_sky

from euclidfm.cli import main
from euclidfm.store import GalaxyStore

OPTIONS = ["--size", "32", "--selection", "everything-detected", "--split_order", "12"]


def run(sky, tmp_path, *more) -> int:
    return main(["ingest", str(sky.path), "--out", str(tmp_path / "store"), *OPTIONS, *more])


def one_sentence(capsys) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("euclidfm ingest:")]
    assert len(lines) == 1
    return lines[0]


def test_truncated_mosaic(sky, tmp_path, capsys):
    mosaic = next(sky.path.rglob("*BGSUB-MOSAIC-NIR-J*.fits"))
    mosaic.write_bytes(mosaic.read_bytes()[:-200_000])
    assert run(sky, tmp_path) == 2
    assert mosaic.name in one_sentence(capsys)
    assert not (tmp_path / "store").exists()


def test_catalogue_without_a_needed_column(sky, tmp_path, capsys):
    table = Table.read(sky.catalogue())
    table.remove_column("RIGHT_ASCENSION")
    table.write(sky.catalogue(), overwrite=True)
    assert run(sky, tmp_path) == 2
    told = one_sentence(capsys)
    assert "RIGHT_ASCENSION" in told.upper() and sky.catalogue().name in told
    assert not (tmp_path / "store").exists()


@pytest.mark.filterwarnings("error")
def test_cutout_at_the_edge_is_masked(tmp_path):
    sky = write_sky(tmp_path / "edge", n=30, side=200, margin=3)
    assert run(sky, tmp_path) == 0
    store = GalaxyStore.open(tmp_path / "store")
    edge = store.column("flag_edge").astype(bool)
    assert edge.any() and not edge.all() and len(store) == 30
    galaxies = store.read()
    masked = galaxies.masks["VIS"].mean(axis=(1, 2))
    assert (masked[edge] > 0).all() and (masked[edge] < 1).all()
    assert (galaxies.images["VIS"][galaxies.masks["VIS"]] == 0).all() and np.isfinite(
        galaxies.noise["VIS"]
    ).all()


def test_the_store_says_how_it_was_made(sky, tmp_path):
    assert run(sky, tmp_path, "--seed", "5") == 0
    card = json.loads((tmp_path / "store" / "ingest.run.json").read_text())
    assert card["config"]["seed"] == 5 and card["config"]["size"] == 32 and "numpy" in card["versions"]
    assert "ingest done" in (tmp_path / "store" / "euclidfm.log").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sky", "store"]


def test_a_failed_run_leaves_nothing(sky, tmp_path):
    sky.catalogue().unlink()
    assert run(sky, tmp_path) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["sky"]
