"""The study of real pictures, on a small folder of drawn ones: every stage, resumed, with settings kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from euclidfm.core.errors import InputError
from euclidfm.studies import RealImageConfig, real_image_study

KINDS = (
    "elliptical",
    "spiral_clockwise",
    "spiral_anticlockwise",
    "edge_on",
    "merger",
    "dont_know_or_star",
    "",
)
SIZE = 32


def picture(kind, rng):
    """A round blob, a flat one, two blobs, a blob with arms, or noise."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    flat = 4.0 if kind == "edge_on" else 1.0
    light = np.exp(-np.hypot(x, y * flat) / 3.5)
    if kind == "merger":
        light = light + 0.8 * np.exp(-np.hypot(x - 6, y - 4) / 2)
    if kind.startswith("spiral"):
        turn = 1 if kind.endswith("_clockwise") else -1
        light = light * (1 + 0.9 * np.cos(2 * np.arctan2(y, x) + turn * np.hypot(x, y)))
    if kind == "dont_know_or_star":
        light = rng.random((SIZE, SIZE))
    light = light[..., None] * np.array([200, 160, 100]) + rng.normal(6, 2, (SIZE, SIZE, 3))
    return np.clip(light, 0, 255).astype(np.uint8)


def write_pictures(folder, n=280):
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = ["image,sdss_dr7_objid,gz1_class,gz1_class_name"]
    for i in range(n):
        kind = KINDS[i % len(KINDS)]
        Image.fromarray(picture(kind, rng)).save(folder / "images" / f"{i}.png")
        rows.append(f"images/{i}.png,{587722981736120347 + i},{i % 6},{kind}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root / "data")
    usual = RealImageConfig(data=str(root / "data"))
    model = replace(usual.pretrain.model, crop=SIZE, width=32, depth=1, heads=2)
    config = replace(
        usual,
        size=SIZE,
        rebin=1,
        pretrain=replace(usual.pretrain, model=model, steps=20, batch=16),
        methods=("probe", "pixels-pca", "apertures-booster", "morphology-booster"),
        fractions=(0.3, 1.0),
        repeats=1,
        resamples=20,
    )
    return root, config, real_image_study(config, root / "out")


def test_every_class_is_told_and_learnt(finished):
    _, config, records = finished
    found = {(r["method"], r["fraction"], r["metric"]): r for r in records if r["task"] == "gz1"}
    for method in config.methods:
        assert {f for m, f, _ in found if m == method} == set(config.fractions)
        recalls = [found[method, 1.0, f"recall_{c}"] for c in ("smooth", "spiral", "edge_on", "merger")]
        mean = np.mean([r["value"] for r in recalls])
        balanced = found[method, 1.0, "balanced_accuracy"]
        assert balanced["value"] == pytest.approx(mean) and balanced["low"] <= balanced["high"]
    assert found["morphology-booster", 1.0, "balanced_accuracy"]["value"] > 0.6
    assert found["probe", 1.0, "balanced_accuracy"]["value"] > 0.4  # a guess has 0.25


def test_searches_and_the_outlier_ranking(finished):
    _, _, records = finished
    searches = {(r["kind"], r["metric"]): r for r in records if r["task"] == "search"}
    assert set(searches) == {
        (k, f"{m}@{n}") for k in ("edge_on", "merger") for m in ("purity", "ndcg") for n in (10, 100)
    }
    assert searches["edge_on", "purity@10"]["value"] > 2 * searches["edge_on", "purity@10"]["base_rate"]
    assert all(0 <= r["value"] <= 1 for r in searches.values())
    auc = {(r["method"], r["kind"]): r for r in records if r["metric"] == "auc" and r["task"] == "outliers"}
    plain, screened = (auc[m, "dont_know"]["value"] for m in ("outliers", "outliers, artefacts last"))
    assert plain > 0.7 and screened < plain


def test_what_is_done_is_not_done_again(finished):
    root, config, records = finished
    files = [
        root / "out" / f for f in ("store/store.json", "run/run.json", "embeddings.parquet", "discovery.json")
    ]
    before = [f.stat().st_mtime_ns for f in files]
    assert json.dumps(real_image_study(config, root / "out")) == json.dumps(records)
    assert [f.stat().st_mtime_ns for f in files] == before
    with pytest.raises(InputError, match="other settings"):
        real_image_study(replace(config, size=16), root / "out")
