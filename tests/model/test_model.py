"""The model: causality, any subset of modalities, physical scaling, safe files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from euclidfm.core.errors import InputError
from euclidfm.model import FoundationModel, ModelConfig, build, tokenize
from euclidfm.model.patches import ring_order
from euclidfm.model.pooling import embed_tokens, fit_modality_means
from euclidfm.model.scaling import fit_scaling
from euclidfm.model.sequence import arrange
from euclidfm.model.tokenizer import Tokenizer
from euclidfm.model.tokens import drop_modalities
from samples import SMALL, VIS, blobs, lively, write_store

DEEPER = replace(SMALL, depth=3)


@pytest.fixture
def unscaled():
    return DEEPER


@pytest.fixture
def model(config):
    return lively(config)


def test_a_token_is_predicted_from_earlier_ones_only(config, model, store):
    tokens = tokenize(config, store.read(np.arange(4)))
    with torch.no_grad():
        before = model(tokens)
        changed = dict(tokens)
        noisy = tokens["NISP"].features.clone()
        noisy[:, 2] += 5.0
        changed["NISP"] = replace(tokens["NISP"], features=noisy)
        after = model(changed)
    assert torch.equal(before["VIS"], after["VIS"])
    assert torch.equal(before["NISP"][:, :3], after["NISP"][:, :3])
    assert (before["NISP"][:, 3] != after["NISP"][:, 3]).any()
    assert (before["SED"] != after["SED"]).any()


def test_random_order_is_really_used(config, model, store):
    tokens = tokenize(config, store.read(np.arange(8)))
    order = torch.rand(8, 3, generator=torch.Generator().manual_seed(3)).argsort(1)
    shuffle = {"SED": torch.rand(8, 9, generator=torch.Generator().manual_seed(4)).argsort(1)}
    with torch.no_grad():
        before = model(tokens, order, shuffle)
        shifted = replace(tokens["SED"], features=tokens["SED"].features + 1.0)
        after = model({**tokens, "SED": shifted}, order, shuffle)
    vis_rank, sed_rank = order[:, 0], order[:, 2]
    moved = (before["VIS"] != after["VIS"]).flatten(1).any(1)
    assert (moved == (sed_rank < vis_rank)).all() and moved.any() and (~moved).any()


def test_order_within_a_modality(config, model, store):
    """With SED bands in a random order, a band is predicted from those that stand before it."""
    tokens = drop_modalities(tokenize(config, store.read(np.arange(6))), ("SED",))
    shuffle = {"SED": torch.rand(6, 9, generator=torch.Generator().manual_seed(1)).argsort(1)}
    features = tokens["SED"].features.clone()
    features[:, 4] += 1.0
    with torch.no_grad():
        before = model(tokens, None, shuffle)["SED"][..., 0]
        after = model({**tokens, "SED": replace(tokens["SED"], features=features)}, None, shuffle)["SED"][
            ..., 0
        ]
    rank = shuffle["SED"]
    assert ((before != after) == (rank > rank[:, 4:5])).all()


def test_a_galaxy_is_the_same_in_any_company(config, model, store):
    galaxies = store.read(np.arange(12))
    galaxies.masks["VIS"][3] = True  # no VIS image
    for b in ("Y", "J", "H"):
        galaxies.masks[b][5] = True
    galaxies.flux[7] = np.nan
    galaxies.flux[8, 2:5] = np.nan
    galaxies.masks["VIS"][9, :8] = True  # half an image
    fit_modality_means(model, [tokenize(config, store.read(np.arange(50)))])
    together, parts, *_ = embed_tokens(model, tokenize(config, galaxies))
    assert together.shape == (12, model.images.mean.numel() + config.width)
    torch.testing.assert_close(together[7, -config.width :], model.modality_mean[config.layer - 1, 2])
    assert torch.isfinite(together).all()
    assert parts["VIS"][3].isnan().all() and parts["NISP"][5].isnan().all() and parts["SED"][7].isnan().all()
    for i in range(12):
        alone, apart, *_ = embed_tokens(model, tokenize(config, galaxies.take(np.array([i]))))
        torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)
        for m in parts:
            torch.testing.assert_close(apart[m][0], parts[m][i], rtol=1e-4, atol=1e-5, equal_nan=True)


def test_what_is_missing_does_not_matter(config, model, store):
    """Values under a mask, and fluxes of unmeasured bands, never reach the model."""
    galaxies = store.read(np.arange(5))
    galaxies.masks["J"][:, 2:9, 3:7] = True
    galaxies.flux[:, 3] = np.nan
    want = embed_tokens(model, tokenize(config, galaxies)).joint
    galaxies.images["J"][galaxies.masks["J"]] = np.nan
    galaxies.fluxerr[:, 3] = 1e9
    got = embed_tokens(model, tokenize(config, galaxies)).joint
    assert torch.equal(want, got)


def test_a_galaxy_with_nothing_is_nan_and_harms_nobody(config, model, store):
    galaxies = store.read(np.arange(3))
    for b in galaxies.masks:
        galaxies.masks[b][1] = True
    galaxies.flux[1] = np.nan
    tokens = tokenize(config, galaxies)
    vectors = embed_tokens(model, tokens).joint
    assert vectors[1].isnan().all() and torch.isfinite(vectors[[0, 2]]).all()
    sums = model.objective.loss_sums(model(tokens), tokens)
    assert all(torch.isfinite(a) and torch.isfinite(b) for a, b in sums.values())


@pytest.mark.parametrize("keep", [("VIS",), ("NISP", "SED"), ("SED",)])
def test_withheld_modalities_are_not_seen(config, model, store, keep):
    galaxies = store.read(np.arange(6))
    want = embed_tokens(model, drop_modalities(tokenize(config, galaxies), keep)).joint
    for m, bands in (("VIS", ["VIS"]), ("NISP", ["Y", "J", "H"])):
        if m not in keep:
            for b in bands:
                galaxies.images[b] += 1.0
    if "SED" not in keep:
        galaxies.flux *= 3
    got = embed_tokens(model, drop_modalities(tokenize(config, galaxies), keep)).joint
    assert torch.equal(want, got)


def test_brightness_survives_by_default_and_not_when_standardised(config, store):
    galaxies = store.read(np.arange(6))
    brighter = store.read(np.arange(6))
    for b in brighter.images:
        brighter.images[b] *= 5.0
    flat = build(replace(config, architecture="astropt", options={"image_scaling": "standardise"})).tokenizer
    physical = [tokenize(config, g)["VIS"].target.abs().mean() for g in (galaxies, brighter)]
    standard = [flat(g)["VIS"].target.abs().mean() for g in (galaxies, brighter)]
    assert physical[1] > 1.5 * physical[0]
    assert abs(standard[1] - standard[0]) < 0.15 * standard[0]


@settings(max_examples=50, deadline=None)
@given(flux=st.floats(-10, 1e5), band=st.sampled_from(["VIS", "H"]))
def test_scaling_is_inverted(flux, band):
    config = replace(
        DEEPER,
        pixel_noise_ujy={"VIS": 0.002, "H": 0.01},
        sed_softening_ujy={"VIS": 0.02, "H": 0.1},
        sed_center=1.2,
        sed_spread=1.7,
    )
    galaxies = blobs(1)
    galaxies.images[band][:] = flux
    galaxies.flux[0, galaxies.sed_bands.index(band)] = flux
    tokens = tokenize(config, galaxies)
    name, channel = ("VIS", 0) if band == "VIS" else ("NISP", 2)
    pixels = tokens[name].target.double().numpy().reshape(1, -1, len({"VIS": "1", "NISP": "123"}[name]), 1)
    patch = 16 if name == "VIS" else 64
    values = tokens[name].target.double().numpy()[0, 0].reshape(-1, patch)[channel]
    assert pixels.size
    np.testing.assert_allclose(Tokenizer(config).pixels_to_ujy(band, values), flux, rtol=1e-4, atol=1e-6)
    sed = tokens["SED"].target.double().numpy()[0, galaxies.sed_bands.index(band), 0]
    np.testing.assert_allclose(Tokenizer(config).sed_to_ujy(band, sed), flux, rtol=1e-4, atol=1e-4)


def test_spiral_starts_at_the_centre_and_visits_all():
    order = ring_order(8)
    assert sorted(order) == list(range(64))
    assert set(order[:4]) == {27, 28, 35, 36}


def test_chain_puts_invalid_slots_last(config, store):
    galaxies = store.read(np.arange(4))
    galaxies.flux[1, 3] = np.nan
    tokens = tokenize(config, galaxies)
    layout = arrange(tokens)
    lengths = layout.valid.sum(1)
    for i in range(4):
        assert layout.valid[i, layout.slots[i, : lengths[i]]].all()
        assert len(set(layout.slots[i].tolist())) == layout.slots.shape[1]


def test_gradients_repeat_exactly_on_many_threads():
    """At a size where torch spreads sums over threads: the order of summing must not vary."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(0)
        images = (replace(VIS, patch=16),)
        model = FoundationModel(ModelConfig(images=images, width=96, depth=2, heads=3))
        tokens = tokenize(model.config, blobs(32, size=64))
        order = torch.rand(32, 2, generator=torch.Generator().manual_seed(1)).argsort(1)
        gradients = []
        for _ in range(4):
            model.zero_grad()
            sum(a / b for a, b in model.objective.loss_sums(model(tokens, order), tokens).values()).backward()
            gradients.append({n: p.grad.clone() for n, p in model.named_parameters()})
        for again in gradients[1:]:
            assert [n for n in again if not torch.equal(again[n], gradients[0][n])] == []
    finally:
        torch.set_num_threads(threads)


def test_save_and_load(model, tmp_path, store, config):
    model.save(tmp_path / "run")
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"model.json", "model.safetensors"}
    back = FoundationModel.load(tmp_path / "run")
    tokens = tokenize(config, store.read(np.arange(4)))
    assert torch.equal(embed_tokens(model, tokens)[0], embed_tokens(back, tokens)[0])
    assert back.config == config and back.identity() == model.identity()


def test_a_model_of_an_older_version_loads(model, tmp_path, store, config):
    """What a model file does not say is as it was when there was no choice."""
    model.save(tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    for new in ("vectors", "order", "options", "architecture", "objective", "predict", "attention"):
        del card["config"][new]
    del card["sha256"]
    (tmp_path / "model.json").write_text(json.dumps(card))
    assert FoundationModel.load(tmp_path).config == config
    card["config"]["colour"] = "blue"
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="has colour, which this version does not know"):
        FoundationModel.load(tmp_path)


def test_bad_model_files(model, tmp_path):
    with pytest.raises(InputError, match="holds no model"):
        FoundationModel.load(tmp_path)
    model.save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        FoundationModel.load(tmp_path)


def test_store_without_the_models_needs(store, tmp_path):
    with pytest.raises(InputError, match=r"cutouts of store .* are 16 px, the model wants 64"):
        fit_scaling(replace(DEEPER, crop=64), store, store.rows())
    sed_only = write_store(tmp_path / "sed", blobs(50, bands=()))
    assert fit_scaling(DEEPER, sed_only, sed_only.rows()).modalities == ("SED",)
    with pytest.raises(InputError, match="none of the modalities"):
        fit_scaling(replace(DEEPER, sed=False), sed_only, sed_only.rows())
