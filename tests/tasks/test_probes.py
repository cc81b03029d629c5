"""Probes: they learn, they keep, they never see the test labels, they refuse nonsense."""

import astropy.table
import numpy as np
import pyarrow as pa
import pytest

import euclidfm as ef
from euclidfm.core.errors import InputError
from euclidfm.tasks.heads.make import HEADS

REGRESSION = ("photoz", "mass")
CLASSES = ("morphology", "star")


def value(records, metric):
    return next(r["value"] for r in records if r["metric"] == metric)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", (*REGRESSION, *CLASSES))
def test_learns_saves_and_loads(world, tmp_path, name, head):
    store, emb = world
    task = ef.tasks.get(name)
    probe = task.fit(emb, store.index, head=head, seed=1)
    records = probe.evaluate(emb, store.index, resamples=50)
    if name in CLASSES:
        assert value(records, "auc") > 0.9
        assert 0 < value(records, "class_balance") < 1
    else:
        assert value(records, "r2") > (0.3 if head == "knn" else 0.6)
    probe.save(tmp_path / "p")
    back = ef.tasks.load_probe(tmp_path / "p")
    np.testing.assert_array_equal(back.predict_array(emb), probe.predict_array(emb))
    assert back.info == probe.info and back.classes == probe.classes
    assert sorted(p.name for p in (tmp_path / "p").iterdir()) == ["probe.json", "probe.safetensors"]


def test_records_are_long_form(world):
    store, emb = world
    probe = ef.tasks.photoz.fit(emb, store.index, seed=3)
    r = probe.evaluate(emb, store.index)[0]
    keys = "task method inputs fraction n_train n_test seed metric value low high"
    assert " ".join(r) == keys
    assert (r["task"], r["method"], r["inputs"], r["seed"]) == ("photoz", "probe", "VIS+SED", 3)
    assert r["low"] <= r["value"] <= r["high"]
    labelled = np.isfinite(store.column("z_spec"))
    assert r["n_train"] == (labelled & (emb.split == "train")).sum()
    assert r["n_test"] == (labelled & (emb.split == "test")).sum()


def test_predictions(world):
    store, emb = world
    z = ef.tasks.photoz.fit(emb, store.index).predict(emb)
    assert z.column_names == ["object_id", "z_phot"] and z.num_rows == len(emb)
    truth = store.column("z_spec")
    train = truth[(emb.split == "train") & np.isfinite(truth)]
    assert z["z_phot"].to_numpy().min() >= train.min() - 1e-9
    assert z["z_phot"].to_numpy().max() <= train.max() + 1e-9
    p = ef.tasks.morphology.fit(emb, store.index).predict(emb)
    assert p.column_names == ["object_id", "p_smooth", "p_featured", "class"]
    np.testing.assert_allclose(p["p_smooth"].to_numpy() + p["p_featured"].to_numpy(), 1)


def test_any_table_and_any_order_of_labels(world):
    store, emb = world
    columns = {"object_id": store.column("object_id"), "z_spec": store.column("z_spec")}
    order = np.random.default_rng(0).permutation(len(emb))
    shuffled = {k: v[order] for k, v in columns.items()}
    want = ef.tasks.photoz.fit(emb, columns).predict_array(emb)
    for table in (shuffled, pa.table(shuffled), astropy.table.Table(shuffled)):
        np.testing.assert_array_equal(ef.tasks.photoz.fit(emb, table).predict_array(emb), want)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ["photoz", "star"])
def test_test_labels_never_leak(world, name, head):
    store, emb = world
    task = ef.tasks.get(name)
    labels = {k: store.column(k).copy() for k in ("object_id", "z_spec", "kind")}
    before = task.fit(emb, labels, head=head).predict_array(emb)
    rng = np.random.default_rng(5)
    test = np.flatnonzero(emb.split == "test")
    for k in ("z_spec", "kind"):
        labels[k][test] = labels[k][rng.permutation(test)]
    np.testing.assert_array_equal(task.fit(emb, labels, head=head).predict_array(emb), before)


@pytest.mark.parametrize("head", HEADS)
def test_test_vectors_never_leak(world, head):
    store, emb = world
    test = emb.split == "test"
    other = emb.take(np.arange(len(emb)))
    other.vectors = other.vectors.copy()
    other.vectors[test] = 100.0
    a = ef.tasks.photoz.fit(emb, store.index, head=head).predict_array(emb.take(~test))
    b = ef.tasks.photoz.fit(other, store.index, head=head).predict_array(emb.take(~test))
    np.testing.assert_array_equal(a, b)


def test_seed_decides(world):
    store, emb = world
    a, b, c = (
        ef.tasks.photoz.fit(emb, store.index, head="mlp", seed=s).predict_array(emb) for s in (1, 1, 2)
    )
    assert (a == b).all() and (a != c).any()


def test_modalities_can_be_joined_and_missing(world):
    store, emb = world
    probe = ef.tasks.photoz.fit(emb, store.index, use=("VIS", "SED"))
    assert probe.info["inputs"] == "VIS+SED"
    assert np.isfinite(probe.predict_array(emb)).all()  # some have no VIS vector
    alone = ef.tasks.photoz.fit(emb, store.index, use=("VIS",))
    missing = np.isnan(emb.by_modality["VIS"]).all(axis=1)
    assert (np.isnan(alone.predict_array(emb)) == missing).all()
    assert alone.evaluate(emb, store.index)[0]["n_test"] < probe.evaluate(emb, store.index)[0]["n_test"]


def test_generic_tasks(world, tmp_path):
    store, emb = world
    probe = ef.tasks.get("classification:kind").fit(emb, store.index)
    assert probe.classes == ("galaxy", "star")
    assert "p_star" in probe.predict(emb).column_names
    probe.save(tmp_path)
    assert ef.tasks.load_probe(tmp_path).task.name == "classification:kind"
    three = {
        "object_id": emb.object_id,
        "third": np.digitize(np.nan_to_num(store.column("log_mass"), nan=9.5), [9, 10]),
    }
    records = ef.tasks.classification("third").fit(emb, three).evaluate(emb, three, resamples=20)
    assert {r["metric"] for r in records} == {"accuracy", "balanced_accuracy", "log_loss"}
    assert value(records, "balanced_accuracy") > 0.6
    mass = ef.tasks.regression("log_mass").fit(emb, store.index)
    assert mass.predict(emb).column_names == ["object_id", "log_mass_pred"]


def test_stars_learnt_from_spectra_are_judged_among_all(world):
    store, emb = world
    kind = store.column("kind")
    spectra = np.where(np.arange(len(emb)) % 2 == 0, (kind == "star").astype(float), np.nan)
    labels = {"object_id": emb.object_id, "is_star": spectra, "kind": kind}
    probe = ef.tasks.star.fit(emb, labels)
    assert probe.info["n_train"] == (np.isfinite(spectra) & (emb.split == "train")).sum()
    few, every = probe.evaluate(emb, labels), probe.evaluate(emb, labels, against="kind")
    assert every[0]["n_test"] == (emb.split == "test").sum() > few[0]["n_test"]
    assert value(every, "auc") > 0.9


def test_morphology_labels():
    ids = np.arange(6)
    labels = {
        "object_id": ids,
        "gz_smooth": np.array([0.8, 0.1, 0.45, 0.1, np.nan, 0.35]),
        "gz_featured": np.array([0.1, 0.8, 0.45, 0.2, np.nan, 0.55]),
    }
    # smooth, featured, undecided, artefact (0.7), not classified, featured with share 0.61
    got = ef.tasks.read_labels(ef.tasks.morphology, ids, labels)
    np.testing.assert_array_equal(got, [0, 1, np.nan, np.nan, np.nan, 1])
    labels["gz_edge_on"] = np.array([0.9, 0.9, 0.1, 0.9, 0.9, 0.3])
    got = ef.tasks.read_labels(ef.tasks.edge_on, ids, labels)
    np.testing.assert_array_equal(got, [0, 1, 0, np.nan, np.nan, 0])
    labels["gz_smooth"] = labels["gz_smooth"] * 100
    with pytest.raises(InputError, match="fraction"):
        ef.tasks.read_labels(ef.tasks.morphology, ids, labels)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d.pop("z_spec"), "needs the label column"),
        (lambda d: d["z_spec"].fill(np.nan), "no training galaxy has a label"),
        (lambda d: d["z_spec"].fill(0.5), "all equal to 0.5"),
        (lambda d: d["z_spec"].__setitem__(0, -99.0), "mark unknown values"),
        (lambda d: d["object_id"].__setitem__(slice(None), np.arange(len(d["object_id"]))), "object_id"),
        (lambda d: d["z_spec"].__setitem__(slice(3, None), np.nan), "labelled training galaxies"),
        (lambda d: d.__setitem__("z_spec", np.array(["high"] * len(d["z_spec"]))), "needs numbers"),
    ],
)
def test_bad_labels_are_explained(world, change, sentence):
    store, emb = world
    labels = {"object_id": store.column("object_id").copy(), "z_spec": store.column("z_spec").copy()}
    if sentence == "labelled training galaxies":
        labels["z_spec"] = np.where(emb.split == "train", np.linspace(0.1, 1, len(emb)), np.nan)
        keep = np.flatnonzero(emb.split == "train")[3:]
        labels["z_spec"][keep] = np.nan
    else:
        change(labels)
    with pytest.raises(InputError, match=sentence):
        ef.tasks.photoz.fit(emb, labels)


def test_other_mistakes_are_explained(world, tmp_path):
    store, emb = world
    with pytest.raises(InputError, match="no task 'redshift'"):
        ef.tasks.get("redshift")
    with pytest.raises(InputError, match="no head 'forest'"):
        ef.tasks.photoz.fit(emb, store.index, head="forest")
    with pytest.raises(InputError, match="no vectors 'NISP'"):
        ef.tasks.photoz.fit(emb, store.index, use=("NISP",))
    with pytest.raises(InputError, match="split 'train'"):
        ef.tasks.photoz.fit(emb.take(emb.split == "test"), store.index)
    with pytest.raises(InputError, match="all of class"):
        ef.tasks.star.fit(emb.take(store.column("kind") == "galaxy"), store.index)
    with pytest.raises(InputError, match="different labels"):
        ef.tasks.classification("log_mass").fit(emb, store.index)
    with pytest.raises(InputError, match="does not exist"):
        ef.tasks.load_probe(tmp_path)
    probe = ef.tasks.photoz.fit(emb, store.index)
    narrow = emb.take(np.arange(10))
    narrow.vectors = narrow.vectors[:, :3]
    with pytest.raises(InputError, match="same model"):
        probe.predict(narrow)
    with pytest.raises(InputError, match="nothing to evaluate"):
        probe.evaluate(emb.take(emb.split == "train"), store.index)
    probe.save(tmp_path / "p")
    (tmp_path / "p" / "probe.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="damaged"):
        ef.tasks.load_probe(tmp_path / "p")
