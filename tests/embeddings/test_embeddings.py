"""The embedding catalogue: identity survives, labels join by id, other programs read it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from astropy.table import Table

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.embeddings import EmbeddingTable, embed
from euclidfm.model import FoundationModel, ModelConfig, device
from euclidfm.model.device import choose_precision
from euclidfm.model.scaling import fit_scaling
from euclidfm.model.tokenizer import tokenize


@pytest.fixture
def table() -> EmbeddingTable:
    rng = np.random.default_rng(0)
    apart = {
        "VIS": rng.normal(size=(5, 3)).astype(np.float32),
        "SED": rng.normal(size=(5, 3)).astype(np.float32),
    }
    apart["VIS"][2] = np.nan
    ids = np.array([-570040238507752998, 5, 2**62 + 1, 7, -1])
    return EmbeddingTable(
        object_id=ids,
        ra=rng.uniform(0, 360, 5),
        dec=rng.uniform(-90, 90, 5),
        split=np.array(["train", "test", "test", "train", "validation"]),
        vectors=np.concatenate(list(apart.values()), axis=1),
        by_modality=apart,
        info={"model": "abc", "layer": 2},
    )


def test_file_round_trip(table, tmp_path):
    table.write(tmp_path / "e.parquet")
    back = EmbeddingTable.read(tmp_path / "e.parquet")
    assert (back.object_id == table.object_id).all() and back.object_id.dtype == np.int64
    np.testing.assert_array_equal(back.vectors, table.vectors)
    np.testing.assert_array_equal(back.by_modality["VIS"], table.by_modality["VIS"])
    assert back.info == table.info and list(back.split) == list(table.split)
    plain = pq.read_table(tmp_path / "e.parquet")
    assert plain.column_names == ["object_id", "ra", "dec", "split", "vector", "vector_VIS", "vector_SED"]
    assert table.to_astropy()["object_id"][2] == 2**62 + 1


@pytest.mark.parametrize("kind", [dict, Table, pa.table])
def test_labels_join_by_id(table, kind):
    labels = kind({"object_id": np.array([7, 2**62 + 1, 99]), "z_spec": np.array([0.7, 0.3, 9.0])})
    np.testing.assert_array_equal(table.column_of(labels, "z_spec"), [np.nan, np.nan, 0.3, 0.7, np.nan])


def test_labels_that_can_not_be_joined(table):
    with pytest.raises(InputError, match="object_id 7 stands more than once"):
        table.column_of({"object_id": np.array([7, 7]), "z": np.array([1.0, 2.0])}, "z")
    with pytest.raises(InputError, match="no column 'z'; it has object_id"):
        table.column_of({"object_id": np.array([7])}, "z")


def test_files_that_are_no_catalogue(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        EmbeddingTable.read(tmp_path / "x.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "y.parquet")
    with pytest.raises(InputError, match="no column 'vector'"):
        EmbeddingTable.read(tmp_path / "y.parquet")


@pytest.fixture
def model(sed_store) -> FoundationModel:
    torch.manual_seed(0)
    config = fit_scaling(ModelConfig(width=16, depth=2, heads=2), sed_store, sed_store.rows())
    return FoundationModel(config).eval()


def test_embedding_a_store(model, sed_store):
    emb = embed(model, sed_store, split="test", batch=7)
    rows = sed_store.rows("test")
    assert (emb.object_id == sed_store.column("object_id")[rows]).all()
    np.testing.assert_allclose(emb.vectors, embed(model, sed_store).vectors[rows], atol=1e-5)
    assert emb.info["model"] == model.identity() and emb.info["layer"] == 2


def test_what_can_not_be_embedded(model, store):
    with pytest.raises(InputError, match="no modality 'VIS'; it has SED"):
        embed(model, store, modalities=["VIS"])


def test_embedding_in_bf16_stays_close_and_says_so(model, sed_store):
    plain, low = (embed(model, sed_store, precision=p) for p in ("fp32", "bf16"))
    assert (plain.info["precision"], low.info["precision"]) == ("float32", "bfloat16")
    assert low.vectors.dtype == plain.vectors.dtype == np.float32
    off = np.linalg.norm(low.vectors - plain.vectors, axis=1) / np.linalg.norm(plain.vectors, axis=1)
    assert 0 < off.max() < 0.02
    with pytest.raises(InputError, match=r"differ in precision \(float32 and bfloat16\)"):
        plain.updated(low)


def test_tokens_are_read_in_float32(model, sed_store):
    """Values in bf16 would lose the colours that tell redshifts (docs/benchmarks.md)."""
    galaxies = next(iter(sed_store.batches(sed_store.rows()[:8], 8, ())))
    tokens = tokenize(model.config, galaxies, sed_store.info.wavelengths_nm)
    exact = model.prepare(tokens).x
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model.prepare(tokens).x
    # positional encodings are the same for all galaxies: only the encoded tokens are left in a difference
    torch.testing.assert_close(low - low[:1], exact - exact[:1], rtol=0, atol=1e-5)


def test_choosing_the_number_format(monkeypatch):
    cpu = torch.device("cpu")
    assert choose_precision("fp32", cpu) == torch.float32
    assert choose_precision("bf16", cpu) == torch.bfloat16
    for flags, wanted in (({"avx2"}, torch.float32), ({"avx2", "avx512_bf16"}, torch.bfloat16)):
        monkeypatch.setattr(device, "cpu_flags", lambda flags=flags: flags)
        assert choose_precision("auto", cpu) == wanted


@pytest.mark.slow  # compiles
@pytest.mark.filterwarnings("default")
def test_compiled_embeddings_are_the_same(model, sed_store, tmp_path):
    model.save(tmp_path / "run")
    found = {}
    for name, more in (("plain", []), ("fast", ["--compile", "true"])):
        out = tmp_path / f"{name}.parquet"
        assert main(["embed", str(tmp_path / "run"), str(sed_store.path), "--out", str(out), *more]) == 0
        found[name] = EmbeddingTable.read(out)
    np.testing.assert_allclose(found["fast"].vectors, found["plain"].vectors, atol=1e-5)
