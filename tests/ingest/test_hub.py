"""Data sets of the Hugging Face hub: the real ``datasets`` code on folders of the hub's layout."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from servers import serving
from skyfiles import by_id

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.core.units import ujy_from_abmag, ujy_per_count
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.store import GalaxyStore

datasets = pytest.importorskip("datasets", reason="needs datasets (extra: hub)")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

RNG = np.random.default_rng(3)
N, SIDE = 10, 20
IDS = -570040238507752998 + np.arange(N, dtype=np.int64) * 1_000_003
ASTROPT = {b: RNG.normal(1.0, 0.3, (N, SIDE, SIDE)).astype(np.float32) for b in ("VIS", "Y", "J", "H")}
COLUMN = {"VIS": "VIS_image", "Y": "NISP_Y_image", "J": "NISP_J_image", "H": "NISP_H_image"}


def layout(root, name, made):
    """A data set as the hub keeps it: ``data/<split>-<k>-of-<n>.parquet`` and a card."""
    (root / name / "data").mkdir(parents=True)
    for split, parts in made.items():
        for k, part in enumerate(parts):
            part.to_parquet(root / name / "data" / f"{split}-{k:05d}-of-{len(parts):05d}.parquet")
    (root / name / "README.md").write_text("---\nlicense: mit\n---\n")
    return str(root / name)


def astropt(rows, feature=None, **change):
    """Rows as the reference work published them."""
    feature = feature or datasets.Array2D((SIDE, SIDE), "float32")
    columns = {"object_id": IDS[rows], **{COLUMN[b]: list(ASTROPT[b][rows]) for b in ASTROPT}} | change
    kinds = {"object_id": datasets.Value("int64"), **dict.fromkeys(COLUMN.values(), feature)}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


@pytest.fixture
def published(tmp_path):
    parts = [astropt(np.arange(0, 4)), astropt(np.arange(4, 7))]
    return layout(tmp_path, "astropt", {"train": parts, "test": [astropt(np.arange(7, 10))]})


def config(source, recipe="astropt-euclid", **change):
    return IngestConfig(**{"source": source, "recipe": recipe, "size": 16} | change)


MIDDLE = slice(2, 18)


def test_the_reference_works_data_set(published, tmp_path):
    summary = ingest(config(published), tmp_path / "store")
    assert summary["rows"] == N
    got, store = by_id(tmp_path / "store"), GalaxyStore.open(tmp_path / "store")
    assert got.object_id.tolist() == IDS.tolist() and got.object_id.dtype == np.int64
    assert store.info.release == "Q1_R1" and store.info.image_bands == ("VIS", "Y", "J", "H")
    zero = {"VIS": 24.6, "Y": 29.8, "J": 30.0, "H": 29.9}
    for b in ("VIS", "Y", "J", "H"):
        wanted = ASTROPT[b][:, MIDDLE, MIDDLE] * ujy_per_count(zero[b])
        np.testing.assert_allclose(got.images[b], wanted, rtol=1e-3)
        assert not got.masks[b].any() and np.isnan(got.noise[b]).all()
    assert not got.columns["flag_edge"].any()


def test_processes_copies_and_nested_lists_make_the_same_store(published, tmp_path):
    ingest(config(published), tmp_path / "a")
    ingest(config(published, workers=2), tmp_path / "b")
    ingest(config(published, fetch="copy", cache=str(tmp_path / "cache")), tmp_path / "c")
    kind = datasets.List(datasets.List(datasets.Value("float32")))
    lists = layout(tmp_path, "lists", {"train": [astropt(np.arange(N), kind)]})
    ingest(config(lists), tmp_path / "d")
    saved = datasets.DatasetDict({"train": astropt(np.arange(N))})
    saved.save_to_disk(tmp_path / "saved")
    ingest(config(str(tmp_path / "saved")), tmp_path / "e")
    first = by_id(tmp_path / "a")
    for name in "bcde":
        other = by_id(tmp_path / name)
        assert other.object_id.tolist() == first.object_id.tolist()
        np.testing.assert_array_equal(other.split, first.split)
        for b in first.images:
            np.testing.assert_array_equal(other.images[b], first.images[b])


def test_absent_small_and_broken_images(tmp_path):
    rows = np.arange(4)
    kind = datasets.List(datasets.List(datasets.Value("float32")))
    images = [im.copy() for im in ASTROPT["VIS"][rows]]
    images[0][10, 10] = np.nan
    images[1] = images[1][:10, :10]
    images[2] = None
    source = layout(tmp_path, "set", {"train": [astropt(rows, kind, VIS_image=images)]})
    ingest(config(source), tmp_path / "store")
    g = by_id(tmp_path / "store")
    assert g.masks["VIS"][0].sum() == 1 and g.images["VIS"][0, 8, 8] == 0
    assert (~g.masks["VIS"][1]).sum() == 100 and g.columns["flag_edge"].tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert not g.has_image("VIS")[2] and g.has_image("Y").all()


def test_repeated_ids_go_to_quarantine_and_splits_can_be_those_of_the_data_set(tmp_path):
    rows = np.arange(4)
    twice = IDS[[0, 1, 1, 2]]
    made = {"train": [astropt(rows, object_id=twice)], "held": [astropt(np.arange(5, 8))]}
    source = layout(tmp_path, "set", made)
    recipe = tmp_path / "own.yaml"
    recipe.write_text(
        "name: own\nversion: 1\nid: object_id\nsplits: {train: train, held: test}\n"
        "images: {columns: {VIS: VIS_image}, unit: ujy}\n"
    )
    summary = ingest(config(source, str(recipe), split_fractions=(0.8, 0.0, 0.2)), tmp_path / "store")
    assert summary["rows"] == 6 and summary["quarantined"] == 1
    assert summary["splits"] == {"train": 3, "validation": 0, "test": 3}


def pictures(rows, colour=False):
    from PIL import Image

    def tiff(pixels):
        out = io.BytesIO()
        Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8) if colour else pixels).save(out, "TIFF")
        return {"bytes": out.getvalue(), "path": None}

    return {COLUMN[b]: [tiff(im) for im in ASTROPT[b][rows]] for b in ASTROPT}


def test_images_that_are_pictures(tmp_path):
    rows = np.arange(3)
    source = layout(tmp_path, "set", {"train": [astropt(rows, datasets.Image(), **pictures(rows))]})
    ingest(config(source), tmp_path / "store")
    wanted = ASTROPT["J"][rows][:, MIDDLE, MIDDLE] * ujy_per_count(30.0)
    np.testing.assert_allclose(by_id(tmp_path / "store").images["J"], wanted, rtol=1e-3)
    colour = layout(tmp_path, "rgb", {"train": [astropt(rows, datasets.Image(), **pictures(rows, True))]})
    with pytest.raises(InputError, match=r"'VIS_image' holds colour pictures"):
        ingest(config(colour), tmp_path / "other")


FLUX = RNG.normal(0.5, 0.1, (3, 4, SIDE, SIDE)).astype(np.float32)
NAMES = ["DES-Z", "DES-G", "DES-R", "DES-I"]  # not in the survey's order


def universe(listed):
    """Rows of the Multimodal Universe's imaging surveys: a list of bands, `listed` or a dict of lists."""
    plane = datasets.Array2D((SIDE, SIDE), "float32")
    inner = {"band": datasets.Value("string"), "flux": plane, "ivar": plane}
    kind = datasets.List(inner) if listed else {k: datasets.List(v) for k, v in inner.items()}
    ivar = np.full_like(FLUX, 25.0)
    ivar[0, 1, 10, 10] = 0.0
    rows = [
        [{"band": NAMES[k], "flux": FLUX[i, k], "ivar": ivar[i, k]} for k in range(4)]
        if listed
        else {"band": NAMES, "flux": list(FLUX[i]), "ivar": list(ivar[i])}
        for i in range(3)
    ]
    numbers = {f"FLUX_{b}": [1.0, 2.0, 4.0] for b in ("G", "R", "I", "Z", "W1", "W2")} | {
        "EBV": [0.1, 0.2, 0.3]
    }
    kinds = {"image": kind, "object_id": datasets.Value("string")}
    kinds |= {k: datasets.Value("float32") for k in numbers}
    columns = {"image": rows, "object_id": ["a-1", "a-2", "b-1"], **numbers}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


@pytest.mark.parametrize("listed", [False, True])
def test_a_data_set_of_the_multimodal_universe(tmp_path, listed):
    source = layout(tmp_path, "legacysurvey", {"train": [universe(listed)]})
    assert (
        main(["ingest", source, "--recipe", "mmu-legacysurvey", "--size", "16", "--out", str(tmp_path / "s")])
        == 0
    )
    store = GalaxyStore.open(tmp_path / "s")
    g = store.read()
    assert store.info.image_bands == ("g", "r", "i", "z") and store.info.pixel_arcsec == 0.262
    order = np.argsort(g.columns["source_id"].astype(str))
    g = g.take(order)
    nanomaggy = ujy_from_abmag(22.5)
    for k, b in enumerate("zgri"):
        np.testing.assert_allclose(
            np.where(g.masks[b], 0, g.images[b]),
            np.where(g.masks[b], 0, FLUX[:, k][:, MIDDLE, MIDDLE] * nanomaggy),
            rtol=1e-3,
        )
        np.testing.assert_allclose(g.noise[b], nanomaggy / 5.0, rtol=1e-3)
    assert g.masks["g"][0].sum() == 1 and g.masks["g"][0, 8, 8] and not g.masks["r"].any()
    np.testing.assert_allclose(g.flux, np.outer([1.0, 2.0, 4.0], np.full(6, nanomaggy)), rtol=1e-6)
    assert (g.object_id > 0).all() and len(set(g.object_id.tolist())) == 3
    np.testing.assert_allclose(g.columns["ebv"], [0.1, 0.2, 0.3], rtol=1e-6)


def test_what_is_wrong_is_a_sentence(published, tmp_path):
    def sentence(**change):
        with pytest.raises(InputError) as e:
            ingest(config(**({"source": published} | change)), tmp_path / "store")
        assert not (tmp_path / "store").exists() and "\n" not in str(e.value)
        return str(e.value)

    assert "has no column 'FLUX_G'; it has object_id, VIS_image" in sentence(recipe="mmu-legacysurvey")
    assert "say how to read it with --recipe" in sentence(source="hf://datasets/a/b", recipe=None)
    assert "can't be read" in sentence(source=str(tmp_path / "nowhere"))
    own = tmp_path / "own.yaml"
    head = "name: own\nversion: 1\nid: object_id\n"
    own.write_text(head + "splits: {elsewhere: test}\nimages: {columns: {VIS: VIS_image}}\n")
    assert "check its name, the recipe's splits" in sentence(recipe=str(own))
    own.write_text(head + "images: {columns: {VIS: object_id}}\n")
    assert "holds no two-dimensional images" in sentence(recipe=str(own))
    own.write_text(head + "images: {columns: {VIS: VIS_image}, unit: counts}\n")
    assert "band VIS has no magzero" in sentence(recipe=str(own))
    own.write_text(head + "images: {columns: {VIS: VIS_image}, unit: magnitudes}\n")
    assert "unit 'magnitudes'; known units" in sentence(recipe=str(own))
    own.write_text("name: own\nversion: 1\nid: dec_id\nimages: {columns: {VIS: VIS_image}}\n")
    assert "has no column 'dec_id'" in sentence(recipe=str(own))


@pytest.mark.parametrize("fetch", ["auto", "copy"])
def test_from_the_hub_by_name(published, tmp_path, fetch):
    """``hf://`` as a user types it; the address of the hub is read when its package is imported."""
    (tmp_path / "hub").mkdir()
    Path(published).rename(tmp_path / "hub" / "euclid")
    with serving("hub", tmp_path) as server:
        home = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-c", "from euclidfm.cli import main; raise SystemExit(main())", "ingest"]
        options = ["--recipe", "astropt-euclid", "--size", "16", "--fetch", fetch]

        def run(source):
            argv = [*command, source, "--out", str(tmp_path / "store"), *options]
            return subprocess.run(argv, env=os.environ | home, capture_output=True, text=True, timeout=120)

        absent = run("hf://datasets/hub/nothing")
        assert absent.returncode == 2 and "Traceback" not in absent.stderr, absent.stderr
        assert "data set hf://datasets/hub/nothing can't be read" in absent.stderr
        done = run("hf://datasets/hub/euclid")
        assert done.returncode == 0, done.stderr
        assert any("/resolve/" in line and line.startswith("GET") for line in server.log)
    assert by_id(tmp_path / "store").object_id.tolist() == IDS.tolist()
