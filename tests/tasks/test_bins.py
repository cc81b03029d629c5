"""Metrics in bins of magnitude, redshift and size, as `fit_and_write` leaves them."""

import json

import numpy as np
import pytest

import euclidfm as ef
from euclidfm.metrics import PHOTOZ
from euclidfm.tasks.bins import binnings
from euclidfm.tasks.products import fit_and_write


@pytest.mark.parametrize("name", ["photoz", "morphology"])
def test_bins_hold_every_test_galaxy_once(world, tmp_path, name):
    store, emb = world
    labels = {n: store.column(n) for n in ("object_id", "z_spec", "gz_smooth", "gz_featured", "flux_VIS")}
    labels["fwhm"] = np.random.default_rng(0).uniform(0.2, 1.0, len(store))
    records = fit_and_write(ef.tasks.get(name), emb, labels, tmp_path, head="linear")
    bins = json.loads((tmp_path / "bins.json").read_text())
    metric = "nmad" if name == "photoz" else "average_precision"
    assert {(r["by"], r["column"]) for r in bins} == {
        ("magnitude", "flux_VIS"),
        ("redshift", "z_spec"),
        ("size", "fwhm"),
    }
    by_size = [r for r in bins if r["by"] == "size" and r["metric"] == metric]
    assert len(by_size) > 2 and sum(r["n"] for r in by_size) == records[0]["n_test"]
    assert all(r["bin_low"] <= r["bin_mean"] <= r["bin_high"] for r in by_size)


def test_a_bin_is_what_it_says(world, tmp_path):
    store, emb = world
    fit_and_write(ef.tasks.photoz, emb, store.index, tmp_path, head="linear")
    (first,) = [
        r
        for r in json.loads((tmp_path / "bins.json").read_text())
        if (r["by"], r["bin"], r["metric"]) == ("redshift", 0, "bias_median")
    ]
    z, test = store.column("z_spec"), emb.split == "test"
    inside = test & (z >= first["bin_low"]) & (z < first["bin_high"])
    predicted = ef.tasks.load_probe(tmp_path).predict_array(emb)
    assert first["n"] == inside.sum()
    assert first["value"] == pytest.approx(float(PHOTOZ["bias_median"](predicted[inside], z[inside])))


def test_magnitude_is_ab(world):
    store, emb = world
    column, magnitude = binnings(emb, store.index)["magnitude"]
    flux = store.column("flux_VIS").astype(float)
    assert column == "flux_VIS" and (np.isnan(magnitude) == ~(flux > 0)).all()
    good = flux > 0
    np.testing.assert_allclose(10 ** (-0.4 * (magnitude[good] - 23.9)), flux[good], rtol=1e-9)
