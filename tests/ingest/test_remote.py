"""A sky in object storage or on a web server: the real fsspec code against servers on loopback."""

from __future__ import annotations

import shutil
import socket

import numpy as np
import pytest
from servers import BUCKET, serving
from skyfiles import write_sky

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.ingest.sources.remote import mirror
from euclidfm.store import GalaxyStore

pytest.importorskip("s3fs", reason="needs s3fs and aiohttp (extra: remote)")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def bucket(tmp_path, sky):
    """A bucket that holds a sky of two tiles under ``q1/``, and a server for it."""
    write_sky(sky.path, tile=sky.tile + 1, centre=(57.1, -50.0))
    root = tmp_path / "bucket"
    root.mkdir()
    shutil.move(sky.path, root / "q1")
    with serving("s3", root, BUCKET) as server:
        yield server


def options(server) -> dict[str, object]:
    return {"client_kwargs": {"endpoint_url": server.url}, "use_listings_cache": False}


def tile_of(root) -> int:
    return int(sorted(p.name for p in (root / "q1" / "MER").iterdir())[0])


def contents(path) -> tuple[np.ndarray, ...]:
    store = GalaxyStore.open(path)
    g = store.read(np.arange(len(store)))
    return g.object_id, g.flux, g.images["VIS"], g.images["H"], g.masks["H"]


def test_a_store_from_the_bucket_is_the_one_from_the_folder(bucket, tmp_path):
    tile = tile_of(bucket.root)
    common = {"size": 16, "selection": "everything-detected"}
    here = IngestConfig(source=str(bucket.root / "q1"), tiles=(tile,), **common)
    ingest(here, tmp_path / "local")
    there = IngestConfig(source=f"s3://{BUCKET}/q1", tiles=(tile,), storage_options=options(bucket), **common)
    summary = ingest(there, tmp_path / "remote")
    assert summary["rows"] > 0
    for a, b in zip(contents(tmp_path / "local"), contents(tmp_path / "remote"), strict=True):
        np.testing.assert_array_equal(a, b)
    copied = {p.name for p in (tmp_path / "remote-sky").rglob("*") if p.is_file()}
    assert all(str(tile) in name or name == "spectroscopy.fits" for name in copied)


def test_only_the_wanted_bands_are_copied_and_nothing_twice(bucket, tmp_path):
    tile = tile_of(bucket.root)
    source = f"s3://{BUCKET}/q1/"
    mirror(source, tmp_path / "cache", [tile], ["VIS"], options(bucket))
    names = [p.name for p in (tmp_path / "cache").rglob("*MOSAIC*")]
    assert names and all("-VIS" in n for n in names)
    bucket.log.clear()
    mirror(source, tmp_path / "cache", [tile], ["VIS"], options(bucket))
    assert not [line for line in bucket.log if line.startswith("GET") and ".fits" in line.split("?")[0]]


def test_a_file_that_breaks_off_is_a_sentence_and_goes_on_later(bucket, tmp_path):
    tile = tile_of(bucket.root)
    source, cache = f"s3://{BUCKET}/q1", tmp_path / "cache"
    broken = next(p for p in bucket.root.rglob("*BGSUB-MOSAIC-NIR-H*") if str(tile) in p.name)
    bucket.cut.add(broken.name)
    quick = options(bucket) | {"config_kwargs": {"retries": {"max_attempts": 1}, "read_timeout": 5}}
    with pytest.raises(InputError, match=f"{broken.name}.*run the same command again"):
        mirror(source, cache, [tile], ["VIS", "H"], quick)
    assert not list(cache.rglob("*partial*"))
    assert not list(cache.rglob(broken.name))
    bucket.cut.clear()
    mirror(source, cache, [tile], ["VIS", "H"], options(bucket))
    assert next(cache.rglob(broken.name)).read_bytes() == broken.read_bytes()


def test_a_tile_or_a_bucket_that_is_not_there(bucket, tmp_path):
    with pytest.raises(InputError, match=r"999 does not exist; check the address and --tiles"):
        mirror(f"s3://{BUCKET}/q1", tmp_path / "c", [999], ["VIS"], options(bucket))
    with pytest.raises(InputError, match="does not exist; check the address"):
        mirror("s3://another/q1", tmp_path / "c", [1], ["VIS"], options(bucket))
    with pytest.raises(InputError, match="say which tiles"):
        mirror(f"s3://{BUCKET}/q1", tmp_path / "c", [], ["VIS"], options(bucket))
    with pytest.raises(InputError, match="can't be opened"):
        mirror("nonsense://x/q1", tmp_path / "c", [1], ["VIS"], {})


def test_a_web_server_from_the_command_line(tmp_path, sky, capsys):
    """``http://``, as a user types it; a server that is gone is exit code 2 and one sentence."""
    argv = ["--tiles", f"[{sky.tile}]", "--size", "16", "--selection", "everything-detected"]
    with serving("http", sky.path) as server:
        assert main(["ingest", server.url, "--out", str(tmp_path / "store"), *argv]) == 0
    assert len(GalaxyStore.open(tmp_path / "store")) > 0
    capsys.readouterr()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert main(["ingest", url, "--out", str(tmp_path / "again"), *argv]) == 2
    err = capsys.readouterr().err.strip()
    assert url in err and len(err.splitlines()) == 1 and "Traceback" not in err
    assert not (tmp_path / "again").exists()
