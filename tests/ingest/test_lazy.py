"""Mosaics behind URLs that are read in pieces instead of copied."""

from __future__ import annotations

import numpy as np
import pytest
from archive import irsa
from astropy.io import fits
from servers import BUCKET, serving
from skyfiles import by_id, write_sky

from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.ingest.config import IrsaServices
from euclidfm.store import GalaxyStore

pytest.importorskip("s3fs", reason="needs s3fs and aiohttp (extra: remote)")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def sky(tmp_path):
    """A sky of one tile wide enough that rows of cutouts are fetched one by one (`lazy.GAP`)."""
    return write_sky(tmp_path / "bucket" / "q1", side=400, margin=5, spectra=False)


def config(sky, source, **change):
    usual = {"source": source, "tiles": (sky.tile,), "size": 16, "selection": "everything-detected"}
    return IngestConfig(**usual | change)


def pixels(path):
    g = by_id(path)
    return g.object_id, g.columns["flag_edge"], *(d[b] for d in (g.images, g.masks, g.noise) for b in d)


def assert_same(one, other):
    for a, b in zip(pixels(one), pixels(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["s3", "http"])
@pytest.mark.parametrize("size", [16, 200])
def test_pieces_make_the_same_store_as_copies_and_as_the_folder(sky, tmp_path, kind, size):
    """At 200 px the cutouts crowd, so a block is one piece; at 16 px each is its own."""
    ingest(config(sky, str(sky.path), size=size), tmp_path / "folder")
    with serving(kind, sky.path.parent, BUCKET) as server:
        source = f"s3://{BUCKET}/q1" if kind == "s3" else f"{server.url}/q1"
        options = {"client_kwargs": {"endpoint_url": server.url}} if kind == "s3" else {}
        for fetch in ("lazy", "copy"):
            cfg = config(sky, source, size=size, storage_options=options, fetch=fetch)
            ingest(cfg, tmp_path / fetch)
            assert_same(tmp_path / "folder", tmp_path / fetch)
            copied = [p.name for p in (tmp_path / f"{fetch}-sky").rglob("*.fits")]
            assert len([n for n in copied if "MOSAIC" in n]) == (12 if fetch == "copy" else 0)
            assert [n for n in copied if "FINAL-CAT" in n]
        server.log.clear()
        ingest(
            config(sky, source, size=size, storage_options=options, cache=str(tmp_path / "copy-sky")),
            tmp_path / "again",
        )  # what the cache holds is not asked for
        assert_same(tmp_path / "folder", tmp_path / "again")
        assert not [line for line in server.log if line.startswith("GET") and "MOSAIC" in line.split("?")[0]]


def test_many_objects_are_worth_a_copy(tmp_path):
    sky = write_sky(tmp_path / "sky", n=230, bands=("VIS",), spectra=False)
    with serving("http", sky.path) as server:
        ingest(config(sky, server.url, bands=("VIS",)), tmp_path / "store")
        assert len(list((tmp_path / "store-sky").rglob("*MOSAIC*"))) == 3


@pytest.mark.slow
def test_several_processes_read_pieces(sky, tmp_path):
    write_sky(sky.path, tile=sky.tile + 1, centre=(57.1, -50.0), spectra=False)
    with serving("http", sky.path) as server:
        both = (sky.tile, sky.tile + 1)
        ingest(config(sky, server.url, tiles=both, fetch="lazy"), tmp_path / "one")
        ingest(config(sky, server.url, tiles=both, fetch="lazy", workers=2), tmp_path / "two")
    assert_same(tmp_path / "one", tmp_path / "two")


def test_files_that_can_not_be_read_in_pieces_say_so(sky, tmp_path):
    path = sky.mosaic("VIS")
    whole, (data, header) = path.read_bytes(), fits.getdata(path, header=True, memmap=False)
    with serving("http", sky.path) as server:

        def sentence():
            with pytest.raises(InputError) as e:
                ingest(config(sky, server.url, fetch="lazy"), tmp_path / "store")
            assert path.name in str(e.value) and not (tmp_path / "store").exists()
            return str(e.value)

        path.write_bytes(whole[: len(whole) // 2])
        assert "is truncated: its header promises" in sentence()
        path.write_bytes(b"no FITS file at all")
        assert "can't be read as a FITS file" in sentence()
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, header)]).writeto(path, overwrite=True)
        assert "is compressed, so it can't be read in pieces; use --fetch copy" in sentence()
        ingest(config(sky, server.url, fetch="copy"), tmp_path / "store")
        path.unlink()
        ingest(
            config(sky, server.url, fetch="lazy"), tmp_path / "other"
        )  # a band that is not there is absent
        assert not GalaxyStore.open(tmp_path / "other").read().images["VIS"].any()


def test_images_of_the_services_from_object_storage(sky, tmp_path):
    """``irsa.images: cloud`` reads the copy in the bucket that the image service names."""
    (tmp_path / "list.csv").write_text(f"ra,dec\n{sky.ra[0]},{sky.dec[0]}\n")
    pytest.importorskip("pyvo")
    with (
        serving("s3", sky.path.parent, BUCKET) as server,
        irsa(sky, "http://127.0.0.1:9", {sky.tile: (57.0, -50.0)}) as services,
    ):
        cfg = IngestConfig(
            source="irsa",
            coordinates=str(tmp_path / "list.csv"),
            size=16,
            irsa=IrsaServices(tap=f"{services.url}/TAP", sia=f"{services.url}/SIA", images="cloud"),
            storage_options={"client_kwargs": {"endpoint_url": server.url}},
        )
        ingest(cfg, tmp_path / "store")
    g = GalaxyStore.open(tmp_path / "store").read()
    assert g.object_id.tolist() == [sky.object_id[0]] and g.images["H"].any()
