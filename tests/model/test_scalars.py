"""Scalar columns as tokens: from the store through loss, embedding and generation, back to its units."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import euclidfm as ef
from euclidfm.core.bands import resolve_bands
from euclidfm.core.errors import InputError
from euclidfm.generate import GenerateConfig, complete, generate, write
from euclidfm.model import FoundationModel, tokenize
from euclidfm.model.config import SCALARS
from euclidfm.model.pooling import embed_tokens
from euclidfm.model.scaling import fit_scaling
from euclidfm.model.tokens import drop_modalities
from euclidfm.pretrain import PretrainConfig, pretrain
from euclidfm.report.sheets.generated import generation_sheet
from euclidfm.store import Column, GalaxyStore, StoreInfo, StoreWriter
from samples import COARSE_VIS, SMALL, blobs, lively, surprisal

COLUMNS = (
    Column(name="radius", type="float32", role="meta", unit="arcsec"),
    Column(name="ebv", role="meta"),
    Column(name="flag", type="int64", role="flag"),
    Column(name="kind", type="string"),
    Column(name="z_true", role="truth"),
)
WITH_SCALARS = replace(SMALL, images=(COARSE_VIS,), scalars=("radius", "ebv", "flag"), objective="likelihood")


def with_columns(n=300, missing=True):
    galaxies = blobs(n, bands=("VIS",))
    rng = np.random.default_rng(1)
    radius = 5.0 + 2.0 * np.log10(galaxies.flux[:, -1].clip(0.1)) + rng.normal(0, 0.02, n)
    if missing:
        radius[::7] = np.nan
    columns = {
        "radius": radius.astype(np.float32),
        "ebv": rng.uniform(0, 0.1, n),
        "flag": rng.integers(0, 3, n),
        "kind": np.array(["spiral"] * n, object),
        "z_true": galaxies.columns["z_spec"],
    }
    return replace(galaxies, columns=columns)


def write_with(path, galaxies, columns=COLUMNS):
    info = StoreInfo(
        image_bands=tuple(galaxies.images), image_size=16, sed_bands=tuple(resolve_bands(galaxies.sed_bands)),
        columns=columns,
    )  # fmt: skip
    with StoreWriter(path, info) as writer:
        writer.add(galaxies)
    return GalaxyStore.open(path)


@pytest.fixture
def store(tmp_path):
    return write_with(tmp_path / "store", with_columns())


@pytest.fixture
def unscaled():
    return WITH_SCALARS


def test_scaled_on_the_training_split_and_kept(config, store, tmp_path):
    train = store.column("radius")[store.rows("train")]
    assert config.scalar_center["radius"] == pytest.approx(np.nanmean(train), rel=1e-6)
    assert config.scalar_spread["radius"] == pytest.approx(np.nanstd(train), rel=1e-5)
    assert config.modalities == ("VIS", "SED", SCALARS)
    lively(config).save(tmp_path / "run")
    card = json.loads((tmp_path / "run" / "model.json").read_text())["config"]
    assert card["scalars"] == ["radius", "ebv", "flag"] and card["scalar_center"] == config.scalar_center
    assert FoundationModel.load(tmp_path / "run").config == config
    t = tokenize(config, store.read())[SCALARS]
    assert t.valid.shape == (300, 3) and torch.equal(t.valid[:, 0], torch.arange(300) % 7 > 0)
    assert t.valid[:, 1:].all() and (t.weight[..., 0] > 0).equal(t.valid)
    value = t.target[store.rows("train")][..., 0]
    np.testing.assert_allclose(value[:, 1].std(unbiased=False), 1.0, rtol=1e-4)


@pytest.mark.parametrize("places", ["fourier", "rotary"])
def test_each_scalar_is_told_from_the_others(config, store, places):
    """The same number as a radius or as E(B-V) is another galaxy."""
    model = lively(replace(config, positions=places))
    tokens = drop_modalities(tokenize(config, store.read(np.array([1, 2, 3]))), (SCALARS,))
    t = tokens[SCALARS]
    swapped = replace(t, features=t.features[:, [1, 0, 2]])
    one, two = (embed_tokens(model, {**tokens, SCALARS: x})[1][SCALARS] for x in (t, swapped))
    assert ((one - two).abs() > 1e-4).any(-1).all()


def test_what_is_missing_does_not_matter(config, store):
    model = lively(config)
    galaxies = store.read(np.arange(8))
    together, parts, *_ = embed_tokens(model, tokenize(config, galaxies))
    galaxies.columns["radius"][0] = np.inf  # was NaN
    again = embed_tokens(model, tokenize(config, galaxies)).joint
    assert torch.equal(together, again) and torch.isfinite(together).all()
    del galaxies.columns["radius"], galaxies.columns["ebv"], galaxies.columns["flag"]
    without = embed_tokens(model, tokenize(config, galaxies)).by_modality
    assert without[SCALARS].isnan().all() and parts[SCALARS].isfinite().all()
    nats = surprisal(model, tokenize(config, store.read(np.arange(8))))[SCALARS]
    assert nats[0, 0].isnan() and nats[1:7].isfinite().all()


def test_a_column_that_can_not_be_read(store):
    for name, told in (("kind", "not numbers"), ("z_true", "truth"), ("size", "no column 'size'; it has")):
        with pytest.raises(InputError, match=told):
            fit_scaling(replace(WITH_SCALARS, scalars=(name,)), store, store.rows("train"))
    with pytest.raises(InputError, match="named once"):
        replace(WITH_SCALARS, scalars=("ebv", "ebv"))


def test_trains_embeds_generates(store, tmp_path):
    config = PretrainConfig(
        model=WITH_SCALARS,
        steps=60,
        batch=32,
        lr=5e-3,
        precision="fp32",
        validate_every=20,
        checkpoint_every=60,
    )
    model = pretrain(config, store.path, tmp_path / "run")
    rows = [r.split(",") for r in (tmp_path / "run" / "log.csv").read_text().splitlines()]
    loss = [float(v) for r in rows[1:] if (v := r[rows[0].index("val_SCALARS")])]
    assert np.isfinite(loss).all() and loss[-1] < loss[0] - 0.05
    table = ef.embed(model, store)
    assert table.by_modality[SCALARS].shape == (300, 32) and np.isfinite(table.vectors).all()
    only = ef.embed(model, store, modalities=[SCALARS])
    assert np.isfinite(only.vectors).all() and np.isnan(only.by_modality[SCALARS]).sum() == 0
    settings = GenerateConfig(to=("scalars",), given=("vis", "sed", "scalars"), limit=20)
    made, first = write(model, store, settings, tmp_path / "made")
    radius, error = made.column("radius"), made.column("radius_err")
    was = store.column("radius")[:20]
    known = np.isfinite(was)
    np.testing.assert_allclose(radius[known], was[known])
    assert np.isfinite(radius).all() and (error[~known] > 0).all() and np.isnan(error[known]).all()
    assert made.info.names("meta")[:2] == ("radius", "radius_err") and np.isnan(made.column("ebv_err")).all()
    generation_sheet(first[1], first[0], first[2], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 5000
    everything = GenerateConfig(to=("scalars",), temperature=1.0, limit=20)
    draws = next(iter(generate(model, store, everything)))[2].columns["radius"]
    assert np.isfinite(draws).all() and (draws[known] != was[known]).all()


def test_generation_with_and_without_a_cache(config, store):
    model = lively(config)
    tokens = tokenize(config, store.read(np.arange(6)))
    wanted = {SCALARS: ~tokens[SCALARS].valid}
    fast, slow = (complete(model, tokens, wanted, cache=c) for c in (True, False))
    assert fast.made[SCALARS].sum() == 1 and fast.tokens[SCALARS].valid.all()
    torch.testing.assert_close(fast.tokens[SCALARS].target, slow.tokens[SCALARS].target, rtol=1e-4, atol=1e-4)


def test_scalars_alone_are_a_model(store, tmp_path):
    alone = replace(WITH_SCALARS, images=(), sed=False)
    config = PretrainConfig(model=alone, steps=3, batch=16, precision="fp32", random_order="none")
    model = pretrain(config, store.path, tmp_path / "run")
    assert model.config.modalities == (SCALARS,) and np.isfinite(ef.embed(model, store).vectors).all()
    bare = write_with(tmp_path / "bare", replace(with_columns(30), columns={}), columns=())
    with pytest.raises(InputError, match="none of the modalities SCALARS"):
        ef.embed(model, bare)
