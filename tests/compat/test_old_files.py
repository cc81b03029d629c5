"""Files that commit 1e0cc3a wrote: stores, models, checkpoints, embeddings, probes, an index."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

import euclidfm as ef
from euclidfm.cli import main

FILES = Path(__file__).parent / "files"
RUNS = ("likelihood", "mixture", "masked", "peer", "prefix")
CONTINUED = {
    "likelihood": ["--model.objective=likelihood"],
    "mixture": ["--model.objective=likelihood", "--model.likelihood=mixture", "--model.components=2",
                "--model.positions=rotary", "--model.scalars=[z_spec]", "--optimizer=muon", "--ema=0.9"],
}  # fmt: skip
"""Options of the runs that have a checkpoint at half of their eight steps."""
COMMON = [
    "--model.width=16", "--model.depth=2", "--model.heads=2", "--model.crop=16", "--precision=fp32",
    "--batch=8", "--seed=2", "--validate_every=4", "--checkpoint_every=4", "--steps=8",
    "--model.image_encoder=0",  # there was none then
    "--model.images=[{name: VIS, bands: [VIS], patch: 8}, {name: NISP, bands: [Y, J, H], patch: 8}]",
]  # fmt: skip


def vectors(table, column="vector"):
    return np.array(table.column(column).to_pylist(), np.float32)


@pytest.mark.parametrize("name", RUNS)
def test_models_and_stores_give_the_same_embeddings(name):
    store = ef.GalaxyStore.open(FILES / "store")
    emb = ef.embed(ef.FoundationModel.load(FILES / name), store)
    old = pq.read_table(FILES / f"{name}.parquet")
    assert emb.object_id.tolist() == old.column("object_id").to_pylist()
    np.testing.assert_allclose(emb.vectors, vectors(old), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(CONTINUED))
def test_a_run_goes_on_from_its_checkpoint(name, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(FILES / name, run)
    (run / "model.safetensors").unlink()
    card = json.loads((run / "config.json").read_text())
    store = tmp_path / "store"
    shutil.copytree(FILES / "store", store)
    (run / "config.json").write_text(json.dumps(card | {"store": str(store)}))
    assert main(["pretrain", str(store), "--out", str(run), *COMMON, *CONTINUED[name]]) == 0
    expected, found = load_file(FILES / name / "model.safetensors"), load_file(run / "model.safetensors")
    assert len(found) == len(expected)
    for a, b in zip(sorted(expected.values(), key=_order), sorted(found.values(), key=_order), strict=True):
        # Adam turns the rounding of another machine's gradients near zero into steps of its own size
        assert np.linalg.norm(b - a) <= 1e-3 * np.linalg.norm(a) + 1e-6


def _order(value):
    return value.shape, float(np.abs(value).sum())


def test_embeddings_probes_and_indices(tmp_path):
    emb = ef.EmbeddingTable.read(FILES / "turned.parquet")
    assert "shape" in emb.spaces and len(emb) == 80
    again = ef.EmbeddingTable.read(FILES / "likelihood.parquet")
    old = pq.read_table(FILES / "probe" / "predictions.parquet")
    probe = ef.tasks.load_probe(FILES / "probe")
    np.testing.assert_allclose(probe.predict(again).column("z_phot"), old.column("z_phot"), rtol=1e-6)
    density = ef.tasks.load_density(FILES / "probe")
    assert np.isfinite(density.predict(again).column("z_phot").to_numpy()).all()
    out = tmp_path / "like.csv"
    argv = [
        "search",
        str(FILES / "turned.parquet"),
        "--index",
        str(FILES / "index"),
        "--k=3",
        "--out",
        str(out),
    ]
    assert main([*argv, f"--like=[{emb.object_id[0]}]"]) == 0
    assert len(out.read_text().splitlines()) == 4
