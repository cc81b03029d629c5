"""Discovery: search, outliers, their evaluation and the map, on made-up embeddings."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from euclidfm.core.errors import InputError
from euclidfm.discover import (
    SimilarityIndex,
    conditional_outlier_score,
    outlier_recall,
    outlier_scores,
    project_map,
    project_pca,
    similarity_purity,
)
from euclidfm.embeddings import EmbeddingTable


def clusters(n: int = 300, kinds: int = 3, width: int = 16, seed: int = 0, spread: float = 0.3):
    """Embeddings in clusters; the number of the cluster is the kind."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, kinds, n)
    vectors = rng.normal(0, 1, (kinds, width))[kind] + rng.normal(0, spread, (n, width))
    shape = rng.normal(0, 1, (n, 4)).astype(np.float32)
    shape[::10] = np.nan
    emb = EmbeddingTable(
        object_id=np.arange(n) - 10**17,
        ra=rng.uniform(60, 61, n),
        dec=rng.uniform(-50, -49, n),
        split=np.full(n, "test"),
        vectors=vectors.astype(np.float32),
        by_modality={"VIS": shape},
    )
    return emb, np.array([f"kind{i}" for i in kind])


def test_exact_search_agrees_with_faiss():
    pytest.importorskip("faiss")
    emb, kind = clusters()
    ours, faiss = SimilarityIndex(emb, engine="numpy"), SimilarityIndex(emb, engine="faiss")
    for where in (None, kind == "kind1"):
        for i in (0, 7, 150):
            a = ours.search(object_id=emb.object_id[i], k=12, where=where)
            b = faiss.search(object_id=emb.object_id[i], k=12, where=where)
            assert a["object_id"].equals(b["object_id"])
            np.testing.assert_allclose(a["similarity"], b["similarity"], atol=1e-5)


def test_search_finds_the_same_kind_and_leaves_the_query_out():
    emb, kind = clusters()
    table = SimilarityIndex(emb).search(object_id=emb.object_id[5], k=20)
    rows = table["row"].to_numpy()
    assert table.column_names == ["rank", "object_id", "ra", "dec", "similarity", "row"]
    assert 5 not in rows and len(rows) == 20
    assert (kind[rows] == kind[5]).all()
    assert (np.diff(table["similarity"].to_numpy()) <= 0).all()
    assert (emb.object_id[rows] == table["object_id"].to_numpy()).all()
    assert json.loads(table.schema.metadata[b"euclidfm"])["positives"] == [int(emb.object_id[5])]


def test_search_matches_hand_computed_cosines():
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0], [0, -1], [-0.9, -0.1]], np.float32)  # mean 0
    emb, _ = clusters(6, width=2)
    emb = replace(emb, vectors=vectors, by_modality={})
    table = SimilarityIndex(emb, scaling="centre").search(object_id=emb.object_id[0], k=5)
    assert table["row"].to_pylist() == [1, 2, 4, 5, 3]  # the tie of rows 2 and 4 in order of row
    np.testing.assert_allclose(table["similarity"], [0.9 / np.hypot(0.9, 0.1), 0, 0, -0.99388, -1], atol=1e-5)


def test_positives_and_negatives_move_the_results():
    emb, kind = clusters(spread=0.8)
    index = SimilarityIndex(emb)
    first, second = np.flatnonzero(kind == "kind0")[:3], np.flatnonzero(kind == "kind1")[:3]
    both = [*emb.object_id[first], *emb.object_id[second]]
    mixed = index.search(positives=both, k=40)["row"].to_numpy()
    only = index.search(positives=both, negatives=emb.object_id[second], negative_weight=1.0, k=40)
    share_mixed, share_only = (
        (kind[mixed] == "kind0").mean(),
        (kind[only["row"].to_numpy()] == "kind0").mean(),
    )
    assert 0.2 < share_mixed < 0.8
    assert share_only > share_mixed + 0.15
    assert not set(both) & set(only["object_id"].to_pylist())


def test_search_by_position_by_vector_and_within_a_mask():
    emb, kind = clusters()
    index = SimilarityIndex(emb)
    by_id = index.search(object_id=emb.object_id[42])
    by_position = index.search(ra=emb.ra[42] + 1 / 3600, dec=emb.dec[42])
    assert by_position["row"].equals(by_id["row"])
    assert index.search(vector=emb.vectors[42], k=1)["row"].to_pylist() == [42]
    where = (emb.dec > -49.5) & (kind != kind[42])
    rows = index.search(object_id=emb.object_id[42], where=where, k=1000)["row"].to_numpy()
    assert len(rows) == where.sum() and where[rows].all()
    assert len(index.search(object_id=emb.object_id[42], where=np.zeros(len(emb), bool))) == 0


def test_a_galaxy_without_a_modality_is_not_in_its_space():
    emb, _ = clusters()
    index = SimilarityIndex(emb, space="VIS")
    assert len(index) == 270
    rows = index.search(object_id=emb.object_id[1], k=500)["row"].to_numpy()
    assert len(rows) == 269 and (rows % 10 != 0).all()
    with pytest.raises(InputError, match="no embedding in space 'VIS'"):
        index.search(object_id=emb.object_id[0])


def test_bad_queries_say_what_is_wrong():
    emb, _ = clusters()
    index = SimilarityIndex(emb)
    for query, message in [
        ({}, "exactly one"),
        ({"object_id": emb.object_id[0], "vector": emb.vectors[0]}, "exactly one"),
        ({"object_id": 12}, "object 12 is not among"),
        ({"ra": 10.0}, "both ra and dec"),
        ({"ra": 10.0, "dec": 10.0}, "the nearest is"),
        ({"vector": [1.0, 2.0]}, "16 finite numbers"),
        ({"object_id": emb.object_id[0], "where": [True]}, "300 booleans"),
    ]:
        with pytest.raises(InputError, match=message):
            index.search(**query)
    with pytest.raises(InputError, match="have joint, VIS"):
        SimilarityIndex(emb, space="SED")


def test_purity_by_hand():
    # two tight groups of three on opposite sides, and one galaxy of kind "a" among the "b"
    vectors = np.array([[1, 0.1], [1, 0], [1, -0.1], [-1, 0.12], [-1, 0], [-1, -0.1], [-1, 0.05]], np.float32)
    emb, _ = clusters(7, width=2)
    emb = replace(emb, vectors=vectors, by_modality={})
    kind = np.array(["a", "a", "a", "b", "b", "b", "a"])
    index = SimilarityIndex(emb, scaling="centre")
    records = {(r["kind"], r["metric"]): r for r in similarity_purity(emb, kind, k=(2, 6), index=index)}
    assert records["a", "purity@2"]["value"] == pytest.approx((1 + 1 + 1 + 0) / 4)
    assert records["a", "purity@6"]["value"] == pytest.approx(0.5)  # all others: the base rate
    assert records["a", "purity@6"]["lift"] == pytest.approx(1.0)
    assert records["b", "purity@2"]["base_rate"] == pytest.approx(2 / 6)
    assert records["b", "purity@6"]["ceiling"] == pytest.approx(2 / 6)
    assert all(r["low"] <= r["value"] <= r["high"] for r in records.values())


def test_recall_by_hand():
    score = np.linspace(1, 0, 100)
    scores = pa.table({"object_id": np.arange(100), "score": score, "rank": np.arange(1, 101), "knn": -score})
    rare = np.zeros(100, bool)
    rare[[0, 3, 50, 99]] = True
    records = {(r["method"], r["metric"]): r for r in outlier_recall(scores, rare, top=0.05)}
    assert records["ensemble", "recall@0.05"]["value"] == pytest.approx(2 / 4)
    assert records["ensemble", "precision@0.05"]["value"] == pytest.approx(2 / 5)
    assert records["ensemble", "lift@0.05"]["value"] == pytest.approx((2 / 5) / 0.04)
    assert records["knn", "recall@0.05"]["value"] == pytest.approx(1 / 4)
    with pytest.raises(InputError, match="no galaxy of kind"):
        outlier_recall(scores, np.zeros(100, bool))


def test_outliers_are_found_and_reproducible():
    emb, _ = clusters(400)
    vectors = emb.vectors.copy()
    odd = np.array([3, 77, 200])
    vectors[odd] += np.random.default_rng(1).normal(0, 6, (3, 16))
    vectors[9] = np.nan
    emb = replace(emb, vectors=vectors)
    scores = outlier_scores(emb, seed=3)
    assert scores.column_names == ["object_id", "score", "rank", "isolation_forest", "lof", "knn"]
    first = np.argsort(-np.nan_to_num(scores["score"].to_numpy()))[:3]
    assert set(first) == set(odd)
    assert set(np.take(scores["rank"].to_pylist(), first)) == {1, 2, 3}
    assert np.isnan(scores["score"].to_numpy()[9]) and scores["rank"][9].as_py() is None
    finite = np.delete(scores["score"].to_numpy(), 9)
    assert finite.min() >= 0 and finite.max() <= 1
    again = outlier_scores(emb, seed=3)
    for name in ("score", "isolation_forest", "lof", "knn"):
        np.testing.assert_array_equal(again[name].to_numpy(), scores[name].to_numpy())
    surprise = np.zeros(400)
    surprise[50] = 1.0
    assert outlier_scores(emb, methods=(), extra={"surprise": surprise})["rank"][50].as_py() == 1
    with pytest.raises(InputError, match="unknown outlier method"):
        outlier_scores(emb, methods=("magic",))


def test_what_is_odd_for_its_like_goes_before_what_is_merely_far():
    rng = np.random.default_rng(0)
    main = rng.normal(0, 1, (2000, 5))
    width = np.exp(0.8 * main[:, :1])  # galaxies of one sort differ more from one another than of another
    alike = np.concatenate([main] * 4, axis=1) + rng.normal(0, 0.1, (2000, 20))  # most numbers tell the main
    vectors = np.concatenate([alike, width * rng.normal(0, 0.3, (2000, 11))], axis=1)
    odd = np.argsort(main[:, 0])[200:210]  # of the sort that hardly differs
    vectors[odd, 20:] += 1.0
    far = np.argsort(-main[:, 0])[:10]
    score = conditional_outlier_score(vectors)
    assert np.isin(odd, np.argsort(-score)[:40]).mean() > 0.8
    assert (score[far] < np.median(score[odd])).all()
    assert (conditional_outlier_score(vectors[:20]) == 0).all()


def test_the_space_shape_is_whitened_by_halves_and_judged_by_the_first():
    emb, _ = clusters(400, width=8)
    rng = np.random.default_rng(2)
    shape = np.concatenate([100 * emb.vectors, 0.01 * emb.vectors], axis=1)
    shape[:, 8:] += rng.normal(0, 0.001, shape[:, 8:].shape)
    emb = replace(emb, spaces={"shape": shape.astype(np.float32)})
    index = SimilarityIndex(emb, space="shape")
    spread = index.scaling(shape).std(axis=0)
    np.testing.assert_allclose(spread, 1.0, atol=0.02)  # the small half counts as much as the large one
    assert index.scaling.matrix.shape == (16, 16)
    few = SimilarityIndex(emb, space="shape", scaling="whiten", components=3)
    assert few.units.shape == (400, 6)
    bare = SimilarityIndex(emb, space="shape", scaling="none")
    np.testing.assert_array_equal(bare.scaling(shape), shape.astype(np.float32))
    names = outlier_scores(emb, space="shape").column_names
    assert "conditional" in names and "knn" not in names
    with pytest.raises(InputError, match="embed --symmetries 8"):
        SimilarityIndex(replace(emb, spaces={}), space="shape")
    with pytest.raises(InputError, match="components must be 0 or more"):
        SimilarityIndex(emb, components=-1)


def test_the_flat_map_leaves_out_what_has_no_embedding():
    emb, _ = clusters(60)
    emb.vectors[4] = np.nan
    flat = project_pca(emb)
    assert flat.shape == (60, 2) and np.isnan(flat[4]).all() and np.isfinite(np.delete(flat, 4, 0)).all()


@pytest.mark.slow  # umap-learn compiles for half a minute
def test_maps_are_reproducible():
    pytest.importorskip("umap")
    emb, kind = clusters(60)
    emb.vectors[4] = np.nan
    xy = project_map(emb, seed=1)
    assert np.isnan(xy[4]).all()
    np.testing.assert_array_equal(xy, project_map(emb, seed=1))
    centre = np.array([np.nanmean(xy[kind == k], axis=0) for k in np.unique(kind)])
    inside = [np.nanstd(xy[kind == k], axis=0).max() for k in np.unique(kind)]
    assert np.linalg.norm(centre[0] - centre[1]) > 2 * max(inside)
