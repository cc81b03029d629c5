"""Discovery from the command line: a cutout as an example, selections, an index, surprise, ratings."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from euclidfm.cli import main
from euclidfm.core.bands import BANDS
from euclidfm.core.units import ujy_per_count
from euclidfm.discover import ApproximateIndex, SimilarityIndex, add_rating
from euclidfm.embeddings import EmbeddingTable
from euclidfm.store import GalaxyStore
from samples import blobs, tiny_run, write_store

TINY = [*tiny_run(vis_patch=4), "--model.objective=likelihood"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a store, a run and embeddings."""
    folder = tmp_path_factory.mktemp("made")
    write_store(folder / "store", blobs(200))
    assert main(["pretrain", str(folder / "store"), "--out", str(folder / "run"), *TINY]) == 0
    argv = ["embed", str(folder / "run"), str(folder / "store"), "--out", str(folder / "emb.parquet")]
    assert main([*argv, "--columns", "[z_spec]"]) == 0
    return folder


def write_cutout(path: Path, image: np.ndarray, noise: float) -> None:
    """One band of a cutout file in counts, with its RMS."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [60.0, -49.0], [(s + 1) / 2 for s in image.shape]
    wcs.wcs.cdelt, wcs.wcs.cunit = [-0.1 / 3600, 0.1 / 3600], ["deg", "deg"]
    header = wcs.to_header()
    header["MAGZERO"] = BANDS["VIS"].magzero
    scale = np.float32(ujy_per_count(BANDS["VIS"].magzero))
    hdus = [fits.PrimaryHDU()]
    for name, data in (("VIS_BGSUB", image), ("VIS_RMS", np.full_like(image, noise))):
        hdus.append(fits.ImageHDU((data / scale).astype(np.float32), header, name=name))
    fits.HDUList(hdus).writeto(path)


def test_search_by_an_image_finds_its_galaxy(made, tmp_path, capsys):
    store = GalaxyStore.open(made / "store")
    galaxies = store.read(np.array([7]))
    write_cutout(tmp_path / "cut.fits", galaxies.images["VIS"][0], 0.003)
    argv = ["search", str(made / "emb.parquet"), "--image", str(tmp_path / "cut.fits"), "--space", "VIS"]
    assert main([*argv, "--run", str(made / "run"), "--k", "3", "--out", str(tmp_path / "n.csv")]) == 0
    found = Table.read(tmp_path / "n.csv")
    assert found["object_id"][0] == galaxies.object_id[0] and found["similarity"][0] > 0.97
    assert main(argv) == 2
    assert "--image needs --run" in capsys.readouterr().err


def test_search_within_a_selection_and_through_an_index(made, tmp_path, capsys):
    emb = EmbeddingTable.read(made / "emb.parquet")
    assert emb.columns["release"][0] == "test" and np.isfinite(emb.columns["z_spec"]).all()
    example, out = int(emb.object_id[3]), tmp_path / "n.parquet"
    argv = ["search", str(made / "emb.parquet"), "--like", f"[{example}]", "--k", "20", "--out", str(out)]
    where = ["--where", "z_spec > 0.8", "--store", str(made / "store")]
    assert main([*argv, *where]) == 0
    exact = pq.read_table(out)
    z = dict(zip(emb.object_id.tolist(), emb.columns["z_spec"].tolist(), strict=True))
    assert all(z[i] > 0.8 for i in exact["object_id"].to_pylist()) and exact.num_rows == 20
    assert main(["index", str(made / "emb.parquet"), "--out", str(tmp_path / "index")]) == 0
    assert "recall@10" in capsys.readouterr().out
    assert main([*argv, *where, "--index", str(tmp_path / "index")]) == 0
    again = pq.read_table(out)
    assert len(set(again["object_id"].to_pylist()) & set(exact["object_id"].to_pylist())) >= 19
    np.testing.assert_allclose(again["similarity"], np.sort(again["similarity"])[::-1])
    assert main([*argv, "--index", str(tmp_path / "index"), "--space", "VIS"]) == 2
    assert "index is of space 'joint'" in capsys.readouterr().err
    assert main([*argv, "--where", "no_such > 1", "--store", str(made / "store")]) == 2
    assert "no column 'no_such'" in capsys.readouterr().err


def test_embeddings_and_index_are_brought_up_to_date(made, tmp_path, capsys):
    more = blobs(260, seed=0)
    more.object_id[:] = np.arange(260) - 570040238507752998
    changed = blobs(260, seed=5)
    for b in more.images:
        more.images[b][:10] = changed.images[b][:10]  # ten galaxies were observed again, sixty are new
    write_store(tmp_path / "newer", more.take(np.r_[0:10, 200:260]))
    emb_file, index = tmp_path / "emb.parquet", tmp_path / "index"
    emb_file.write_bytes((made / "emb.parquet").read_bytes())
    assert main(["index", str(emb_file), "--out", str(index)]) == 0
    argv = ["embed", str(made / "run"), str(tmp_path / "newer"), "--out", str(emb_file), "--append", "true"]
    assert main([*argv, "--columns", "[z_spec]"]) == 0
    before, after = EmbeddingTable.read(made / "emb.parquet"), EmbeddingTable.read(emb_file)
    assert len(after) == 260 and after.object_id[:200].tolist() == before.object_id.tolist()
    same = (after.vectors[:200] == before.vectors).all(axis=1)
    assert not same[:10].any() and same[10:].all()
    assert main(["index", str(emb_file), "--out", str(index), "--append", "true"]) == 0
    opened = ApproximateIndex.open(index)
    assert len(opened) == 260 and opened.info["replaced"] == 10 and opened.info["recall@10"] > 0.9
    ids, similarity = opened.search(after.vectors[:260], k=1)
    assert (ids[:, 0] == after.object_id).all() and (similarity > 0.8).all()
    finder = SimilarityIndex(after, approximate=opened)
    assert finder.search(object_id=int(after.object_id[0]), k=300).num_rows == 259
    capsys.readouterr()
    assert main(argv) == 2  # other columns than the catalogue has
    assert "do not have the same columns" in capsys.readouterr().err


def test_outliers_with_surprise_a_sheet_and_ratings(made, tmp_path):
    argv = ["outliers", str(made / "emb.parquet"), "--store", str(made / "store"), "--run", str(made / "run")]
    argv += ["--out", str(tmp_path / "odd.parquet"), "--sheet", str(tmp_path / "odd.png"), "--top", "4"]
    assert main(argv) == 0
    scores = pq.read_table(tmp_path / "odd.parquet")
    assert {"surprise", "surprise_VIS", "surprise_SED", "lof"} <= set(scores.column_names)
    assert (tmp_path / "odd.png").stat().st_size > 10_000
    last = scores["object_id"][int(np.argmax(scores["rank"].to_numpy()))].as_py()
    add_rating(tmp_path / "ratings.csv", last, 5)
    assert main([*argv, "--ratings", str(tmp_path / "ratings.csv")]) == 0
    rated = pq.read_table(tmp_path / "odd.parquet")
    row = rated["object_id"].to_pylist().index(last)
    assert rated["rating"][row].as_py() == 5 and rated["rank"][row].as_py() < 200
