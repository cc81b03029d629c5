"""Numbers measured on the images as tokens, and as a space of the embeddings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from euclidfm import tasks
from euclidfm.core.errors import InputError
from euclidfm.embeddings import embed
from euclidfm.generate import GenerateConfig, generate
from euclidfm.measure import measure, measured_names
from euclidfm.model import FoundationModel, ModelConfig, tokenize
from euclidfm.model.config import MEASURED
from euclidfm.model.scaling import fit_scaling
from euclidfm.pretrain import PretrainConfig, pretrain
from samples import COARSE_VIS, SMALL, blobs, lively, write_store

BANDS = ("VIS", "H")


@pytest.fixture
def store(tmp_path):
    galaxies = blobs(200)
    galaxies.masks["H"][::5] = True  # no image in H
    return write_store(tmp_path / "store", galaxies)


@pytest.fixture
def unscaled():
    return replace(SMALL, images=(COARSE_VIS,), measured=BANDS, objective="likelihood")


def test_one_standardised_token_a_number_and_none_where_it_is_missing(config, store):
    assert config.modalities == ("VIS", "SED", MEASURED) and config.image_bands == ("VIS", "H")
    galaxies = store.read()
    t = tokenize(config, galaxies, store.info.wavelengths_nm)[MEASURED]
    found = measure(galaxies, BANDS, crop=16).for_models()
    assert torch.equal(t.valid, torch.from_numpy(np.isfinite(found)))
    names = measured_names(BANDS)
    small, large = names.index("aper_H_2.5"), names.index("aper_H_20")
    assert (~t.valid[::5, small]).all() and t.valid[1, small] and not t.valid[:, large].any()
    train = torch.from_numpy(store.column("split") == "train")
    values = t.features[..., 0][train & t.valid[:, 0], 0]
    assert values.mean() == pytest.approx(0, abs=1e-4) and values.std() == pytest.approx(1, abs=0.02)
    center = np.array([config.measured_center[n] for n in names])
    spread = np.array([config.measured_spread[n] for n in names])
    expected = ((found - center) / spread)[t.valid.numpy()]
    assert t.target[..., 0][t.valid].numpy() == pytest.approx(expected, abs=1e-5)


def test_tokens_do_not_depend_on_the_symmetry_and_come_back_from_a_file(config, store, tmp_path):
    galaxies = store.read(np.arange(20))
    plain, turned = (
        tokenize(config, galaxies, store.info.wavelengths_nm, s)[MEASURED] for s in (None, np.full(20, 3))
    )
    assert torch.equal(plain.features, turned.features)
    lively(config).save(tmp_path / "run")
    assert FoundationModel.load(tmp_path / "run").config == config
    assert ModelConfig().measured == () and MEASURED not in ModelConfig().modalities


def test_a_store_without_the_bands_gives_a_model_without_the_modality(unscaled, tmp_path):
    other = write_store(tmp_path / "other", blobs(60, bands=("VIS",)))
    assert fit_scaling(unscaled, other, other.rows("train")).measured == ("VIS",)
    sed_only = write_store(tmp_path / "sed", blobs(60, bands=()))
    config = fit_scaling(unscaled, sed_only, sed_only.rows("train"))
    assert config.measured == () and config.modalities == ("SED",)
    alone = ModelConfig(images=(), sed=False, measured=("VIS",), crop=16, width=32, depth=1, heads=4)
    assert fit_scaling(alone, other, other.rows("train")).modalities == (MEASURED,)
    with pytest.raises(InputError, match="none of the modalities"):
        fit_scaling(alone, sed_only, sed_only.rows("train"))


def test_trained_embedded_and_probed(unscaled, store, tmp_path, one_torch_thread):
    small = replace(unscaled, width=16, depth=1, heads=2)
    settings = PretrainConfig(model=small, steps=30, batch=32, lr=3e-3)
    model = pretrain(settings, store.path, tmp_path / "run")
    emb = embed(model, store, measured=True)
    assert MEASURED in emb.by_modality and np.isfinite(emb.by_modality[MEASURED]).any(axis=1).all()
    assert emb.info["measured"] == list(measured_names(("VIS", "H")))
    expected = measure(store.read(), ("VIS", "H"), crop=16).for_models()
    assert emb.spaces["measured"] == pytest.approx(expected, nan_ok=True)
    only = embed(model, store, modalities=(MEASURED,))
    assert list(only.by_modality) == [MEASURED]
    beside = tasks.photoz.fit(emb, store.index, use=("joint", "measured"))
    alone = tasks.photoz.fit(emb, store.index, use=("measured",))
    assert beside.use == ("joint", "measured") and np.isfinite(beside.predict_array(emb)).all()
    assert np.isfinite(alone.predict_array(emb)).all()


def test_generation_makes_no_measurements_and_does_not_look_at_them(config, store):
    model = lively(config)
    with pytest.raises(InputError, match="measured on images"):
        next(iter(generate(model, store, GenerateConfig(to=(MEASURED,)))))
    hidden = GenerateConfig(to=("VIS",), limit=4)
    named = GenerateConfig(to=("VIS",), given=("SED",), limit=4)
    a, b = (next(iter(generate(model, store, c)))[2].images["VIS"] for c in (hidden, named))
    assert np.array_equal(a, b)
