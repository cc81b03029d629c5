"""Where a galaxy is odd: the excess surprise of tokens, as maps, as a table, as scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from euclidfm.core.errors import InputError
from euclidfm.discover import surprise_scores
from euclidfm.embeddings import surprise_of, surprise_table
from euclidfm.model import FoundationModel
from euclidfm.model.likelihood import StudentT
from euclidfm.pretrain import PretrainConfig, pretrain
from euclidfm.store import GalaxyStore
from samples import SMALL, blobs, write_store

LIKELIHOOD = replace(SMALL, width=48, heads=2, objective="likelihood")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[FoundationModel, GalaxyStore]:
    folder = tmp_path_factory.mktemp("surprise")
    store = write_store(folder / "store", blobs(600))
    config = PretrainConfig(
        model=LIKELIHOOD, steps=150, batch=64, lr=4e-3, random_order="patches", validate_every=150,
        checkpoint_every=150, precision="fp32",
    )  # fmt: skip
    return pretrain(config, store.path, folder / "run"), store


def test_entropy_is_the_mean_surprise_of_its_own_draws():
    dof = torch.tensor([2.5, 7.0, 60.0])
    t = StudentT(torch.zeros(1, 2, 3), torch.tensor([[[0.2, 1.0, 3.0]] * 2]), dof)
    expected = stats.t.entropy(dof.numpy(), scale=t.scale.numpy())
    np.testing.assert_allclose(t.entropy(), expected, rtol=1e-4)


def test_the_map_points_at_what_was_put_there(trained):
    model, store = trained
    rows = store.rows("test")[:60]
    plain, odd = store.read(rows), store.read(rows)
    odd.images["VIS"][:, 12:14, 1:3] += 0.3  # a second source: row 3, column 0 of the patches
    odd.flux[:, 6] *= 5.0
    odd.masks["VIS"][0, :4, :4] = True
    maps, before = surprise_of(model, odd), surprise_of(model, plain)
    assert [m.object_id for m in maps] == odd.object_id.tolist()
    assert maps[0].patches["VIS"].shape == (4, 4) and maps[0].patches["NISP"].shape == (2, 2)
    assert np.isnan(maps[0].patches["VIS"][0, 0]) and np.isfinite(maps[1].patches["VIS"]).all()
    found = [np.nanargmax(m.patches["VIS"]) == 12 for m in maps]
    assert np.mean(found) > 0.95 > 0.3 > np.mean([np.nanargmax(m.patches["VIS"]) == 12 for m in before])
    band = odd.sed_bands[6]
    assert np.mean([max(m.sed, key=lambda b, m=m: m.sed[b]) == band for m in maps]) > 0.7
    everyday = np.concatenate([m.patches["VIS"].ravel() for m in before])
    assert abs(np.nanmean(everyday)) < 0.15  # calibrated: the excess of expected tokens has mean zero


def test_the_table_and_its_scores(trained, tmp_path):
    model, store = trained
    table = surprise_table(model, store, split="test", batch=50, draws=2)
    rows = np.sort(store.rows("test"))
    assert table["object_id"].to_pylist() == store.index["object_id"].take(rows).to_pylist()
    assert {n: table[n].type.list_size for n in table.column_names[1:]} == {
        "surprise_VIS": 16,
        "surprise_NISP": 4,
        "surprise_SED": 9,
    }
    scores = surprise_scores(table)
    vis = np.array(table["surprise_VIS"].to_pylist())
    np.testing.assert_allclose(scores["surprise_VIS"], np.sort(vis, axis=1)[:, -2:].mean(axis=1), rtol=1e-5)
    assert scores["surprise"].min() >= 0 and scores["surprise"].max() <= 1
    again = surprise_table(model, store, split="test", batch=50, draws=2)
    assert again.equals(table)
    only = surprise_table(model, store, modalities=("SED",), split="test", draws=1)
    assert only.column_names == ["object_id", "surprise_SED"]


def test_a_galaxy_without_a_modality_has_no_surprise_there(trained):
    model, store = trained
    galaxies = store.read(store.rows("test")[:4])
    galaxies.masks["VIS"][1] = True
    galaxies.flux[2] = np.nan
    maps = surprise_of(model, galaxies, draws=1)
    assert np.isnan(maps[1].patches["VIS"]).all() and np.isfinite(maps[1].patches["NISP"]).all()
    assert all(np.isnan(v) for v in maps[2].sed.values())
    with pytest.raises(InputError, match="no likelihood"):
        surprise_of(FoundationModel(replace(LIKELIHOOD, objective="huber")), galaxies)
