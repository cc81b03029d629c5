"""One flipped bit in any file of a product is noticed when the product is read."""

import json
import shutil

import numpy as np
import pytest

from euclidfm import tasks
from euclidfm.cli import main
from euclidfm.core.checksums import check_card, check_files, with_checksums
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json, write_json
from euclidfm.discover.index import ApproximateIndex
from euclidfm.discover.index_build import build_approximate
from euclidfm.embeddings import EmbeddingTable
from euclidfm.model import FoundationModel
from euclidfm.pretrain import PretrainConfig, pretrain
from euclidfm.tasks.density.fit import fit_density
from euclidfm.tasks.density.mixture import MixtureConfig
from euclidfm.tasks.density.probe import load_density
from euclidfm.tasks.probe import load_probe
from samples import SMALL, blobs, write_store

READERS = {
    "run": FoundationModel.load,
    "probe": load_probe,
    "density": load_density,
    "index": ApproximateIndex.open,
    "embeddings": lambda folder: EmbeddingTable.read(folder / "embeddings.parquet"),
}


@pytest.fixture(scope="module")
def products(tmp_path_factory, world):
    """A folder of each kind of product."""
    out = tmp_path_factory.mktemp("products")
    write_store(out / "store", blobs(120))
    pretrain(
        PretrainConfig(model=SMALL, steps=2, batch=16, checkpoint_every=1), out / "store", out / "trained"
    )
    FoundationModel.load(out / "trained").save(out / "run", {"steps": 2})
    store, emb = world
    tasks.photoz.fit(emb, store.labels()).save(out / "probe")
    quick = MixtureConfig(ensemble=1, steps=20, epochs=2)
    fit_density(emb, store.labels(), config=quick).save(out / "density")
    pytest.importorskip("faiss")
    build_approximate(emb, out / "index")
    emb.write(out / "embeddings" / "embeddings.parquet")
    return out


def flip(path, at, bit=0):
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("kind", READERS)
def test_a_flipped_bit_anywhere_is_an_error(products, tmp_path, kind):
    READERS[kind](products / kind)  # as it was written, it is read
    rng = np.random.default_rng(0)
    for name in sorted(p.name for p in (products / kind).iterdir()):
        size = (products / kind / name).stat().st_size
        for at in (size // 2, size - 20, *rng.integers(size, size=4)):
            folder = tmp_path / "copy"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(products / kind, folder)
            flip(folder / name, int(at), int(rng.integers(8)))
            if name.endswith(".json") and same_meaning(folder / name, products / kind / name):
                continue  # white space
            try:
                found = READERS[kind](folder)
            except InputError as e:
                assert str(folder) in str(e) and "\n" not in str(e)
            else:
                # Parquet: bytes of the footer that hold no data, such as statistics, may change
                assert kind == "embeddings" and at > size - 20_000, f"{name} at {at} was not noticed"
                original = READERS[kind](products / kind)
                assert np.array_equal(found.vectors, original.vectors, equal_nan=True)


def same_meaning(one, other):
    try:
        return json.loads(one.read_text()) == json.loads(other.read_text())
    except ValueError:
        return False


def test_embed_with_a_damaged_model_ends_with_one_sentence(products, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(products / "run", folder)
    weights = folder / "model.safetensors"
    flip(weights, weights.stat().st_size - 100)
    argv = ["embed", str(folder), str(products / "store"), "--out", str(tmp_path / "e.parquet")]
    assert main(argv) == 2
    assert f"{weights} is damaged" in capsys.readouterr().err
    assert not (tmp_path / "e.parquet").exists()


def test_a_model_of_an_earlier_version_is_checked_by_its_identity(products, tmp_path):
    shutil.copytree(products / "run", tmp_path / "run")
    card = read_json(tmp_path / "run" / "model.json")
    del card["sha256"]
    write_json(tmp_path / "run" / "model.json", card)
    FoundationModel.load(tmp_path / "run")
    weights = tmp_path / "run" / "model.safetensors"
    flip(weights, weights.stat().st_size - 1)
    with pytest.raises(InputError, match="is damaged"):
        FoundationModel.load(tmp_path / "run")


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "meta.json"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(products, tmp_path, caplog, name):
    shutil.copytree(products / "trained", tmp_path / "run")
    (tmp_path / "run" / "model.json").unlink()  # as if the training had been stopped
    (tmp_path / "run" / "run.json").unlink()
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*"))
    file = newest / name
    flip(file, file.stat().st_size - (60 if name == "meta.json" else 1))
    config = PretrainConfig(model=SMALL, steps=2, batch=16, checkpoint_every=1)
    pretrain(config, products / "store", tmp_path / "run")
    assert f"{newest} is damaged" in caplog.text
    whole, again = (FoundationModel.load(p) for p in (products / "trained", tmp_path / "run"))
    assert whole.identity() == again.identity()


def test_a_large_file_is_compared_on_request_only(tmp_path):
    (tmp_path / "data").write_bytes(b"galaxies")
    card = with_checksums({"rows": 3, "limit": float("nan")}, {"data": tmp_path / "data"})
    write_json(tmp_path / "card.json", card)
    card = read_json(tmp_path / "card.json")
    check_card(tmp_path / "card.json", card, "make it again")
    check_files(tmp_path, card, "make it again")
    flip(tmp_path / "data", 3)
    check_files(tmp_path, card, "make it again", most=4)
    with pytest.raises(InputError, match=r"data is damaged or .*; make it again"):
        check_files(tmp_path, card, "make it again", most=8)
    with pytest.raises(InputError, match=r"card\.json is damaged"):
        check_card(tmp_path / "card.json", card | {"rows": 4}, "make it again")
    (tmp_path / "data").unlink()
    with pytest.raises(InputError, match="is missing"):
        check_files(tmp_path, card, "make it again", most=4)
