"""The label-efficiency study: nested, resumable, deterministic, the same galaxies for all."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json
from euclidfm.core.records import read_records
from euclidfm.studies.label_efficiency import EfficiencyConfig, label_efficiency
from euclidfm.studies.labelled_task import nested_subsets
from euclidfm.studies.methods import METHODS, TAUGHT, TUNED, image_bands, image_inputs
from euclidfm.tasks.baselines.cnn import CNNConfig
from euclidfm.tasks.baselines.resnet import ResNetConfig

CFG = EfficiencyConfig(
    fractions=(0.1, 1.0),
    methods=("probe", "colours-ridge"),
    tasks=("photoz", "morphology"),
    resamples=20,
    repeats=2,
)


def test_every_method_learns(world):
    """Fine-tuning, which needs a pre-trained run, is in test_finetune.py; the taught probe reads images."""
    store, emb = world
    learners = [m for m in METHODS if m not in (*TUNED, TAUGHT)]
    cfg = replace(
        CFG,
        methods=tuple(learners),
        fractions=(1.0,),
        repeats=1,
        cnn=CNNConfig(minimum_steps=60),
        resnet=ResNetConfig(epochs=4, minimum_steps=30),
    )
    records = label_efficiency(cfg, store, emb)
    methods = {r["method"] for r in records}
    assert methods == set(learners)
    alone = replace(
        emb, vectors=emb.by_modality["VIS"], by_modality={"VIS": emb.by_modality["VIS"]}, spaces={}
    )
    taught = label_efficiency(replace(cfg, methods=(TAUGHT,)), store, {"VIS": alone})
    assert {(r["method"], r["inputs"]) for r in taught} == {(TAUGHT, "VIS")}
    assert all(r["value"] > 0.3 for r in taught if (r["task"], r["metric"]) == ("photoz", "r2"))
    of = {(r["task"], r["method"], r["metric"]): r for r in records}
    blind = "morphology-booster"  # the size of these galaxies does not depend on the redshift
    for m in (m for m in learners if m != blind):
        assert of["photoz", m, "r2"]["value"] > (0.3 if m not in ("cnn-max", "resnet") else -0.3), m
    assert of["morphology", "cnn", "auc"]["value"] > 0.8
    assert of["morphology", blind, "auc"]["value"] > 0.8
    assert of["photoz", "probe", "r2"]["inputs"] == "VIS+SED"
    assert of["photoz", "cnn", "r2"]["inputs"] == "VIS+H"
    assert of["photoz", "booster", "r2"]["inputs"] == "SED"
    assert len({(r["n_train"], r["n_test"]) for r in records if r["task"] == "photoz"}) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 400), st.integers(0, 50))
def test_subsets_are_nested(n, seed):
    fractions = (0.01, 0.05, 0.1, 0.5, 1.0)
    subsets = nested_subsets(n, fractions, seed)
    for a, b in pairwise(fractions):
        assert set(subsets[a]) <= set(subsets[b])
    assert len(subsets[1.0]) == n
    alone = nested_subsets(n, (0.1,), seed)[0.1]
    assert (alone == subsets[0.1]).all()


def test_repeats_change_the_subset():
    a, b = (nested_subsets(1000, (0.1,), s)[0.1] for s in (0, 1))
    assert len(set(a) & set(b)) < 30


def test_resumes_where_it_stopped(world, tmp_path, monkeypatch):
    store, emb = world
    out = tmp_path / "science" / "efficiency.json"
    whole = label_efficiency(CFG, store, emb, out=out)
    d = read_json(out)
    assert json.dumps(read_records(out)) == json.dumps(whole)
    kept = [r for r in d if r["method"] == "probe"]
    out.write_text(json.dumps(kept))
    ran = []
    from euclidfm.studies import methods

    original = methods.Methods.predict
    monkeypatch.setattr(
        methods.Methods, "predict", lambda self, m, *a: ran.append(m) or original(self, m, *a)
    )
    again = label_efficiency(CFG, store, emb, out=out)
    assert set(ran) == {"colours-ridge"} and len(ran) == 8
    assert json.dumps(again) == json.dumps(whole)
    ran.clear()
    label_efficiency(replace(CFG, fractions=(0.1, 0.5, 1.0)), store, emb, out=out)
    assert len(ran) == 8  # only the new fraction
    assert len(read_records(out)) == len(whole) * 3 // 2


def test_other_data_are_not_mixed(world, tmp_path):
    store, emb = world
    out = tmp_path / "e.json"
    label_efficiency(replace(CFG, repeats=1), store, emb, out=out)
    other = emb.take(np.arange(len(emb)))
    other.vectors = other.vectors + 1
    with pytest.raises(InputError, match="other data"):
        label_efficiency(CFG, store, other, out=out)
    alone = replace(CFG, methods=("colours-ridge",), repeats=1)
    first = label_efficiency(alone, store, emb, out=tmp_path / "baselines.json")
    again = label_efficiency(alone, store, other, out=tmp_path / "baselines.json")
    assert json.dumps(again) == json.dumps(first)


@pytest.mark.slow
def test_processes_give_the_same_numbers(world, tmp_path):
    store, emb = world
    cfg = replace(
        CFG, repeats=1, methods=("probe", "cnn"), fractions=(0.5,), cnn=CNNConfig(epochs=1, minimum_steps=2)
    )
    alone = label_efficiency(cfg, store, emb)
    out = tmp_path / "e.json"
    shared = label_efficiency(replace(cfg, workers=2), store, emb, out=out)
    assert json.dumps(shared) == json.dumps(alone)
    assert len(read_records(out)) == len(alone)


def test_several_embeddings(world):
    store, emb = world
    half = emb.take(np.arange(len(emb)))
    half.vectors = emb.vectors[:, :6]
    seen = []
    records = label_efficiency(
        replace(CFG, repeats=1, methods=("probe",)),
        store,
        {"VIS+SED": emb, "VIS": half},
        progress=lambda done, total, what="": seen.append((done, total)),
    )
    assert {r["inputs"] for r in records} == {"VIS+SED", "VIS"}
    assert seen[0] == (0, 8) and seen[-1] == (8, 8)


def test_without_images_or_labels(world):
    store, emb = world
    records = label_efficiency(replace(CFG, tasks=("photoz", "merger"), repeats=1), store, emb)
    assert {r["task"] for r in records} == {"photoz"}
    with pytest.raises(InputError, match="no labels for any"):
        label_efficiency(replace(CFG, tasks=("merger",)), store, emb)
    with pytest.raises(InputError, match="no images in J"):
        label_efficiency(replace(CFG, image_inputs=("J",)), store, emb)
    with pytest.raises(InputError, match="no method 'magic'"):
        label_efficiency(replace(CFG, methods=("magic",)), store, emb)


def test_names_of_image_sets():
    assert image_inputs(("VIS", "Y", "J", "H")) == "VIS+NISP"
    assert image_inputs(("VIS",)) == "VIS"
    assert image_inputs(("VIS", "H")) == "VIS+H"
    for bands in (("VIS", "Y", "J", "H"), ("VIS",), ("VIS", "H")):
        assert image_bands(image_inputs(bands)) == bands


def test_image_sets_and_fewer_repeats_of_networks(world):
    store, emb = world
    cfg = replace(
        CFG,
        repeats=3,
        fractions=(0.5, 1.0),
        methods=("pixels-pca", "cnn@VIS+H", "resnet@VIS", "colours-ridge"),
        image_inputs=("VIS", "VIS+H"),
        slow_repeats=((0.4, 2), (0.9, 1)),
        cnn=CNNConfig(epochs=1, minimum_steps=2),
        resnet=ResNetConfig(epochs=1, minimum_steps=2),
    )
    cells = {(r["method"], r["inputs"], r["fraction"], r["seed"]) for r in label_efficiency(cfg, store, emb)}
    count = {(m, i, f): 0 for m, i, f, _ in cells}
    for m, i, f, _ in cells:
        count[m, i, f] += 1
    slow = [("pixels-pca", "VIS"), ("pixels-pca", "VIS+H"), ("cnn", "VIS+H"), ("resnet", "VIS")]
    fewer = {(*who, f): n for who in slow for f, n in ((0.5, 2), (1.0, 1))}
    assert count == fewer | {("colours-ridge", "SED", f): 3 for f in (0.5, 1.0)}
