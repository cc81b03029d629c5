"""The real sets with images: each is ingested by its recipe, and its values are checked against its table."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from euclidfm.cli import main
from euclidfm.core.units import abmag_from_ujy
from euclidfm.embeddings import EmbeddingTable
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.ingest.images.aperture import aperture_weights
from euclidfm.store import GalaxyStore

pytestmark = pytest.mark.real_data


def stored(source, recipe, out, **settings):
    ingest(IngestConfig(source=str(source), recipe=recipe, **settings), out)
    return GalaxyStore.open(out)


def test_ceers_magnitudes_are_those_of_its_table(real_data, tmp_path):
    store = stored(real_data / "jwst_ceers", "jwst-ceers", tmp_path / "store", split_order=12)
    g, bands = store.read(), store.info.image_bands
    assert len(g) == 96 and len(bands) == 7 and store.info.uncalibrated == ()
    weights = aperture_weights((100, 100), 49.5, 49.5, 0.5 / 0.03)
    tabulated, here = abmag_from_ujy(g.flux), np.stack([g.has_image(b) for b in bands], axis=1)
    measured = np.stack([abmag_from_ujy((g.images[b] * weights).sum(axis=(1, 2))) for b in bands], axis=1)
    difference = np.where(here, measured - tabulated, np.nan)
    assert (np.abs(np.nanmedian(difference, axis=0)) < 0.02).all()
    lacking = ~here.all(axis=1)
    with (real_data / "jwst_ceers" / "labels.csv").open() as f:
        bits = {int(r["egs_id"]): int(r["empty_band_mask"]) for r in csv.DictReader(f)}
    assert lacking.sum() == sum(b > 0 for b in bits.values())
    for i, k in zip(*np.nonzero(~here), strict=True):
        assert bits[int(g.object_id[i])] >> k & 1
    sky = np.nanmedian(np.stack([g.columns[f"sky_{b}"] for b in bands]))
    assert 0 < sky < 0.001  # the README: about 0.007 MJy/sr, 0.00015 µJy per pixel


def test_ls10_images_add_up_to_the_catalogued_flux(real_data, tmp_path):
    store = stored(real_data / "ls10_agn", "ls10-agn", tmp_path / "store")
    g = store.read()
    assert len(g) == 100 and np.isfinite(g.columns["z_spec"]).sum() == 50
    for b in store.info.image_bands:
        ratio = g.images[b].sum(axis=(1, 2)) / g.flux[:, g.sed_bands.index(b)]
        assert 0.96 <= round(float(np.median(ratio)), 2) <= 1.10


def test_sdss_pictures_are_the_numbers_of_the_files(real_data, tmp_path):
    source = tmp_path / "some"
    (source / "images").mkdir(parents=True)
    lines = (real_data / "sdss_gz1" / "labels.csv").read_text().splitlines()
    few = lines[:1] + lines[1::100]
    (source / "labels.csv").write_text("\n".join(few) + "\n")
    for line in few[1:]:
        name = line.split(",")[0]
        (source / name).write_bytes((real_data / "sdss_gz1" / name).read_bytes())
    store = stored(source, "sdss-gz1", tmp_path / "store")
    g = store.read()
    assert len(g) == len(few) - 1 and store.info.image_size == 128
    assert store.info.uncalibrated == store.info.image_bands == ("sdss_i", "sdss_r", "sdss_g")
    for i in range(0, len(g), 7):
        picture = np.asarray(Image.open(source / f"images/{g.object_id[i]}.jpg"), np.float64)[::-1]
        mean = picture[:262, :262].reshape(131, 2, 131, 2, 3).mean(axis=(1, 3))[1:129, 1:129]
        for c, b in enumerate(store.info.image_bands):
            np.testing.assert_allclose(g.images[b][i], mean[..., c], rtol=1e-3, atol=0.13)
    names = [
        "elliptical",
        "spiral_clockwise",
        "spiral_anticlockwise",
        "edge_on",
        "dont_know_or_star",
        "merger",
    ]
    for name, number in zip(g.columns["gz1_class_name"], g.columns["gz1_class"], strict=True):
        assert np.isnan(number) if name == "" else names[int(number)] == name


@pytest.mark.slow
def test_ceers_galaxies_without_some_bands_are_embedded(real_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = str(real_data / "jwst_ceers")
    assert main(["ingest", source, "--recipe", "jwst-ceers", "--split_order", "12", "--out", "store"]) == 0
    images = [
        {"name": "SW", "bands": ["F115W", "F150W", "F200W"], "patch": 16},
        {"name": "LW", "bands": ["F277W", "F356W", "F410M", "F444W"], "patch": 16},
    ]
    model = {"images": images, "sed": False, "crop": 96, "width": 32, "depth": 2, "heads": 2}
    Path("model.yaml").write_text(yaml.safe_dump({"model": model, "steps": 2, "batch": 8}))
    assert main(["pretrain", "store", "--config", "model.yaml", "--out", "run"]) == 0
    assert main(["embed", "run", "store", "--out", "embeddings.parquet"]) == 0
    emb, store = EmbeddingTable.read("embeddings.parquet"), GalaxyStore.open("store")
    bands = store.info.image_bands
    here = np.isfinite(np.stack([store.column(f"scale_{b}") for b in bands], axis=1))
    assert (~here.all(axis=1)).sum() == 11
    np.testing.assert_array_equal(np.isfinite(emb.vectors).all(axis=1), here.any(axis=1))
