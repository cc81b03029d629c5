"""Artefacts told from galaxies, ratings that bend the ranking, the index for large catalogues."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from euclidfm.core.errors import InputError
from euclidfm.discover import (
    ApproximateConfig,
    ApproximateIndex,
    SimilarityIndex,
    add_rating,
    artefact_score,
    build_approximate,
    image_quality,
    outlier_scores,
    read_ratings,
    rerank,
    screened,
    simulate_user,
    store_quality,
)
from euclidfm.discover.quality import QUALITY
from euclidfm.embeddings import EmbeddingTable
from euclidfm.store import GalaxyStore


def two_rare_groups(n: int = 1500, width: int = 16, seed: int = 0):
    """A smooth crowd, and two small distant groups: one of rarities, one of artefacts."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(0, 1, (n, width))
    kind = np.full(n, "galaxy", dtype=object)
    kind[:30], kind[30:60] = "rare", "artefact"
    far = rng.normal(0, 1, (2, width))
    far = 6.0 * far / np.linalg.norm(far, axis=1, keepdims=True)
    vectors[:30] = far[0] + 0.8 * rng.normal(0, 1, (30, width))
    vectors[30:60] = far[1] + 0.8 * rng.normal(0, 1, (30, width))
    order = rng.permutation(n)
    emb = EmbeddingTable(
        object_id=np.arange(n) - 10**17,
        ra=rng.uniform(0, 1, n),
        dec=rng.uniform(0, 1, n),
        split=np.full(n, "test"),
        vectors=vectors[order].astype(np.float32),
    )
    return emb, kind[order]


def test_artefacts_are_moved_behind():
    emb, kind = two_rare_groups()
    known = (kind == "artefact").astype(float)
    known[::2] = np.nan  # half of the sky is not labelled
    artefact = artefact_score(emb, known)
    assert np.isfinite(artefact).all()
    truth = kind == "artefact"
    assert np.median(artefact[truth]) > 0.8 and (artefact[~truth] > 0.5).mean() < 0.01
    artefact = truth.astype(float)
    scores = outlier_scores(emb)
    table = screened(scores, artefact)
    first = np.argsort(table["rank"].to_numpy())
    assert not truth[first[:1000]].any() and truth[first[-30:]].all()
    rest = first[:-30]  # the order of the others is kept
    assert (np.diff(scores["score"].to_numpy()[rest]) <= 0).all()
    with pytest.raises(InputError, match="two known examples"):
        artefact_score(emb, np.zeros(len(emb)))


def test_image_quality_tells_a_cosmic_ray_from_a_galaxy(store, sed_store):
    galaxies = store.read(np.arange(8))
    rng = np.random.default_rng(0)
    for b in galaxies.images:
        galaxies.images[b][0] = rng.normal(0, 0.003, (16, 16))
    galaxies.images["VIS"][0, 8, 5:11] += 3.0  # a streak in VIS only
    galaxies.masks["H"][1, :8] = True
    galaxies.masks["VIS"][2] = True
    numbers = dict(zip(QUALITY, image_quality(galaxies).T, strict=True))
    others = [3, 4, 5, 6, 7]
    assert numbers["elongation"][0] > 0.8 > 0.4 > np.nanmax(numbers["elongation"][others])
    assert numbers["vis_only"][0] > 1.0 > numbers["vis_only"][others].max()
    assert numbers["masked"][1] == pytest.approx(0.125)
    assert np.isnan(numbers["sharpness"][2]) and np.isfinite(numbers["masked"][2])
    rows = np.array([5, 0, 390, 17])
    by_store = store_quality(store, rows)
    np.testing.assert_array_equal(by_store, image_quality(store.read(rows)))
    assert np.isnan(store_quality(sed_store)).all()
    assert isinstance(store, GalaxyStore)


def test_quality_alone_can_screen(store):
    galaxies = store.read()
    bad = np.arange(len(galaxies)) % 9 == 0
    for b in ("Y", "J", "H"):
        galaxies.images[b][bad] = 0.0
    n = len(galaxies)
    emb = EmbeddingTable(
        galaxies.object_id, galaxies.ra, galaxies.dec, galaxies.split, np.full((n, 4), np.nan, np.float32)
    )
    artefact = artefact_score(emb, bad, quality=image_quality(galaxies))
    assert artefact[bad].mean() > 0.8 > 0.2 > artefact[~bad].mean()


def test_ratings_are_kept_as_csv(tmp_path):
    path = tmp_path / "ratings.csv"
    assert read_ratings(path) == {}
    add_rating(path, -(10**17) - 3, 5, rater='A "B", C')
    add_rating(path, 7, 1.5)
    add_rating(path, 7, 4)
    assert read_ratings(path) == {-(10**17) - 3: 5.0, 7: 4.0}
    with path.open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert [r["rating"] for r in rows] == ["5", "1.5", "4"] and rows[0]["rater"] == "A 'B', C"
    with pytest.raises(InputError, match="from 0 to 5"):
        add_rating(path, 7, 6)
    path.write_text("object_id,rating\n5,none\n")
    with pytest.raises(InputError, match="line 2"):
        read_ratings(path)


def test_a_rating_bends_the_ranking_nearby_and_not_far_away():
    emb, kind = two_rare_groups()
    scores = outlier_scores(emb)
    same = rerank(emb, scores, {})
    np.testing.assert_array_equal(same["rank"], scores["rank"])
    rare, bad = np.flatnonzero(kind == "rare"), np.flatnonzero(kind == "artefact")
    ratings = {int(emb.object_id[rare[0]]): 5.0, int(emb.object_id[bad[0]]): 0.0, 42: 5.0}
    table = rerank(emb, scores, ratings)
    before, after = scores["rank"].to_numpy(), table["rank"].to_numpy()
    assert np.median(after[rare]) <= np.median(before[rare])
    assert np.median(after[bad]) > np.median(before[bad])
    assert np.isfinite(table["rating"].to_numpy()).sum() == 2
    crowd = kind == "galaxy"
    assert np.corrcoef(before[crowd], after[crowd])[0, 1] > 0.9
    with pytest.raises(InputError, match="not of these embeddings"):
        rerank(emb.take(np.arange(10)), scores, ratings)


def test_a_user_finds_more_with_ratings():
    emb, kind = two_rare_groups()
    found = simulate_user(emb, outlier_scores(emb), kind == "rare", looks=60, batch=5)
    assert found["active"][-1] >= 25 > 2 * found["unrated"][-1]
    assert found["active"][-1] > 10 * found["random"][-1]
    again = simulate_user(emb, outlier_scores(emb), kind == "rare", looks=60, batch=5)
    np.testing.assert_array_equal(found["active"], again["active"])


def test_the_approximate_index_reports_its_recall(tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    emb, _ = two_rare_groups(4000)
    vectors = emb.vectors.copy()
    vectors[11] = np.nan
    emb = replace(emb, vectors=vectors)
    index = build_approximate(emb, tmp_path / "index", ApproximateConfig(checks=100))
    assert len(index) == 3999 and index.info["recall@10"] >= 0.95
    exact = SimilarityIndex(emb)
    ids, similarity = index.search(emb.vectors[[5, 600]], k=11)
    for i, row in enumerate((5, 600)):
        assert ids[i, 0] == emb.object_id[row]
        true = set(exact.search(object_id=emb.object_id[row], k=10)["object_id"].to_pylist())
        assert len(true & set(ids[i].tolist())) >= 8
    assert (np.diff(similarity, axis=1) <= 0).all()
    where = np.arange(3999) % 2 == 0
    for largest in (50_000, 0):  # an exact search of the selection, and a search through the graph
        monkeypatch.setattr("euclidfm.discover.index.EXACT_UP_TO", largest)
        ids, _ = index.search(emb.vectors[:3], k=5, where=where)
        assert np.isin(ids, np.asarray(index.ids)[where]).all()
    ids, similarity = index.search(emb.vectors[:3], k=5, where=np.arange(3999) < 2)
    assert (ids[:, 2:] == 0).all() and np.isneginf(similarity[:, 2:]).all()
    again = ApproximateIndex.open(tmp_path / "index")
    assert again.info == index.info
    with pytest.raises(InputError, match="exists"):
        build_approximate(emb, tmp_path / "index")
    with pytest.raises(InputError, match="not a similarity index"):
        ApproximateIndex.open(tmp_path)
