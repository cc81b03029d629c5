"""Fine-tuning: gains where the frozen model lacks information, else is the probe; comes back from disk."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import euclidfm as ef
from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json
from euclidfm.embeddings import embed
from euclidfm.model import FoundationModel, ModelConfig
from euclidfm.studies.label_efficiency import EfficiencyConfig, label_efficiency
from euclidfm.tasks.finetune.activations import ActivationCache
from euclidfm.tasks.finetune.lora import add_lora, merge_lora
from euclidfm.tasks.finetune.train import FineTuneConfig, fine_tune
from samples import blobs, write_store

SMALL = FineTuneConfig(layers=2, max_steps=60, learning_rate=3e-3, lora_learning_rate=1e-2, views=2)


def tiny(**options):
    torch.manual_seed(3)
    defaults = {"width": 16, "depth": 2, "heads": 2, "crop": 16}
    return FoundationModel(ModelConfig(**(defaults | options))).eval()


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("sky") / "store", blobs(300))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "run"
    tiny().save(folder)
    return folder


def test_lora_changes_nothing_at_first_and_merges():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Sequential(nn.Linear(8, 3)))
    x = torch.randn(5, 6)
    before, names = net(x), list(net.state_dict())
    add_lora(net, rank=2, alpha=4.0)
    assert torch.equal(net(x), before)
    trained = [p for p in net.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == 2 * (6 + 8) + 2 * (8 + 3)
    optimiser = torch.optim.Adam(trained, lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        net(x).square().sum().backward()
        optimiser.step()
    apart = net(x)
    assert not torch.allclose(apart, before, atol=1e-2)
    merge_lora(net)
    assert list(net.state_dict()) == names
    torch.testing.assert_close(net(x), apart)
    with pytest.raises(InputError, match="rank"):
        add_lora(net, rank=0, alpha=1.0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"embed_backwards": False, "embed_layer": 1},
        {"attention": "prefix"},
        {"positions": "rotary"},
    ],
)
def test_kept_states_give_the_embedding(sky, options):
    model = tiny(**options)
    hidden = ActivationCache(model, sky, ("VIS", "SED"), start=model.config.layer - 1)
    rows = np.array([7, 3, 250])
    hidden.prepare(rows)
    whole = embed(model, sky, modalities=("VIS", "SED")).vectors[rows]
    np.testing.assert_allclose(hidden.vectors(rows), whole, atol=1e-4)


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_learns_what_the_frozen_embedding_does_not_say(sky, adapt):
    hidden = ActivationCache(tiny(), sky, ("SED",))
    y = np.abs(np.log(sky.column("flux_VIS").clip(0.1)) - 0.3)  # a fold: no line in the embedding says it
    train, test = sky.rows("train"), sky.rows("test")
    hidden.prepare(np.concatenate([train, test]))
    rates = {"learning_rate": 1e-2, "lora_learning_rate": 2e-2, "head_learning_rate": 1e-2}
    config = replace(SMALL, adapt=adapt, max_steps=150, **rates)
    still = dict.fromkeys(rates, 0.0)
    frozen = fine_tune(replace(config, max_steps=1, **still), hidden, train, y[train])
    tuned = fine_tune(config, hidden, train, y[train])

    def error(result):
        return np.abs(result.predict(hidden, test)[:, 0] - y[test]).mean()

    assert not frozen.improved
    assert tuned.improved
    assert tuned.final < tuned.frozen
    assert error(tuned) < 0.7 * error(frozen)  # 0.4 at this seed
    if adapt == "full":
        short = replace(config, max_steps=12)
        first, again = (fine_tune(short, hidden, train, y[train]) for _ in range(2))
        assert again.losses == first.losses
        assert np.array_equal(again.predict(hidden, test), first.predict(hidden, test))
        assert fine_tune(short, hidden, train, y[train], seed=1).losses != first.losses


def test_without_gain_it_is_the_probe(sky):
    model = tiny()
    hidden = ActivationCache(model, sky)
    y = np.random.default_rng(0).normal(size=len(sky))
    train = sky.rows("train")
    tuned = fine_tune(replace(SMALL, learning_rate=0.3, max_steps=12), hidden, train, y[train])
    assert not tuned.improved
    np.testing.assert_array_equal(hidden.vectors(train, tuned.blocks), hidden.vectors(train))
    assert len(tuned.losses) <= 13


@pytest.mark.parametrize(
    "wrong", [{"layers": 3}, {"layers": 0}, {"holdout": 1.0}, {"views": 9}, {"max_steps": 0}]
)
def test_wrong_settings_are_refused(sky, wrong):
    rows = sky.rows("train")
    with pytest.raises(InputError):
        fine_tune(replace(SMALL, **wrong), ActivationCache(tiny(), sky), rows, sky.column("z_spec")[rows])


_VALUES = {"value": 0.0, "low": 0.0, "high": 0.0}


def test_in_the_study(sky, run, tmp_path):
    emb = embed(FoundationModel.load(run), sky)
    cfg = EfficiencyConfig(
        tasks=("photoz",),
        fractions=(0.05, 1.0),
        methods=("probe", "finetune", "finetune-lora"),
        finetune=replace(SMALL, max_steps=24),
        resamples=20,
    )
    out = tmp_path / "efficiency.json"
    without = label_efficiency(cfg, sky, {"VIS+NISP+SED": emb}, out=out)
    assert {r["method"] for r in without} == {"probe"}
    cfg = replace(cfg, run=str(run))
    with pytest.raises(InputError, match="other"):
        label_efficiency(cfg, sky, {"VIS+NISP+SED": emb}, out=out)
    assert label_efficiency(replace(cfg, methods=("probe",)), sky, {"VIS+NISP+SED": emb}, out=out) == without
    alone = label_efficiency(cfg, sky, {"VIS+NISP+SED": emb})
    assert {r["method"] for r in alone} == {"probe", "finetune", "finetune-lora"}
    shared = label_efficiency(replace(cfg, workers=2), sky, {"VIS+NISP+SED": emb})
    assert [r | _VALUES for r in shared] == [r | _VALUES for r in alone]
    for one, other in zip(alone, shared, strict=True):
        # which process computes which activations together changes their rounding, and training amplifies it
        near = 0 if one["method"] == "probe" else 0.02
        assert other["value"] == pytest.approx(one["value"], rel=near, abs=0)


@pytest.mark.parametrize("task", ["photoz", "classification:bright"])
def test_command(tmp_path, run, task, capsys):
    galaxies = blobs(200)
    store = write_store(tmp_path / "store", galaxies)
    if task != "photoz":
        task = "classification:tile"
        with pytest.raises(InputError):
            ef.tasks.get(task).fit(embed(FoundationModel.load(run), store), store.index)
        assert (
            main(["finetune", str(run), str(store.path), "--task", task, "--out", str(tmp_path / "t")]) == 2
        )
        assert "nothing to learn" in capsys.readouterr().err
        return
    out = tmp_path / "tuned"
    words = ["finetune", str(run), str(store.path), "--task", task, "--out", str(out), "--max_steps", "24"]
    words += ["--learning_rate", "0.003", "--adapt", "lora", "--lora_learning_rate", "0.01"]
    assert main(words) == 0
    records = read_json(out / "metrics.json")
    assert {r["method"] for r in records} == {"probe", "finetune-lora"}
    model, probe = FoundationModel.load(out), ef.tasks.load_probe(out)
    predicted = probe.predict(embed(model, ef.GalaxyStore.open(store.path)))
    written = pq.read_table(out / "predictions.parquet")
    assert written.column("object_id").equals(predicted.column("object_id"))
    np.testing.assert_allclose(written.column("z_phot"), predicted.column("z_phot"), atol=0.02)
    assert main(["finetune", str(run), str(store.path), "--out", str(run)]) == 2
