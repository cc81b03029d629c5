"""The whole road, very small: every stage real, every product there, the numbers the same again."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from euclidfm.cli import main

SMALL = [
    "--objects=240", "--tiles=2", "--steps=30", "--batch=16", "--width=32", "--depth=2",
    "--fractions=[0.5,1.0]", "--repeats=1", "--processes=1",
]  # fmt: skip

PRODUCTS = (
    "sky/truth.parquet", "store/store.json", "run/model.safetensors", "run/config.yaml", "run/log.csv",
    "embeddings.parquet", "outliers.parquet", "report.html", "report.json", "demo.json", "demo.run.json",
    "euclidfm.log",
)  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "demo"
    assert main(["demo", "--out", str(out), *SMALL]) == 0
    return out


def test_every_product_is_there(demo):
    for part in PRODUCTS:
        assert (demo / part).exists(), part
    assert pq.read_table(demo / "science" / "photoz" / "predictions.parquet").num_rows == 240


def test_the_report_stands_alone_and_agrees_with_its_json(demo):
    page = (demo / "report.html").read_text()
    assert "<script src" not in page and 'href="http' not in page and 'src="http' not in page
    numbers = json.loads((demo / "report.json").read_text())
    assert {"science", "photoz", "star", "purity", "outliers"} <= set(numbers["sections"])


def test_science_holds_probes_networks_and_raw_photometry(demo):
    records = json.loads((demo / "science" / "efficiency.json").read_text())
    assert {"probe", "cnn", "booster", "colours-ridge"} <= {r["method"] for r in records}
    assert {r["task"] for r in records} >= {"photoz", "mass"}
    assert len({r["n_test"] for r in records if r["task"] == "photoz"}) == 1


def test_a_finished_demo_is_not_done_again(demo, capsys):
    before = (demo / "run" / "model.safetensors").stat().st_mtime_ns
    assert main(["demo", "--out", str(demo), *SMALL]) == 0
    assert (demo / "run" / "model.safetensors").stat().st_mtime_ns == before
    assert "photoz" in capsys.readouterr().out


def test_other_settings_are_refused(demo, capsys):
    assert main(["demo", "--out", str(demo), "--objects=77"]) == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.real_data
def test_real_cutouts_come_along(demo, real_data):
    assert main(["demo", "--out", str(demo), *SMALL, "--real", str(real_data)]) == 0
    table = pq.read_table(demo / "real" / "embeddings.parquet")
    assert table.num_rows == 3 and all(v is not None for v in table.column("vector").to_pylist())
    page = (demo / "report.html").read_text()
    for object_id in table.column("object_id").to_pylist():
        assert str(object_id) in page
