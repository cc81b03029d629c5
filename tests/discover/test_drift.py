"""Indices and ratings that are of other galaxies than the table beside them."""

import numpy as np
import pytest

from euclidfm.core.errors import InputError
from euclidfm.discover import ApproximateConfig, build_approximate, read_ratings, update_approximate
from euclidfm.embeddings.table import EmbeddingTable

pytest.importorskip("faiss")


def table(ids):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 8)).astype("f4")[np.asarray(ids)]
    n = len(ids)
    return EmbeddingTable(
        object_id=np.asarray(ids, np.int64),
        ra=np.linspace(10, 20, n),
        dec=np.zeros(n),
        split=np.array(["train"] * n, object),
        vectors=vectors,
        by_modality={"SED": vectors},
        info={"model": "m", "modalities": ["SED"]},
    )


def test_an_index_knows_what_it_lacks(tmp_path):
    index = build_approximate(table(range(40)), tmp_path / "i", ApproximateConfig(checks=20))
    assert index.drift(np.arange(40)) == ""
    assert "lacks 20 of the 60 galaxies" in index.drift(np.arange(60))
    assert "holds 10 that the table lacks" in index.drift(np.arange(30))


def test_appending_never_drops_what_it_was_not_given(tmp_path):
    build_approximate(table(range(40)), tmp_path / "i", ApproximateConfig(checks=20))
    for ids in (range(40, 60), range(1, 50)):
        with pytest.raises(InputError, match=r"galaxies that the table lacks; give the table of all"):
            update_approximate(table(ids), tmp_path / "i")
    assert len(update_approximate(table(range(60)), tmp_path / "i")) == 60
    assert len(update_approximate(table(range(1, 60)), tmp_path / "i", drop=True)) == 59


BIG = -570040238507752998


@pytest.mark.parametrize(
    "raw",
    [
        f"object_id,rating\n{BIG},5\n".encode(),
        b"\xef\xbb\xbf" + f"object_id,rating\n{BIG},5\n".encode(),
        f"object_id,rating,rater\n{BIG},5,M\u00fcller\n".encode("latin-1"),
        f"OBJECT_ID, Rating\r\n {BIG} , 5\r\n\r\n".encode(),
    ],
)
def test_ratings_of_other_programs_are_read(tmp_path, raw):
    (tmp_path / "r.csv").write_bytes(raw)
    assert read_ratings(tmp_path / "r.csv") == {BIG: 5.0}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no columns object_id and rating"),
        ("id,stars\n1,5\n", "its first line is id, stars"),
        ("object_id,rating\n-5.7e17,5\n", "line 2 needs an object_id"),
        ("object_id,rating\n1,5\n1_2,5\n", "line 3 needs an object_id"),
        ("object_id,rating\n1,9\n", "line 2"),
        ("object_id,rating\n1\n", "line 2"),
    ],
)
def test_ratings_that_are_none_are_a_sentence(tmp_path, text, told):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(InputError, match=told):
        read_ratings(tmp_path / "r.csv")
