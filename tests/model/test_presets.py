"""Named sizes and the reference's architecture; choices of blocks and tokens."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json
from euclidfm.interop.astropt.network import square_spiral
from euclidfm.model import (
    SIZES,
    FoundationModel,
    ModelConfig,
    build,
    tokenize,
)
from euclidfm.model.scaling import fit_scaling
from euclidfm.pretrain.presets import names, preset
from samples import SMALL, VIS, blobs, lively, write_store

WANTED = {"1M": 1e6, "3M": 3e6, "5M": 5e6, "20M": 20e6, "90M": 90e6}
WANTED |= {"200M": 200e6, "400M": 400e6, "1B": 1e9, "2B": 2e9}


@pytest.mark.parametrize("size", SIZES)
def test_sizes_have_the_parameters_of_their_name(size):
    with torch.device("meta"):
        model = FoundationModel(ModelConfig(**SIZES[size]))
    blocks = sum(p.numel() for p in model.transformer.parameters())
    assert 0.8 < blocks / WANTED[size] < 1.1
    assert model.parameter_count() > blocks
    assert SIZES[size]["width"] % SIZES[size]["heads"] == 0


def test_the_astropt_preset_is_its_architecture():
    made = preset("AstroPT-90m")["model"]
    with torch.device("meta"):
        model = build(ModelConfig.from_dict({**made, "sed": False}))
    d, layers = 768, 12
    blocks = layers * (12 * d * d + 2 * d) + d  # attention 4 d^2, feed-forward 8 d^2, two norms; a last norm
    assert sum(p.numel() for p in model.transformer.parameters()) == blocks
    values = [m.patch**2 * len(m.bands) for m in model.config.images]
    each = [2 * (4 * d * v + 4 * d * d) + 1024 * d for v in values]  # encoder, decoder, positions
    assert model.parameter_count() == blocks + sum(each)
    assert model.config.layer == 7 and not model.config.embed_backwards


def test_a_preset_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "store", blobs(80, size=16))
    small = ["--model.crop", "16", "--model.width", "16", "--model.heads", "2", "--model.depth", "2"]
    argv = ["pretrain", "store", "--out", "run", "--preset", "astropt-5m", "--steps", "2", "--batch", "8"]
    assert main([*argv, *small, "--model.embed_layer", "2"]) == 0
    made = read_json(tmp_path / "run" / "config.json")
    assert made["lr"] == 6e-4 and made["random_order"] == "none"
    assert made["model"]["options"]["positions"] == "learned" and made["model"]["width"] == 16
    assert made["model"]["options"]["norm"] == "layer" and made["model"]["images"][0]["patch"] == 16
    assert main(["embed", "run", "store", "--out", "e.parquet"]) == 0


def test_presets_that_are_not(capsys):
    assert "astropt-90m" in names() and "2b" in names()
    with pytest.raises(InputError, match=r"no preset 'huge'; the presets are 1m, .*astropt-90m"):
        preset("huge")
    assert main(["pretrain", "s", "--out", "r", "--preset", "huge"]) == 2
    assert "no preset 'huge'" in capsys.readouterr().err


CHOICES = [
    {"norm": "layer", "bias": True},
    {"feed_forward": "swiglu", "qk_norm": False},
    {"token_encoder": "aim", "token_decoder": "aim", "quality_features": False},
    {"token_encoder": "relu", "token_decoder": "relu", "patch_order": "raster"},
    {"token_encoder": "affine", "positions": "learned", "next_positions": False, "max_positions": 40},
    {"begin_tokens": False, "patch_order": "spiral"},
    {"order": ("SED", "NISP", "VIS"), "embed_backwards": False},
]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_every_choice_is_causal_and_reads_files_back(choice, store, tmp_path):
    if "order" not in choice:
        choice = {"architecture": "astropt", "options": choice}
    config = fit_scaling(replace(SMALL, **choice), store, store.rows("train"))
    model = lively(config)
    tokens = model.tokenizer(store.read(np.arange(4)))
    assert tuple(tokens) == config.modalities
    features = tokens["NISP"].features.clone()
    features[:, 2] += 5.0
    with torch.no_grad():
        before = model(tokens)
        after = model({**tokens, "NISP": replace(tokens["NISP"], features=features)})
    rank = config.modalities.index
    assert torch.equal(before["NISP"][:, 1:3], after["NISP"][:, 1:3])
    assert (before["NISP"][:, 3] != after["NISP"][:, 3]).any()
    for m in ("VIS", "SED"):
        moved = (before[m][:, 1:] != after[m][:, 1:]).any()
        assert bool(moved) == (rank(m) > rank("NISP"))
    model.save(tmp_path)
    back = FoundationModel.load(tmp_path)
    assert back.config == config
    with torch.no_grad():
        assert torch.equal(back(tokens)["SED"], before["SED"])


def test_without_begin_tokens_the_first_is_not_asked(store):
    how = {"architecture": "astropt", "options": {"begin_tokens": False}}
    config = replace(SMALL, images=(VIS,), depth=1, **how)
    model = build(config)
    tokens = tokenize(config, store.read(np.arange(4)))
    order = torch.tensor([[0, 1], [1, 0], [0, 1], [1, 0]])
    asked = model.loss_targets(tokens, order)
    assert asked["VIS"].weight[:, 0, 0].tolist() == [0, 1, 0, 1]
    assert (asked["SED"].weight[:, 0, 0] > 0).tolist() == [True, False, True, False]
    assert (asked["VIS"].weight[:, 1:] == tokens["VIS"].weight[:, 1:]).all()


def test_orders_of_patches():
    raster = replace(ModelConfig(), architecture="astropt", options={"patch_order": "raster"})
    assert build(raster).tokenizer.patch_order(3).tolist() == list(range(9))
    assert square_spiral(1).tolist() == [0]
    assert square_spiral(3).tolist() == [4, 3, 6, 7, 8, 5, 2, 1, 0]
    for side in (2, 7, 14):
        order = square_spiral(side)
        assert sorted(order) == list(range(side**2))
        y, x = np.divmod(order, side)
        assert (np.abs(np.diff(y)) + np.abs(np.diff(x)) == 1).all()  # one step at a time


def test_more_tokens_than_places(store):
    options = {"positions": "learned", "next_positions": False, "max_positions": 10}
    how = {"architecture": "astropt", "options": options}
    config = replace(SMALL, images=(VIS,), depth=1, **how)
    with pytest.raises(InputError, match="16 tokens of VIS are more than the model's 10 learned positions"):
        build(config)(tokenize(config, store.read(np.arange(2))))
