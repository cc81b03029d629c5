"""The study of real catalogues, on tiny synthetic files of the same format."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest

from euclidfm.core.errors import InputError
from euclidfm.embeddings import EmbeddingTable
from euclidfm.embeddings.predict_scalar import predict_scalar
from euclidfm.model import FoundationModel
from euclidfm.store import GalaxyStore
from euclidfm.studies import RealSEDConfig, real_sed_study

BANDS = ("fuv", "nuv", "u", "b", "v", "g", "r", "i", "z", "j", "k")


def write_zcosmos(folder, n=420, seed=0):
    """Galaxies whose colours follow their redshift; some bands are not measured."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.1, 1.0, n)
    wave = np.linspace(-1, 1, len(BANDS))
    mag = (
        21.5
        + rng.normal(0, 0.5, (n, 1))
        - 2.0 * wave * (0.4 + z[:, None])
        + 0.6 * np.sin(5 * z[:, None] + 3 * wave)
    )
    mag += rng.normal(0, 0.03, mag.shape)
    mag[:, :2][rng.random((n, 2)) < 0.3] = -99.0
    columns = {
        "id_zcosmos": 700000 + np.arange(n),
        "zpec": z,
        "cc": np.full(n, 3.5),
        "alpha": rng.uniform(149.5, 150.7, n),
        "delta": rng.uniform(1.6, 2.8, n),
        "mag_sel": mag[:, 7],
        **{f"{b}_photzi25": mag[:, i] for i, b in enumerate(BANDS)},
        **{f"e{b}_photzi25": np.where(mag[:, i] > 0, 0.03, -99.0) for i, b in enumerate(BANDS)},
        **{f"flag_mask{b}_photzi25": np.zeros(n, int) for b in "bvizd"},
    }
    folder.mkdir(parents=True)
    rows = zip(*columns.values(), strict=True)
    text = "\n".join([",".join(columns), *(",".join(f"{v:.12g}" for v in row) for row in rows)])
    (folder / "zcosmost_bright20k.csv").write_text(text + "\n")


def tiny(data):
    config = RealSEDConfig(data=str(data))
    model = replace(config.pretrain.model, width=24, depth=2, heads=2)
    return replace(
        config,
        pretrain=replace(config.pretrain, model=model, steps=12, batch=32, validate_every=12),
        mock_galaxies=250,
        methods=("probe", "probe-stack", "colours-ridge", "photometry-stack"),
        fractions=(0.1, 0.4),
        repeats=1,
        resamples=20,
        orders=2,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    write_zcosmos(root / "data" / "zcosmos")
    config, told = tiny(root / "data"), []
    records = real_sed_study(config, root / "out", lambda done, total, what: told.append((done, total, what)))
    return root, config, records, told


def test_every_method_at_every_fraction_and_the_densities(finished):
    _, config, records, told = finished
    nmad = {(r["method"], r["fraction"]): r for r in records if r["metric"] == "nmad"}
    assert {(m, f) for m in config.methods for f in config.fractions} <= set(nmad)
    assert all(np.isfinite(r["low"]) and r["low"] <= r["value"] <= r["high"] for r in nmad.values())
    assert {r["catalogue"] for r in records} == {"zcosmos"}
    assert {"coverage_68", "pit_ks"} <= {r["metric"] for r in records if r["method"] == "density"}
    assert told[-1][0] == told[-1][1]
    assert nmad["photometry-stack", 0.4]["value"] < 0.05  # the colours say the redshift, and it is found


def test_what_is_done_is_not_done_again(finished):
    root, config, records, _ = finished
    files = [root / "out" / "zcosmos" / f for f in ("store/store.json", "run/run.json", "embeddings.parquet")]
    before = [f.stat().st_mtime_ns for f in files]
    emb = EmbeddingTable.read(files[2])
    parts = {{"predicted": "foreseen"}.get(n, n): v for n, v in emb.by_modality.items()}
    replace(emb, by_modality=parts).write(files[2])  # as earlier versions wrote it
    before[2] = files[2].stat().st_mtime_ns
    again = real_sed_study(config, root / "out")
    assert [f.stat().st_mtime_ns for f in files] == before
    assert json.dumps(again) == json.dumps(records)
    with pytest.raises(InputError, match="other settings"):
        real_sed_study(replace(config, orders=3), root / "out")


def test_a_missing_catalogue_is_told(finished, caplog):
    root, config, _, _ = finished
    with caplog.at_level(logging.WARNING):
        real_sed_study(replace(config, catalogues=("zcosmos", "desi_bgs")), root / "out")
    assert "desi_bgs is skipped" in caplog.text
    with pytest.raises(InputError, match="holds none"):
        real_sed_study(replace(config, data=str(root / "nowhere")), root / "other")
    with pytest.raises(InputError, match="no catalogue 'sdss'"):
        real_sed_study(replace(config, catalogues=("sdss",)), root / "other")


def test_real_galaxies_have_no_label_in_pretraining(finished):
    root, _, _, _ = finished
    real, mixed = (GalaxyStore.open(root / "out" / "zcosmos" / n) for n in ("store", "mixed-store"))
    ours = ~mixed.column("is_mock")
    assert ours.sum() == len(real.rows("train"))
    assert np.isnan(mixed.column("z_spec")[ours]).all()
    assert np.isfinite(mixed.column("z_spec")[~ours]).all()
    assert set(mixed.column("object_id")[ours]) == set(real.column("object_id")[real.rows("train")])


def test_a_predicted_scalar_does_not_read_the_label(finished):
    root, _, _, _ = finished
    folder = root / "out" / "zcosmos"
    model, real = FoundationModel.load(folder / "run"), GalaxyStore.open(folder / "store")
    found = predict_scalar(model, real, "z_spec", orders=1)
    assert found.shape == (len(real), 2) and np.isfinite(found).all() and (found[:, 1] > 0).all()

    class Blind(GalaxyStore):
        def batches(self, rows, size, bands=None):
            for galaxies in super().batches(rows, size, bands):
                yield replace(galaxies, columns={**galaxies.columns, "z_spec": np.full(len(galaxies), 7.0)})

    assert np.array_equal(found, predict_scalar(model, Blind.open(real.path), "z_spec", orders=1))
    with pytest.raises(InputError, match="no scalar 'ebv'"):
        predict_scalar(model, real, "ebv")
