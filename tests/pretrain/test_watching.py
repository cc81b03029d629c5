"""Watching a training: pictures, Weights & Biases; and its speed: bf16, compiled blocks."""

import shutil
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.generate import predict_tokens
from euclidfm.model import FoundationModel, build, device
from euclidfm.model.scaling import fit_scaling
from euclidfm.pretrain import pretrain
from pretrain import tiny
from pretrain.tiny import MODEL, logged
from samples import blobs, write_store

CONFIG = replace(tiny.CONFIG, steps=20)


def test_pictures_change_nothing_else(store, tmp_path):
    pretrain(CONFIG, store.path, tmp_path / "plain")
    arguments = [
        *("pretrain", str(store.path), "--out", str(tmp_path / "run"), "--log_to", "[pictures]"),
        *("--model.images", "[{name: VIS, bands: [VIS], patch: 8}]", "--model.crop", "16"),
        *("--model.width", "32", "--model.depth", "2", "--model.heads", "4", "--steps", "20"),
        *("--batch", "32", "--lr", "3e-3", "--checkpoint_every", "10", "--validate_every", "15"),
        *("--precision", "fp32", "--seed", "3"),
    ]
    assert main(arguments) == 0
    pictures = sorted((tmp_path / "run" / "samples").iterdir())
    assert [p.name for p in pictures] == ["step-00000015.png", "step-00000020.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") and p.stat().st_size > 5000 for p in pictures)
    a, b = (FoundationModel.load(tmp_path / name).identity() for name in ("plain", "run"))
    assert a == b
    with pytest.raises(InputError, match="needs a function that draws them"):
        pretrain(replace(CONFIG, log_to=("pictures",)), store.path, tmp_path / "other")


@pytest.mark.parametrize("how", [{}, {"objective": "likelihood"}, {"predict": "masked"}])
def test_predicted_tokens_are_in_physical_units(store, how):
    torch.manual_seed(0)
    model = FoundationModel(fit_scaling(replace(MODEL, **how), store, store.rows("train")))
    measured, told = predict_tokens(model, store, np.arange(5))
    assert told.images["VIS"].shape == (5, 16, 16) and not told.masks["VIS"].any()
    assert np.isfinite(told.flux).all() and told.sed_bands == measured.sed_bands
    assert np.isfinite(told.fluxerr).all() == (model.config.objective == "likelihood")
    # an untrained model foresees the mean of all bands, whatever was measured
    assert np.ptp(np.log(told.flux)) < np.ptp(np.log(measured.flux.clip(1e-3)))


def test_a_scaling_without_brightness_shows_the_sed_alone(store):
    zscore = replace(MODEL, architecture="astropt", options={"image_scaling": "zscore"})
    config = fit_scaling(zscore, store, store.rows("train"))
    _, told = predict_tokens(build(config), store, np.arange(3))
    assert not told.images and len(told.sed_bands) == 9
    with pytest.raises(InputError, match="removes the brightness"):
        predict_tokens(build(replace(config, sed=False)), store, np.arange(3))


def test_tensorboard_or_a_sentence(store, tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder, purge_step):
            assert folder.endswith("tensorboard") and purge_step == 0

        def add_scalar(self, name, value, step):
            written.append((name, step))

        def flush(self):
            pass

    config = replace(CONFIG, steps=2, log_to=("tensorboard",))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    pretrain(config, store.path, tmp_path / "run")
    assert {("loss", 2), ("val_SED", 2), ("lr", 2)} <= set(written)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="tensorboard is not installed"):
        pretrain(config, store.path, tmp_path / "other")


def test_wandb_or_a_sentence(store, tmp_path, monkeypatch):
    logged, begun, ended = [], [], []

    class Run:
        def log(self, row, step):
            logged.append((step, set(row)))

        def finish(self):
            ended.append(1)

    def init(**how):
        begun.append(how)
        return Run()

    config = replace(CONFIG, log_to=("wandb",))
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    pretrain(config, store.path, tmp_path / "run")
    assert [s for s, _ in logged] == [10, 20] and {"loss", "val_SED", "lr"} <= logged[0][1] and ended == [1]
    assert begun[0]["config"]["lr"] == 3e-3 and begun[0]["dir"] == str(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000020")
    pretrain(config, store.path, tmp_path / "run")
    assert begun[1]["id"] == begun[0]["id"] and begun[1]["resume"] == "allow"  # the same run goes on
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="wandb is not installed: pip install wandb"):
        pretrain(config, store.path, tmp_path / "other")


def test_wandb_itself_offline(store, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="WANDB IS NOT INSTALLED: its offline mode has not been tried")
    monkeypatch.setenv("WANDB_MODE", "offline")
    pretrain(replace(CONFIG, log_to=("wandb",), steps=10), store.path, tmp_path / "run")
    assert list((tmp_path / "run").glob("wandb/offline-run-*"))


@pytest.mark.parametrize("places", ["fourier", "rotary"])
def test_bf16_gives_nearly_the_same_losses(store, tmp_path, places):
    model = replace(MODEL, objective="likelihood", likelihood="mixture", positions=places)
    for precision in ("fp32", "bf16"):
        config = replace(CONFIG, model=model, precision=precision)
        trained = pretrain(config, store.path, tmp_path / precision)
        assert {p.dtype for p in trained.parameters()} == {torch.float32}
    fp32, bf16 = (logged(tmp_path / p, "loss") for p in ("fp32", "bf16"))
    np.testing.assert_allclose(bf16, fp32, rtol=0.02)
    assert (bf16 != fp32).any()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # torch's compiler warns of itself
def test_compiled_blocks_give_the_same_losses(tmp_path):
    galaxies = blobs(200, bands=("VIS",))
    galaxies.masks["VIS"][::2] = True
    store = write_store(tmp_path / "store", galaxies)
    for compile_ in (False, True):
        config = replace(CONFIG, compile=compile_, ema=0.9, accumulate=2)
        model = pretrain(config, store.path, tmp_path / str(compile_))
        assert (
            model.transformer.blocks[0].state_dict().keys()
            == FoundationModel(model.config).transformer.blocks[0].state_dict().keys()
        )
    plain, fast = (logged(tmp_path / str(c), "loss") for c in (False, True))
    np.testing.assert_allclose(fast, plain, rtol=1e-4)
    assert FoundationModel.load(tmp_path / "True").config == model.config


def test_compiling_needs_a_compiler(store, tmp_path, monkeypatch):
    monkeypatch.setattr(device.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"compile on a CPU needs a C\+\+ compiler"):
        pretrain(replace(CONFIG, compile=True), store.path, tmp_path / "run")
