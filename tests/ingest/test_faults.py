"""Bad input: each fault with the message it gives, and nothing half-written left."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from skyfiles import tan_wcs, write_sky

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.ingest.workspace import Workspace
from euclidfm.store import GalaxyStore


def fails(sky, tmp_path, told, **settings):
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(InputError, match=told) as e:
        ingest(IngestConfig(source=str(sky.path), **settings), tmp_path / "store")
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert "\n" not in str(e.value)
    return str(e.value)


def truncate(path: Path, keep: float = 0.5) -> None:
    with path.open("r+b") as f:
        f.truncate(int(path.stat().st_size * keep))


@pytest.mark.parametrize("kind", ["image", "RMS", "FLAG"])
def test_a_truncated_mosaic_stops_the_run_and_is_named(sky, tmp_path, kind):
    truncate(sky.mosaic("Y", kind))
    told = fails(sky, tmp_path, "truncated")
    assert str(sky.mosaic("Y", kind)) in told


def test_a_truncated_mosaic_in_quarantine_keeps_the_other_bands(sky, tmp_path):
    truncate(sky.mosaic("Y"))
    summary = ingest(IngestConfig(source=str(sky.path), on_error="quarantine"), tmp_path / "store")
    g = GalaxyStore.open(tmp_path / "store").read()
    assert len(g) == 12
    assert not g.has_image("Y").any()
    assert g.has_image("VIS").all()
    assert summary["quarantined"] == 1
    (row,) = pq.read_table(tmp_path / "store/quarantine.parquet").to_pylist()
    assert row["file"] == str(sky.mosaic("Y"))
    assert "truncated" in row["reason"]


def test_without_any_readable_band_the_objects_go_to_quarantine(sky, tmp_path):
    write_sky(tmp_path / "sky", n=4, tile=200, centre=(80.0, -50.0), side=200)
    for b in ("VIS", "Y", "J", "H"):
        truncate(sky.mosaic(b))
    summary = ingest(IngestConfig(source=str(sky.path), on_error="quarantine"), tmp_path / "store")
    assert summary["rows"] == 4
    assert summary["quarantined"] == 4 + 12


def test_the_command_line_ends_with_2_and_one_sentence(sky, tmp_path, capsys):
    truncate(sky.mosaic("VIS"))
    assert main(["ingest", str(sky.path), "--out", str(tmp_path / "store")]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if "truncated" in line]
    assert len(told) == 1
    assert "Traceback" not in told[0]


def header(path, change):
    with fits.open(path, mode="update") as h:
        change(h[0].header)


def drop_column(name):
    def change(t):
        t.remove_column(name)
        return t

    return change


@pytest.mark.parametrize(
    "column", ["VIS_DET", "FLUX_Y_TEMPLFIT", "SEGMENTATION_AREA", "OBJECT_ID", "RIGHT_ASCENSION"]
)
def test_a_missing_column_is_named(sky, tmp_path, column):
    sky.edit(drop_column(column))
    told = fails(sky, tmp_path, f"has no column {column}")
    assert str(sky.catalogue()) in told


def test_a_missing_zero_point(sky, tmp_path):
    header(sky.mosaic("J"), lambda h: h.remove("MAGZERO"))
    assert "NIR-J" in fails(sky, tmp_path, "no numeric MAGZERO")


def test_wrong_units(sky, tmp_path):
    header(sky.mosaic("J"), lambda h: h.set("BUNIT", "MJy/sr"))
    fails(sky, tmp_path, "BUNIT 'MJy/sr'")


def test_another_wcs_names_both_files(sky, tmp_path):
    header(sky.mosaic("H"), lambda h: h.set("CRVAL2", h["CRVAL2"] + 1 / 3600))
    told = fails(sky, tmp_path, "different WCS")
    assert sky.mosaic("H").name in told
    assert sky.mosaic("VIS").name in told


def test_another_size_names_both_files(sky, tmp_path):
    wcs = tan_wcs(57.0, -50.0, (300, 300)).to_header()
    wcs["MAGZERO"] = 29.9
    for kind in ("image", "RMS", "FLAG"):
        fits.PrimaryHDU(np.zeros((300, 300), np.int32 if kind == "FLAG" else np.float32), wcs).writeto(
            sky.mosaic("H", kind), overwrite=True
        )
    assert sky.mosaic("H").name in fails(sky, tmp_path, "differ in size")


def test_a_missing_hdu(sky, tmp_path):
    fits.PrimaryHDU().writeto(sky.mosaic("H"), overwrite=True)
    fails(sky, tmp_path, "no two-dimensional image")


def test_a_file_that_is_no_fits(sky, tmp_path):
    sky.mosaic("H").write_bytes(b"<html>503 Service Unavailable</html>" * 500)
    fails(sky, tmp_path, "not a readable FITS file")


def test_a_truncated_catalogue(sky, tmp_path):
    truncate(sky.catalogue(), 0.6)
    fails(sky, tmp_path, "truncated")


def test_no_wcs(sky, tmp_path):
    for b in ("VIS", "Y", "J", "H"):
        header(sky.mosaic(b), lambda h: [h.remove(k) for k in ("CTYPE1", "CTYPE2")])
    fails(sky, tmp_path, "no celestial WCS")


def test_duplicate_ids_nan_positions_and_objects_outside_go_to_quarantine(sky, tmp_path):
    def change(t):
        t["OBJECT_ID"][1] = t["OBJECT_ID"][0]
        t["RIGHT_ASCENSION"][2] = np.nan
        t["DECLINATION"][3] = -91.0
        t["RIGHT_ASCENSION"][4] += 1.0
        return t

    sky.edit(change)
    summary = ingest(IngestConfig(source=str(sky.path)), tmp_path / "store")
    assert summary["rows"] == 8
    left = pq.read_table(tmp_path / "store/quarantine.parquet").to_pylist()
    told = {r["object_id"]: r["reason"] for r in left}
    assert len(left) == summary["quarantined"] == 4
    assert "occurs earlier" in told[sky.object_id[0]]
    assert "not a number" in told[sky.object_id[2]]
    assert "not on the sky" in told[sky.object_id[3]]
    assert "outside the mosaic" in told[sky.object_id[4]]


def test_objects_outside_every_tile_leave_nothing(sky, tmp_path):
    def change(t):
        t["RIGHT_ASCENSION"] += 1.0
        return t

    sky.edit(change)
    fails(sky, tmp_path, "outside the mosaic")


def test_an_empty_selection_says_where_it_ran_dry(sky, tmp_path):
    def change(t):
        t["SPURIOUS_FLAG"] = 1
        return t

    sky.edit(change)
    told = fails(sky, tmp_path, "leaves no object")
    assert "detected in VIS: 12; not spurious: 0" in told


def test_a_missing_band_is_absent_and_no_band_is_an_error(sky, tmp_path):
    for kind in ("image", "RMS", "FLAG"):
        sky.mosaic("H", kind).unlink()
    ingest(IngestConfig(source=str(sky.path)), tmp_path / "a")
    assert not GalaxyStore.open(tmp_path / "a").read().has_image("H").any()
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(sky.path / "MER")
    fails(sky, tmp_path, "no mosaic in any of VIS")
    ingest(IngestConfig(source=str(sky.path), bands=()), tmp_path / "b")


def test_two_files_for_one_place(sky, tmp_path):
    shutil.copy(sky.mosaic("H"), str(sky.mosaic("H")).replace("ABC123", "DEF456"))
    fails(sky, tmp_path, "remove one")


def test_no_permission():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        sky = write_sky(Path(folder) / "sky", n=2, side=150)
        sky.mosaic("H").chmod(0)
        root = os.geteuid() == 0
        try:
            if root:
                os.seteuid(65534)  # root may read everything
            with pytest.raises(InputError, match="permission denied") as e:
                ingest(IngestConfig(source=str(sky.path)), Path(folder) / "store")
        finally:
            if root:
                os.seteuid(0)
        assert sky.mosaic("H").name in str(e.value)


def test_a_source_that_is_nothing(tmp_path):
    for told, source in (("does not exist", "nowhere"), ("is no sky folder", ".")):
        with pytest.raises(InputError, match=told):
            ingest(IngestConfig(source=str(tmp_path / source)), tmp_path.parent / "store")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"size": -1}, "size must be"),
        ({"bands": ["VIZ"]}, "unknown band 'VIZ'"),
        ({"mask_flags": ["warm"]}, "unknown flags"),
        ({"split_fractions": (0.5, 0.5, 0.5)}, "sum to one"),
    ],
)
def test_bad_settings(settings, told):
    with pytest.raises(InputError, match=told):
        IngestConfig(source="sky", **settings)


def test_an_existing_store_is_kept_unless_told(sky, tmp_path):
    ingest(IngestConfig(source=str(sky.path), bands=()), tmp_path / "store")
    with pytest.raises(InputError, match="exists already"):
        ingest(IngestConfig(source=str(sky.path), bands=()), tmp_path / "store")
    ingest(IngestConfig(source=str(sky.path), bands=("VIS",)), tmp_path / "store", overwrite=True)
    assert GalaxyStore.open(tmp_path / "store").info.image_bands == ("VIS",)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("dear")
    with pytest.raises(InputError, match="is not a store"):
        ingest(IngestConfig(source=str(sky.path)), tmp_path / "other", overwrite=True)
    assert (tmp_path / "other" / "thesis.tex").exists()


def test_two_runs_on_one_output_are_refused(sky, tmp_path):
    other = pytest.raises(InputError, match=f"another run \\(process {os.getpid()}\\)")
    with Workspace(tmp_path / "store", overwrite=False), other:
        ingest(IngestConfig(source=str(sky.path)), tmp_path / "store")
    ingest(IngestConfig(source=str(sky.path)), tmp_path / "store")


def test_a_corrupted_shard_is_named(sky, tmp_path):
    ingest(IngestConfig(source=str(sky.path)), tmp_path / "store")
    (shard,) = (tmp_path / "store/shards").iterdir()
    truncate(shard)
    with pytest.raises(InputError, match=shard.name):
        GalaxyStore.open(tmp_path / "store")


def test_a_shard_with_one_wrong_byte_is_named_and_not_read(sky, tmp_path, capsys):
    ingest(IngestConfig(source=str(sky.path)), tmp_path / "store")
    (shard,) = (tmp_path / "store/shards").iterdir()
    raw = bytearray(shard.read_bytes())
    place = pq.read_metadata(shard).row_group(0)
    columns = [place.column(k) for k in range(place.num_columns)]
    for name in ("image_VIS", "flux_H"):
        (c,) = (c for c in columns if c.path_in_schema == name)
        raw[c.data_page_offset + c.total_compressed_size - 5] ^= 0xFF
    shard.write_bytes(raw)
    with pytest.raises(InputError, match=f"{shard.name} is damaged"):
        GalaxyStore.open(tmp_path / "store").read(bands=["VIS"])
    assert main(["info", str(tmp_path / "store")]) == 2
    assert f"{shard.name} is damaged" in capsys.readouterr().err
