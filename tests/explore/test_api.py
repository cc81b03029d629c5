"""What the server answers."""

import csv
import io
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from starlette.testclient import TestClient

from euclidfm.core.errors import InputError
from euclidfm.discover import read_ratings
from euclidfm.embeddings import EmbeddingTable
from euclidfm.explore.app import create_app
from euclidfm.explore.run import RunData
from euclidfm.explore.table import ColumnSet, Source
from samples import blobs, write_store

BASE = "http://127.0.0.1:8765"
FIRST = -570040238507752998


@pytest.fixture
def client(run):
    return TestClient(create_app(run), base_url=BASE, headers={"origin": BASE})


def floats(answer):
    assert answer.status_code == 200
    return np.frombuffer(answer.content, "<f4")


def test_a_run_says_what_it_holds(client, run):
    said = client.get("/api/run").json()
    assert said["galaxies"] == 240
    assert said["spaces"] == ["joint", "VIS", "NISP", "SED", *run.emb.spaces]
    assert said["missing"] == []
    assert said["surprise"] == {"VIS": ["VIS"], "NISP": ["Y", "J", "H"]}
    names = {c["name"]: c for c in said["columns"]}
    assert {"ra", "dec", "split", "z_spec", "z_phot", "outlier_score", "flux_VIS", "map_x"} <= set(names)
    assert names["split"]["kind"] == "category"


def test_columns_travel_as_float32_in_the_order_of_the_map(client, run):
    points = floats(client.get("/api/plane/map")).reshape(2, -1)
    np.testing.assert_array_equal(points.T, run.map)
    z = floats(client.get("/api/column/z_spec"))
    np.testing.assert_allclose(z, run.emb.column_of(run.store.index, "z_spec"), rtol=1e-6)
    split = floats(client.get("/api/column/split")).astype(int)
    names = client.get("/api/categories/split").json()
    assert [names[i] for i in split] == list(run.emb.split)
    assert client.get("/api/column/nothing").status_code == 404
    assert client.get("/api/categories/z_spec").status_code == 404


def test_columns_with_any_name_are_answered(run_folder):
    run = RunData(run_folder, "pca")
    odd = pa.table({"object_id": run.ids, "S/N": np.arange(240.0), "a b?": ["x"] * 240})
    run.columns = ColumnSet([Source("odd", odd, np.arange(240), {})])
    client = TestClient(create_app(run), base_url=BASE)
    assert floats(client.get("/api/column/S%2FN")).tolist() == list(range(240))
    assert client.get("/api/categories/" + quote("a b?")).json() == ["x"]
    assert client.get("/api/column/S%2FM").status_code == 404


def test_exported_text_is_never_a_formula(run_folder):
    run = RunData(run_folder, "pca")
    evil = ["=cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "-2+3", "-1.5", "spiral"]
    text = pa.array((evil * 40)[:240])
    table = pa.table({"object_id": run.ids, "ra": run.ra, "dec": run.dec, "=1+1": text})
    run.columns = ColumnSet([Source("odd", table, np.arange(240), {})])
    client = TestClient(create_app(run), base_url=BASE, headers={"origin": BASE})
    answer = client.post("/api/export/csv", content=np.arange(6, dtype="<u4").tobytes())
    rows = list(csv.reader(io.StringIO(answer.text)))
    column = rows[0].index("'=1+1")
    assert [r[column] for r in rows[1:]] == [*(f"'{e}" for e in evil[:4]), "-1.5", "spiral"]


def test_a_galaxy_with_its_sed_and_density(client, run):
    said = client.get(f"/api/galaxy/{FIRST + 5}").json()
    assert said["id"] == str(FIRST + 5)
    assert [s["band"] for s in said["sed"]] == ["u", "g", "i", "z", "VIS", "Y", "J", "H"]  # no r
    assert said["pictures"] == ["colour", "VIS", "Y", "J", "H"]
    z, density = np.array(said["pz"]["z"]), np.array(said["pz"]["density"])
    assert abs(np.trapezoid(density, z) - 1) < 0.01
    assert client.get(f"/api/galaxy/{FIRST + 3}").json()["pictures"] == ["VIS", "J", "H"]
    assert client.get("/api/galaxy/12").status_code == 404


def test_pictures_follow_the_stretch(client):
    def picture(name, **how):
        answer = client.get(f"/api/galaxy/{FIRST}/picture/{name}.png", params=how)
        assert answer.headers["content-type"] == "image/png"
        return np.asarray(Image.open(io.BytesIO(answer.content))).astype(float)

    assert picture("VIS").shape == (16, 16, 3)
    assert picture("VIS", stretch=5).mean() > picture("VIS").mean() > picture("VIS", stretch=0.2).mean()
    assert (picture("colour", softening=10) != picture("colour")).any()
    assert client.get(f"/api/galaxy/{FIRST}/picture/K.png").status_code == 404
    assert client.get(f"/api/galaxy/{FIRST}/picture/VIS.png?stretch=nan").status_code == 422
    assert client.get(f"/api/galaxy/{FIRST + 3}/picture/colour.png").status_code == 404
    assert client.get(f"/api/galaxy/{FIRST + 3}/thumbnail.png").status_code == 200


def test_surprise_is_a_picture(client):
    for modality in ("VIS", "NISP"):
        answer = client.get(f"/api/galaxy/{FIRST}/surprise/{modality}.png")
        assert answer.status_code == 200, answer.text
        assert Image.open(io.BytesIO(answer.content)).size == (16, 16)
    assert client.get(f"/api/galaxy/{FIRST}/surprise/RADIO.png").status_code == 404


def test_neighbours_are_those_of_the_index(client, run):
    for space in ("joint", "SED"):
        found = client.get(f"/api/galaxy/{FIRST}/neighbours", params={"k": 5, "space": space}).json()
        expected = run.index(space).search(object_id=FIRST, k=5).column("object_id").to_pylist()
        assert [int(n["id"]) for n in found] == expected
    answer = client.get(f"/api/galaxy/{FIRST}/neighbours?space=radio")
    assert answer.status_code == 422
    assert "the spaces are" in answer.json()["detail"]


def test_search_by_id_and_position(client, run):
    assert client.get("/api/search", params={"q": str(FIRST + 7)}).json()["row"] == 7
    at = f"{run.ra[7] + 1e-4:.6f}, {run.dec[7]:.6f}"
    found = client.get("/api/search", params={"q": at}).json()
    assert found["row"] == 7
    assert 0.1 < found["separation"] < 0.5
    for wrong in ("12", "0 0", "M31", "1 2 3 4"):
        answer = client.get("/api/search", params={"q": wrong})
        assert answer.status_code == 422
        assert isinstance(answer.json()["detail"], str)


def test_ratings_rank_the_outliers_again(client, run):
    before = client.get("/api/outliers?top=240").json()
    assert [o["rank"] for o in before] == list(range(1, len(before) + 1))
    boring = before[0]["id"]
    assert client.post(f"/api/galaxy/{boring}/rating/boring").status_code == 200
    assert read_ratings(run.ratings_file) == {int(boring): 0.0}
    after = {o["id"]: o for o in client.get("/api/outliers?top=240").json()}
    assert after[boring]["rank"] > 1
    assert after[boring]["rating"] == 0.0
    assert client.post(f"/api/galaxy/{boring}/rating/lovely").status_code == 422


def test_exports_hold_the_selection(client, run):
    from astropy.table import Table

    rows = np.array([9, 2, 100], "<u4")
    for kind, form in (("csv", "ascii.csv"), ("fits", "fits"), ("votable", "votable")):
        answer = client.post(f"/api/export/{kind}", content=rows.tobytes())
        assert answer.status_code == 200
        table = Table.read(io.BytesIO(answer.content), format=form)
        assert list(table["object_id"]) == run.ids[rows].tolist()
        np.testing.assert_allclose(np.asarray(table["z_spec"]), run.columns.values("z_spec")[rows])
    for wrong in (b"", b"abc", np.array([240], "<u4").tobytes()):
        assert client.post("/api/export/csv", content=wrong).status_code == 422
    assert client.post("/api/export/pickle", content=rows.tobytes()).status_code == 404


def test_samp_brings_the_table_to_a_listener(client, run, tmp_path, monkeypatch):
    from astropy.table import Table

    from euclidfm.explore.export import samp_package

    SAMPHubServer, SAMPIntegratedClient, conf = (
        getattr(samp_package(), n) for n in ("SAMPHubServer", "SAMPIntegratedClient", "conf")
    )
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'samp').as_uri()}")
    conf.use_internet = False
    rows = np.array([4, 5], "<u4").tobytes()
    answer = client.post("/api/samp/topcat", content=rows)
    assert answer.status_code == 422
    assert "start TOPCAT" in answer.json()["detail"]
    hub = SAMPHubServer(web_profile=False, lockfile=str(tmp_path / "samp"), addr="127.0.0.1")
    hub.start()
    got = []
    listener = SAMPIntegratedClient(name="topcat", addr="127.0.0.1")
    try:
        listener.connect()
        listener.bind_receive_notification(
            "table.load.votable", lambda key, sender, kind, params, extra: got.append(params)
        )
        answer = client.post("/api/samp/topcat", content=rows)
        assert answer.json() == {"sent": ["topcat"]}
        for _ in range(100):
            if got:
                break
            __import__("time").sleep(0.05)
        table = Table.read(got[0]["url"].removeprefix("file://"), format="votable")
        assert list(table["object_id"]) == run.ids[4:6].tolist()
    finally:
        listener.disconnect()
        hub.stop()


def test_the_map_is_kept_and_made_again_for_other_embeddings(run_folder, run):
    kept = run_folder / "explore" / "map.parquet"
    time = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(RunData(run_folder, "pca").map, run.map)
    assert kept.stat().st_mtime_ns == time
    kept.write_bytes(b"damaged")
    np.testing.assert_array_equal(RunData(run_folder, "pca").map, run.map)


def test_a_run_without_products_shows_what_there_is(tmp_path):
    write_store(tmp_path / "store", blobs(20))
    run = RunData(tmp_path)
    client = TestClient(create_app(run), base_url=BASE)
    said = client.get("/api/run").json()
    assert {m["what"] for m in said["missing"]} == {
        "the map and neighbours",
        "outliers",
        "p(z)",
        "surprisal maps",
    }
    assert all(m["command"].startswith("euclidfm ") for m in said["missing"])
    assert client.get("/api/plane/map").status_code == 404
    assert len(floats(client.get("/api/plane/sky"))) == 40
    assert client.get(f"/api/galaxy/{FIRST}").json()["pz"] is None
    assert client.get(f"/api/galaxy/{FIRST}/neighbours").status_code == 422
    assert client.get("/api/outliers").json() == []


def test_embeddings_alone_are_enough(tmp_path, run_folder):
    EmbeddingTable.read(run_folder / "embeddings.parquet").write(tmp_path / "embeddings.parquet")
    client = TestClient(create_app(RunData(tmp_path, "pca")), base_url=BASE)
    assert client.get(f"/api/galaxy/{FIRST}").json()["pictures"] == []
    assert client.get(f"/api/galaxy/{FIRST}/thumbnail.png").status_code == 200
    assert len(client.get(f"/api/galaxy/{FIRST}/neighbours").json()) == 12


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="euclidfm demo"):
        RunData(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        RunData(tmp_path / "nothing")


def test_columns_with_gaps_and_odd_types():
    table = pa.table(
        {
            "object_id": [1, 2, 3],
            "flag": pa.array([True, None, False]),
            "count": pa.array([7, None, 9]),
            "name": pa.array(["a", None, "b"]),
            "when": pa.array([0, 1, 2], pa.timestamp("s")),
            "vector": pa.array([[1.0], [2.0], [3.0]]),
        }
    )
    columns = ColumnSet([Source("table", table, np.array([2, -1, 1, 0]), {})])
    assert columns.names == ("flag", "count", "name")
    np.testing.assert_array_equal(columns.numbers("flag"), np.array([0, np.nan, np.nan, 1], np.float32))
    np.testing.assert_array_equal(columns.numbers("count"), np.array([9, np.nan, np.nan, 7], np.float32))
    np.testing.assert_array_equal(columns.numbers("name"), np.array([1, np.nan, np.nan, 0], np.float32))
    assert columns.of_row(0) == {"flag": False, "count": 9, "name": "b"}
    assert columns.of_row(1) == {}
