"""The merged catalogue in HATS layout, in a folder and in object storage."""

from __future__ import annotations

import shutil
from urllib.parse import unquote

import numpy as np
import pytest
from archive import merged, write_hats
from astropy.table import Table, vstack
from servers import BUCKET, serving
from skyfiles import by_id, write_sky

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, ingest

pytest.importorskip("s3fs", reason="needs s3fs and aiohttp (extra: remote)")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
CENTRES = {102018211: (57.0, -50.0), 102018212: (57.0, -48.5)}
FIRST = min(CENTRES)
COMMON = {"size": 16, "selection": "everything-detected"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Files as the bucket has them: mosaics and catalogues under ``q1``, the merged one beside."""
    root = tmp_path_factory.mktemp("archive")
    tiles = [write_sky(root / "q1", tile=t, centre=c, spectra=False) for t, c in CENTRES.items()]
    rows = vstack([merged(s, t) for s, t in zip(tiles, CENTRES, strict=True)])
    write_hats(root / "contributed/q1/merged_objects/hats", rows)
    return root


@pytest.fixture(scope="module")
def hats(archive):
    return archive / "contributed/q1/merged_objects/hats"


@pytest.fixture(scope="module")
def expected(archive, tmp_path_factory):
    """The store of the catalogues of the tiles."""
    out = tmp_path_factory.mktemp("expected") / "store"
    ingest(IngestConfig(source=str(archive / "q1"), **COMMON), out)
    return by_id(out)


def assert_same(got, expected, bands=("VIS", "Y", "J", "H")):
    assert got.object_id.tolist() == expected.object_id.tolist() and len(got)
    np.testing.assert_array_equal(got.tile, expected.tile)
    np.testing.assert_array_equal(got.flux, expected.flux)
    np.testing.assert_array_equal(got.fluxerr, expected.fluxerr)
    np.testing.assert_array_equal(got.columns["gz_smooth"], expected.columns["gz_smooth"])
    np.testing.assert_array_equal(got.split, expected.split)
    for b in bands:
        np.testing.assert_array_equal(got.images[b], expected.images[b])
        np.testing.assert_array_equal(got.masks[b], expected.masks[b])


def list_of(expected, path, rows):
    Table({"RA": expected.ra[rows], "Dec": expected.dec[rows]}).write(path, overwrite=True)
    return str(path)


def test_it_gives_the_store_that_the_tiles_own_catalogues_give(archive, hats, expected, tmp_path):
    cfg = IngestConfig(source=str(archive / "q1"), catalogue=str(hats), tiles=tuple(CENTRES), **COMMON)
    ingest(cfg, tmp_path / "store")
    assert_same(by_id(tmp_path / "store"), expected)


@pytest.mark.parametrize("suffix", ["/", ".parquet"])
def test_photometry_alone_without_mosaics(hats, expected, tmp_path, suffix):
    rows = Table.read(next(hats.rglob("part0*")))  # a catalogue without a collection round it
    write_hats(tmp_path / "own", rows, order=3, suffix=suffix, collection=False)
    cfg = IngestConfig(source=str(tmp_path / "own"), tiles=(FIRST,), bands=(), **COMMON)
    ingest(cfg, tmp_path / "store")
    got = by_id(tmp_path / "store")
    assert 0 < len(got) == (rows["tileid"] == FIRST).sum()
    assert_same(got, expected.take(np.isin(expected.object_id, got.object_id)), bands=())
    with pytest.raises(InputError, match=r"without mosaics; .*--bands '\[\]'"):
        ingest(IngestConfig(source=str(tmp_path / "own"), tiles=(FIRST,)), tmp_path / "other")


def test_in_the_bucket_only_what_is_needed_is_read(archive, expected, tmp_path):
    places = f"s3://{BUCKET}/contributed/q1/merged_objects/hats"
    with serving("s3", archive, BUCKET) as server:
        options = {"client_kwargs": {"endpoint_url": server.url}, "use_listings_cache": False}
        cfg = IngestConfig(
            source=f"s3://{BUCKET}/q1",
            catalogue=places,
            storage_options=options,
            coordinates=list_of(expected, tmp_path / "list.csv", np.flatnonzero(expected.tile == FIRST)[:3]),
            **COMMON,
        )
        summary = ingest(cfg, tmp_path / "store")
        log = [unquote(line) for line in server.log if line.startswith("GET")]
    assert summary["coordinates"] == {"targets": 3, "matched": 3, "ambiguous": 0}
    got = by_id(tmp_path / "store")
    assert_same(got, expected.take(np.isin(expected.object_id, got.object_id)))
    read = {line.split("Npix=")[1].split("/")[0] for line in log if ".parquet" in line}
    there = {p.name.removeprefix("Npix=") for p in archive.rglob("Npix=*")}
    assert len(read) == 1 and len(there) > 1 and read < there
    assert not [line for line in log if "MER_FINAL_CATALOG" in line]
    assert not list(tmp_path.rglob("*.fits"))  # the mosaics were read in pieces


def test_photometry_alone_from_the_bucket_reads_the_partitions_of_the_tile(archive, expected, tmp_path):
    with serving("s3", archive, BUCKET) as server:
        options = {"client_kwargs": {"endpoint_url": server.url}, "use_listings_cache": False}
        places = f"s3://{BUCKET}/contributed/q1/merged_objects/hats"
        there = {"source": f"s3://{BUCKET}/q1", "catalogue": places, "storage_options": options}
        ingest(IngestConfig(**there, **COMMON, tiles=(FIRST,), bands=()), tmp_path / "store")
        log = [unquote(line) for line in server.log if line.startswith("GET")]
    assert_same(by_id(tmp_path / "store"), expected.take(expected.tile == FIRST), bands=())
    assert len({line.split("Npix=")[1].split("/")[0] for line in log if ".parquet" in line}) == 1


def test_a_survey_is_not_read_by_accident(archive, hats, tmp_path):
    cfg = IngestConfig(source=str(archive / "q1"), catalogue=str(hats), **COMMON)
    with pytest.raises(InputError, match="is a survey: say which part"):
        ingest(cfg, tmp_path / "store")
    far = Table({"ra": [200.0], "dec": [10.0]})
    far.write(tmp_path / "far.csv")
    cfg = IngestConfig(
        source=str(archive / "q1"), catalogue=str(hats), coordinates=str(tmp_path / "far.csv"), **COMMON
    )
    with pytest.raises(InputError, match=r"has no object near the positions of .*far.csv"):
        ingest(cfg, tmp_path / "store")


def test_what_is_wrong_with_it_is_a_sentence(archive, hats, tmp_path):
    def sentence(catalogue, tiles=(FIRST,)):
        with pytest.raises(InputError) as e:
            cfg = IngestConfig(source=str(archive / "q1"), catalogue=str(catalogue), tiles=tiles, **COMMON)
            ingest(cfg, tmp_path / "store")
        assert not (tmp_path / "store").exists()
        return str(e.value)

    assert "is no HATS catalogue" in sentence(tmp_path)
    assert "has no object of tile 7" in sentence(hats, tiles=(7,))
    broken = tmp_path / "broken"
    shutil.copytree(hats, broken)
    for p in broken.rglob("part0*"):
        p.write_bytes(p.read_bytes()[:1000])
    assert "can't be read as Parquet" in sentence(broken)
    (listed,) = broken.rglob("partition_info.csv")
    listed.write_text("a,b\n1,2\n")
    assert f"{listed} is no list of HATS partitions" in sentence(broken)
    rows = Table.read(next(hats.rglob("part0*")))
    rows.remove_column("mer_flux_h_templfit")
    write_hats(tmp_path / "poor", rows, suffix=".parquet")
    assert "has no column FLUX_H_TEMPLFIT" in sentence(tmp_path / "poor")
    for p in (tmp_path / "poor").rglob("*.parquet"):
        p.unlink()
    assert "lacks a partition" in sentence(tmp_path / "poor")


def test_the_command_line(archive, hats, expected, tmp_path):
    positions = list_of(expected, tmp_path / "list.csv", [0, len(expected) - 1])
    argv = ["ingest", str(archive / "q1"), "--catalogue", str(hats), "--coordinates", positions]
    assert main([*argv, "--size", "16", "--out", str(tmp_path / "store")]) == 0
    assert by_id(tmp_path / "store").object_id.tolist() == expected.object_id[[0, -1]].tolist()
