"""Small samples by coordinates: the real pyvo and fsspec code against services on loopback."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from archive import MER, irsa
from astropy.table import Table
from servers import serving
from skyfiles import by_id, write_sky

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.ingest.config import IrsaServices
from euclidfm.store import GalaxyStore

pytest.importorskip("pyvo", reason="needs pyvo and aiohttp (extra: archive)")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
CENTRES = {102018211: (57.0, -50.0), 102018212: (57.0, -49.5)}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Two tiles on a web server, and the services that know of them."""
    path = tmp_path_factory.mktemp("archive")
    tiles = [write_sky(path, tile=t, centre=c, spectra=False) for t, c in CENTRES.items()]
    with serving("http", path) as web, irsa(tiles[0], web.url, CENTRES) as services:
        services.web, services.tiles = web, tiles
        yield services


@pytest.fixture
def server(archive):
    """The services in order, whatever the last test did to them."""
    archive.limit, archive.silent, archive.broken = 50_000, False, set()
    archive.log.clear()
    archive.web.cut.clear()
    archive.web.log.clear()
    return archive


def wanted(server, path, rows=(0, 3), extra=(), name="list.csv"):
    """A list of positions, a little beside the objects of each tile."""
    ra = np.concatenate([t.ra[list(rows)] for t in server.tiles] + [[e[0] for e in extra]])
    dec = np.concatenate([t.dec[list(rows)] for t in server.tiles] + [[e[1] for e in extra]])
    Table({"ra": ra + 0.1 / 3600, "dec": dec}).write(path / name, overwrite=True)
    return str(path / name)


def config(server, path, **change):
    services = IrsaServices(tap=f"{server.url}/TAP", sia=f"{server.url}/SIA", timeout=20.0)
    usual = {"source": "irsa", "coordinates": wanted(server, path), "size": 16, "irsa": services}
    return IngestConfig(**usual | change)


def test_a_list_of_coordinates_gives_the_objects_of_the_folder(server, tmp_path):
    summary = ingest(config(server, tmp_path), tmp_path / "store")
    assert summary["rows"] == 4
    assert summary["coordinates"] == {"targets": 4, "matched": 4, "ambiguous": 0}
    got = by_id(GalaxyStore.open(tmp_path / "store"))
    here = IngestConfig(source=str(server.tiles[0].path), size=16, selection="everything-detected")
    ingest(here, tmp_path / "local")
    store = GalaxyStore.open(tmp_path / "local")
    all_of_them = by_id(store)
    same = all_of_them.take(np.isin(all_of_them.object_id, got.object_id))
    assert got.object_id.tolist() == same.object_id.tolist() and (got.object_id < 0).all()
    np.testing.assert_array_equal(got.tile, same.tile)
    np.testing.assert_array_equal(got.flux, same.flux)
    for b in ("VIS", "Y", "J", "H"):
        np.testing.assert_array_equal(got.images[b], same.images[b])
        np.testing.assert_array_equal(got.masks[b], same.masks[b])
        np.testing.assert_array_equal(got.noise[b], same.noise[b])
    np.testing.assert_array_equal(got.columns["gz_smooth"], same.columns["gz_smooth"])
    assert {q["MAXREC"][0] for p, q in server.log if p == "/TAP/sync"} == {"1000"}
    sent = [line for line in server.web.log if line.startswith("GET") and ".fits" in line]
    assert sent and not list(tmp_path.rglob("*MOSAIC*"))  # pieces, no copies


def test_copies_are_read_instead_when_asked_for(server, tmp_path):
    ingest(config(server, tmp_path), tmp_path / "pieces")
    ingest(config(server, tmp_path, fetch="copy", cache=str(tmp_path / "cache")), tmp_path / "copies")
    a, b = (by_id(GalaxyStore.open(tmp_path / n)) for n in ("pieces", "copies"))
    np.testing.assert_array_equal(a.images["J"], b.images["J"])
    assert len(list((tmp_path / "cache" / "MER").rglob("*MOSAIC*.fits"))) == 24


def test_a_position_without_an_object_goes_to_quarantine(server, tmp_path):
    cfg = config(
        server, tmp_path, coordinates=wanted(server, tmp_path, extra=[(57.3, -50.2)], name="five.csv")
    )
    summary = ingest(cfg, tmp_path / "store")
    assert summary["rows"] == 4 and summary["quarantined"] == 1
    (row,) = pq.read_table(tmp_path / "store" / "quarantine.parquet").to_pylist()
    assert "no selected object within" in row["reason"] and row["dec"] == pytest.approx(-50.2)


@pytest.mark.parametrize("silent", [False, True])
def test_an_answer_that_was_cut_short_is_refused(server, tmp_path, silent):
    """The service says so, or, as the traps have it, does not."""
    t = server.tables[MER]
    server.limit, server.silent = (3, False) if not silent else (50_000, True)
    cfg = config(server, tmp_path, radius_arcsec=400.0)
    if silent:
        many = Table({n: np.resize(t[n], 2500) for n in t.colnames})
        many["object_id"] = np.arange(2500)
        server.tables = server.tables | {MER: many}
    try:
        with pytest.raises(InputError, match=r"TAP.*(OVERFLOW|cut off)"):
            ingest(cfg, tmp_path / "store")
    finally:
        server.tables = server.tables | {MER: t}
    assert not (tmp_path / "store").exists()


def test_a_missing_column_a_table_or_a_service(server, tmp_path):
    t = server.tables[MER]
    server.tables = server.tables | {MER: t[[c for c in t.colnames if c != "flux_h_templfit"]]}
    try:
        with pytest.raises(InputError, match="table euclid_q1_mer_catalogue has no column FLUX_H_TEMPL"):
            ingest(config(server, tmp_path), tmp_path / "store")
    finally:
        server.tables = server.tables | {MER: t}
    services = IrsaServices(tap=f"{server.url}/TAP", sia=f"{server.url}/SIA", catalogue="euclid_dr9")
    with pytest.raises(InputError, match="has no table euclid_dr9"):
        ingest(config(server, tmp_path, irsa=services), tmp_path / "store")
    server.broken = {"/SIA"}
    with pytest.raises(InputError, match=r"SIA does not answer.*try again"):
        ingest(config(server, tmp_path), tmp_path / "store")
    server.broken = {"/TAP/sync"}
    with pytest.raises(InputError, match="TAP does not answer"):
        ingest(config(server, tmp_path), tmp_path / "store")
    assert not (tmp_path / "store").exists() and not list(tmp_path.glob(".store*"))


def test_ids_that_the_service_sends_as_floats_are_refused(server, tmp_path):
    t = server.tables[MER]
    bad = t.copy()
    bad["object_id"] = bad["object_id"].astype(float)
    server.tables = server.tables | {MER: bad}
    try:
        with pytest.raises(InputError, match="can't hold 64-bit ids exactly"):
            ingest(config(server, tmp_path), tmp_path / "store")
    finally:
        server.tables = server.tables | {MER: t}


def test_a_mosaic_that_breaks_off_is_a_sentence(server, tmp_path):
    broken = next(server.tiles[0].path.rglob("*BGSUB-MOSAIC-NIR-H*"))
    server.web.cut.add(broken.name)
    with pytest.raises(InputError, match=f"{broken.name} (broke off|can't be read)"):
        ingest(config(server, tmp_path), tmp_path / "store")
    server.web.cut.clear()
    assert ingest(config(server, tmp_path), tmp_path / "store")["rows"] == 4


def test_the_command_line(server, tmp_path, capsys):
    argv = ["ingest", "irsa", "--out", str(tmp_path / "store"), "--size", "16"]
    argv += ["--irsa.tap", f"{server.url}/TAP", "--irsa.sia", f"{server.url}/SIA"]
    assert main(argv) == 2
    assert "--coordinates list.csv" in capsys.readouterr().err
    assert main([*argv, "--coordinates", wanted(server, tmp_path)]) == 0
    assert len(GalaxyStore.open(tmp_path / "store")) == 4
    bad = tmp_path / "bad.csv"
    bad.write_text("ra,dec\n57.0,-50.0\n57.0,-500\n")
    assert main([*argv[:3], str(tmp_path / "other"), "--coordinates", str(bad)]) == 2
    assert "row 2" in capsys.readouterr().err
