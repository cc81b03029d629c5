"""`euclidfm predict`: any store, whole metadata, honest flags, constant memory, nothing half-written."""

import json
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

import euclidfm as ef
from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.model import FoundationModel
from euclidfm.predict import predict, run
from euclidfm.pretrain import PretrainConfig, pretrain
from euclidfm.tasks.density.fit import fit_density
from euclidfm.tasks.density.mixture import MixtureConfig
from samples import COARSE_VIS, NISP, SMALL, blobs, write_store

TINY = replace(SMALL, images=(COARSE_VIS, NISP), heads=2)
QUICK = MixtureConfig(ensemble=1, steps=60, epochs=3)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A run, its store, and probes: photoz with a density, a mass, a class, all on joint vectors."""
    out = tmp_path_factory.mktemp("home")
    store = write_store(out / "store", blobs(700))
    pretrain(PretrainConfig(model=TINY, steps=10, batch=32), out / "store", out / "run")
    emb = ef.embed(FoundationModel.load(out / "run"), store)
    z = store.column("z_spec")
    labels = {"object_id": emb.object_id, "z_spec": z, "log_mass": 9 + z, "is_star": (z < 0.4).astype(float)}
    for name in ("photoz", "mass", "star"):
        ef.tasks.get(name).fit(emb, labels, use=("joint",)).save(out / "science" / name)
    fit_density(emb, labels, config=QUICK).save(out / "science" / "photoz")
    return out


@pytest.fixture(scope="module")
def made(home):
    """Both files of the command line."""
    files = [str(home / "made" / f"c.{s}") for s in ("parquet", "fits")]
    argv = ["predict", str(home / "run"), str(home / "store"), str(home / "science"), "--out", *files]
    assert main([*argv, "--pdf", "true"]) == 0
    return files


def catalogue(home, store, folder, probes="science", **options):
    """Columns of a catalogue as astropy reads them; NaN, not masks."""
    model = FoundationModel.load(home / "run")
    predict(model, store, [home / probes], folder / "c.parquet", **options)
    table = Table.read(folder / "c.parquet", format="parquet.votable")
    return {name: np.ma.getdata(table[name]) for name in table.colnames}


def test_both_files_say_the_same(home, made):
    parquet, table = Table.read(made[0], format="parquet.votable"), Table.read(made[1])
    assert parquet.colnames == table.colnames and len(table) == 700
    assert sorted(p.name for p in (home / "made").iterdir()) == ["c.fits", "c.parquet"]
    for name in table.colnames:
        a, b = np.asarray(parquet[name]), np.asarray(table[name])
        np.testing.assert_array_equal(a, b.astype(str) if b.dtype.kind == "S" else b, err_msg=name)
        assert parquet[name].unit == table[name].unit
    with fits.open(made[1]) as hdus:
        hdus.verify("exception")
        header, grid = hdus[1].header, hdus["Z_PHOT_PDF_GRID"].data.astype(float)
    ucds = [header[f"TUCD{i}"] for i in range(1, len(table.colnames) + 1)]
    assert ucds == [parquet[n].meta["ucd"] for n in table.colnames]
    assert all(check_ucd(u, check_controlled_vocabulary=True) for u in ucds)
    assert parquet["ra"].unit == "deg" and parquet["z_phot"].meta["ucd"].startswith("src.redshift.phot")
    assert parquet["log_mass_pred"].meta["ucd"] == "phys.mass" and ucds[0] == "meta.id;meta.main"
    np.testing.assert_allclose(np.trapezoid(table["z_phot_pdf"], grid, axis=1), 1, atol=1e-3)
    field = pq.read_schema(made[0]).field("ra")
    assert field.metadata[b"unit"] == b"deg" and field.metadata[b"ucd"] == b"pos.eq.ra;meta.main"


def test_metadata_name_model_data_and_probes(home, made):
    about = json.loads(pq.read_schema(made[0]).metadata[b"euclidfm"])
    assert about["model"] == FoundationModel.load(home / "run").identity()
    assert about["release"] == "test" and about["versions"]["torch"]
    assert {e["task"] for e in about["estimates"]} == {"photoz", "mass", "star"}
    assert about["estimates"][0]["n_train"] > 300
    told = json.loads(fits.getheader(made[1], 1)["EUCLIDFM"])
    assert told == {k: v for k, v in about.items() if k != "grids"}


def test_numbers_are_the_probes(home, made):
    model, store = FoundationModel.load(home / "run"), ef.GalaxyStore.open(home / "store")
    emb, table = ef.embed(model, store), Table.read(made[0], format="parquet.votable")
    np.testing.assert_array_equal(table["object_id"], emb.object_id)
    np.testing.assert_array_equal(table["ra"], emb.ra)
    point = ef.tasks.load_probe(home / "science" / "photoz").predict_array(emb)
    np.testing.assert_allclose(table["z_phot_point"], point, rtol=2e-4)
    density = ef.tasks.load_density(home / "science" / "photoz").predict(emb)
    for name in ("z_phot", "z_phot_low68", "z_phot_conformal_high95"):
        np.testing.assert_allclose(table[name], density[name].to_numpy(), rtol=2e-3)
    star = ef.tasks.load_probe(home / "science" / "star").predict(emb)
    np.testing.assert_allclose(table["star_p_star"], star["p_star"].to_numpy(), atol=1e-4)
    assert (np.asarray(table["star_class"]) == np.array(star["class"].to_pylist())).mean() > 0.99


def test_intervals_hold_the_estimates_and_cover(home, made):
    table, store = Table.read(made[0], format="parquet.votable"), ef.GalaxyStore.open(home / "store")
    for name in ("z_phot", "log_mass_pred"):
        for kind in ("conformal_", "") if name == "z_phot" else ("conformal_",):
            low, high = table[f"{name}_{kind}low95"], table[f"{name}_{kind}high95"]
            assert ((low <= table[f"{name}_{kind}low68"]) & (table[f"{name}_{kind}high68"] <= high)).all()
        assert ((table[f"{name}_conformal_low95"] <= table[name]) & (table[name] <= high)).mean() > 0.99
    mass, test = 9 + store.column("z_spec"), store.column("split") == "test"
    low, high = (table[f"log_mass_pred_conformal_{end}68"] for end in ("low", "high"))
    inside = (low <= mass) & (mass <= high)
    assert 0.5 < inside[test].mean() < 0.85  # 140 galaxies, 70 of calibration


def test_store_without_nisp_and_without_labels(home, tmp_path):
    galaxies = replace(blobs(50, seed=5, bands=("VIS",)), columns={"z_spec": np.full(50, np.nan)})
    table = catalogue(home, write_store(tmp_path / "store", galaxies), tmp_path)
    assert set(table["modalities"]) == {"VIS+SED"}
    assert table["z_phot_incomplete"].all() and np.isfinite(table["z_phot"]).all()
    full = catalogue(home, write_store(tmp_path / "full", blobs(50, seed=5)), tmp_path)
    assert set(full["modalities"]) == {"VIS+NISP+SED"} and not full["z_phot_incomplete"].any()
    assert np.median(table["z_phot_distance"]) > np.median(full["z_phot_distance"])


def test_probe_of_one_modality_misses_only_that(home, tmp_path):
    store = ef.GalaxyStore.open(home / "store")
    emb = ef.embed(FoundationModel.load(home / "run"), store)
    ef.tasks.photoz.fit(emb, store.index, use=("SED",)).save(tmp_path / "probe")
    shutil.copytree(home / "run", tmp_path / "run")
    galaxies = blobs(40, seed=6, bands=())
    galaxies.flux[7] = np.nan
    table = catalogue(tmp_path, write_store(tmp_path / "store", galaxies), tmp_path, "probe")
    assert table["modalities"][0] == "SED" and table["modalities"][7] == ""
    assert table["z_phot_incomplete"].nonzero()[0].tolist() == [7]
    assert np.isnan(table["z_phot"][7]) and np.isnan(table["z_phot_distance"][7])
    assert not table["z_phot_extrapolated"][7] and np.isfinite(np.delete(table["z_phot"], 7)).all()


def test_what_is_unlike_the_training_galaxies_is_flagged(home, tmp_path):
    like = catalogue(home, write_store(tmp_path / "like", blobs(300, seed=8)), tmp_path)
    assert like["z_phot_extrapolated"].mean() < 0.06
    assert 0.6 < np.median(like["z_phot_distance"]) < 1.6
    assert 30 < np.median(like["z_phot_percentile"]) < 70
    strange = blobs(100, seed=8)
    strange.flux[:] = np.random.default_rng(0).permuted(strange.flux, axis=1)  # colours of nothing
    strange.images["VIS"] = strange.images["VIS"][:, ::-1] * 300
    far = catalogue(home, write_store(tmp_path / "far", strange), tmp_path)
    assert far["z_phot_extrapolated"].mean() > 0.7 and far["log_mass_pred_extrapolated"].mean() > 0.7
    none = catalogue(home, ef.GalaxyStore.open(tmp_path / "far"), tmp_path, extrapolation=99.99)
    assert none["z_phot_extrapolated"].mean() <= far["z_phot_extrapolated"].mean()


def test_the_same_call_writes_the_same_bytes(home, made, tmp_path):
    model, store = FoundationModel.load(home / "run"), ef.GalaxyStore.open(home / "store")
    files = [tmp_path / "a.parquet", tmp_path / "a.fits"]
    predict(model, store, [home / "science"], files, pdf=True)
    assert [f.read_bytes() for f in files] == [Path(f).read_bytes() for f in made]


def test_split(home, tmp_path):
    store = ef.GalaxyStore.open(home / "store")
    table = catalogue(home, store, tmp_path, split="test")
    np.testing.assert_array_equal(table["object_id"], store.column("object_id")[store.rows("test")])


def test_memory_does_not_grow_with_the_store(home, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "ROWS", 256)
    model, peaks = FoundationModel.load(home / "run"), []
    for n in (520, 520, 2000):
        store = write_store(tmp_path / f"store{len(peaks)}", blobs(n, bands=()))
        tracemalloc.start()
        predict(model, store, [home / "science"], [tmp_path / "c.parquet", tmp_path / "c.fits"], pdf=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[1]  # the first call also pays for imports
    meta = pq.read_metadata(tmp_path / "c.parquet")
    assert meta.num_rows == 2000
    assert max(meta.row_group(g).num_rows for g in range(meta.num_row_groups)) <= 256


def refused(argv, told, capsys, folder):
    before = sorted(folder.rglob("*"))
    assert main(argv) == 2
    err = [line for line in capsys.readouterr().err.strip().splitlines() if not line.startswith("predict:")]
    assert len(err) == 1 and told in err[0], err
    assert sorted(folder.rglob("*")) == before


def test_mistakes_are_a_sentence_and_leave_nothing(home, tmp_path, capsys):
    start = ["predict", str(home / "run"), str(home / "store")]
    science, out = str(home / "science"), ["--out", str(tmp_path / "c.parquet")]

    def case(words, told):
        refused(words, told, capsys, tmp_path)

    case([*start, str(tmp_path), *out], "holds no probe")
    case([*start, science, "--out", str(tmp_path / "c.csv")], ".parquet or .fits")
    case([*start, science, *out, str(tmp_path / "c.parquet")], "written twice")
    case([*start, science, science, *out], "both predict log_mass_pred")
    case([*start, science, *out, "--extrapolation", "100"], "percentile")
    case([*start, science, *out, "--split", "tset"], "no galaxy of split 'tset'")
    broken = tmp_path / "broken"
    for name, content, told in (
        ("probe.safetensors", b"half", "damaged"),
        ("probe.json", b'{"format": 1, "ta', "truncated"),
        ("probe.json", b"[1, 2]", "has format None"),
        ("probe.json", b'{"format": 1}', "damaged or do not belong together"),
        (
            "probe.safetensors",
            (home / "science/star/probe.safetensors").read_bytes(),
            "damaged or of another product",
        ),
    ):
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(home / "science" / "mass", broken)
        (broken / name).write_bytes(content)
        case([*start, str(broken), *out], told)


def test_probe_of_another_model_is_refused(home, tmp_path, capsys):
    pretrain(PretrainConfig(model=TINY, steps=2, batch=32, seed=9), home / "store", tmp_path / "run")
    argv = ["predict", str(tmp_path / "run"), str(home / "store"), str(home / "science")]
    refused([*argv, "--out", str(tmp_path / "c.fits")], "was fitted on embeddings of model", capsys, tmp_path)


def test_probes_of_different_embeddings_are_refused(home, tmp_path):
    store, model = ef.GalaxyStore.open(home / "store"), FoundationModel.load(home / "run")
    emb = ef.embed(model, store, modalities=("VIS",))
    ef.tasks.photoz.fit(emb, store.index).save(tmp_path / "photoz")
    assert predict(model, store, [tmp_path / "photoz"], tmp_path / "vis.fits") == 700
    assert set(Table.read(tmp_path / "vis.fits")["modalities"].astype(str)) == {"VIS"}
    with pytest.raises(InputError, match="different embeddings"):
        predict(model, store, [tmp_path / "photoz", home / "science" / "mass"], tmp_path / "c.fits")


def test_store_damaged_in_the_middle_leaves_nothing(home, tmp_path, capsys):
    store = write_store(tmp_path / "store", blobs(700, bands=()))
    (shard,) = (store.path / "shards").glob("*.parquet")
    at = pq.read_metadata(shard).row_group(2).column(8).data_page_offset + 40
    content = bytearray(shard.read_bytes())
    content[at : at + 60] = bytes(60)
    shard.write_bytes(content)
    argv = ["predict", str(home / "run"), str(store.path), str(home / "science")]
    refused(
        [*argv, "--out", str(tmp_path / "c.fits"), str(tmp_path / "c.parquet")], "damaged", capsys, tmp_path
    )
