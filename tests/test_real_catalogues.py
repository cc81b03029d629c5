"""The real catalogues through the whole SED-only path, from the command line: table to redshifts."""

import json

import pytest

from euclidfm.cli import main

FOLDER_AND_TASK = {
    "zcosmos": ("zcosmos", "photoz"),
    "desi-bgs": ("desi_bgs", "photoz"),
    "candels-cosmos": ("candels_cosmos", "photoz"),
}
TINY = ["--steps=60", "--batch=128", "--lr=0.003", "--model.width=48", "--model.depth=2", "--model.heads=3"]


@pytest.mark.real_data
@pytest.mark.parametrize("recipe", FOLDER_AND_TASK)
def test_table_to_redshifts(recipe, real_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, task = FOLDER_AND_TASK[recipe]
    assert main(["ingest", str(real_data / folder), "--recipe", recipe, "--out", "store"]) == 0
    assert main(["pretrain", "store", "--out", "run", *TINY]) == 0
    assert main(["embed", "run", "store", "--out", "emb.parquet"]) == 0
    probe = ["probe", "emb.parquet", "--store", "store", "--task", task, "--head", "linear", "--out", "probe"]
    assert main(probe) == 0
    metrics = {r["metric"]: r["value"] for r in json.loads((tmp_path / "probe" / "metrics.json").read_text())}
    assert (
        metrics["r2"] > 0.2 and metrics["nmad"] < 0.25
    )  # it has learned a redshift, from seconds of training
