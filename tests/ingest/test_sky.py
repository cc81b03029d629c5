"""Sky folders: cutouts, SEDs, labels, splits."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from skyfiles import (
    Sky,
    by_id,
    catalogue,
    ids,
    point_source,
    spectroscopy,
    tan_wcs,
    write_mosaics,
    write_sky,
    write_tiles,
)

from euclidfm.core.bands import SED_BANDS
from euclidfm.core.units import abmag_from_ujy
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.store import GalaxyStore


def run(source, out, **settings):
    summary = ingest(IngestConfig(source=str(source), **settings), out)
    return GalaxyStore.open(out), summary


def centroid(image):
    yy, xx = np.indices(image.shape)
    return (image * xx).sum() / image.sum(), (image * yy).sum() / image.sum()


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    x=st.floats(40, 159),
    y=st.floats(40, 119),
    flux=st.floats(0.5, 5e3),
    size=st.sampled_from([32, 33, 64]),
    dec=st.sampled_from([-66.0, -10.0, 0.001, 66.0]),
    ra=st.sampled_from([0.0001, 57.0, 359.9999]),
)
def test_a_point_source_comes_back_at_the_centre_with_its_flux(x, y, flux, size, dec, ra):
    with tempfile.TemporaryDirectory() as folder:
        sky = Sky(Path(folder) / "sky")
        shape = (160, 200)
        wcs = tan_wcs(ra, dec, shape)
        a, d = (np.atleast_1d(v) for v in wcs.wcs_pix2world(x, y, 0))
        image = point_source(shape, x, y, flux, sigma=1.5)
        write_mosaics(sky, {"VIS": image, "H": 0.5 * image}, wcs, noise=False)
        sky.catalogue().parent.mkdir(parents=True)
        catalogue(ids(a, d), a, d, np.full((1, 9), flux)).write(sky.catalogue())
        store, _ = run(sky.path, Path(folder) / "store", size=size)
        g = store.read()
        for band, share in (("VIS", 1.0), ("H", 0.5)):
            assert g.images[band][0].sum() == pytest.approx(share * flux, rel=0.01)
            cx, cy = centroid(g.images[band][0].astype(float))
            assert abs(cx - (size - 1) / 2) < 0.51
            assert abs(cy - (size - 1) / 2) < 0.51
        assert not g.has_image("Y")[0]
        assert g.object_id[0] == ids(a, d)[0]


def test_the_store_holds_what_the_files_say(sky, tmp_path):
    store, summary = run(sky.path, tmp_path / "store")
    g = by_id(store, sky.object_id)
    assert summary["rows"] == len(store) == 12
    assert summary["quarantined"] == 0
    assert sum(summary["splits"].values()) == 12
    assert (g.object_id < 0).all()
    np.testing.assert_allclose(g.flux, sky.flux, rtol=1e-5)
    np.testing.assert_allclose(g.fluxerr[:, 6], 0.02 * sky.flux[:, 6], rtol=1e-5)
    np.testing.assert_allclose(g.columns["mag_vis"], abmag_from_ujy(sky.flux[:, 5]), atol=1e-4)
    assert (g.columns["flag_masked_fraction"] == 0).all()
    assert g.noise["VIS"] == pytest.approx(0.0021, rel=0.01)
    assert g.noise["H"] == pytest.approx(0.0092, rel=0.01)
    config = (tmp_path / "store" / "ingest.yaml").read_text()
    assert "selection: q1-bright-or-extended" in config
    assert store.info.provenance["selection"] == "q1-bright-or-extended v1"
    assert not list(tmp_path.glob(".store*"))


def test_a_cutout_at_the_edge_is_padded_and_masked(tmp_path):
    sky = Sky(tmp_path / "sky")
    shape = (120, 120)
    wcs = tan_wcs(57.0, -50.0, shape)
    ra, dec = wcs.wcs_pix2world([5.2, 60.0], [115.2, 60.0], 0)
    write_mosaics(sky, {"VIS": np.ones(shape)}, wcs)
    sky.catalogue().parent.mkdir(parents=True)
    catalogue(ids(ra, dec), ra, dec, np.ones((2, 9))).write(sky.catalogue())
    g = by_id(run(sky.path, tmp_path / "store", size=64)[0], ids(ra, dec))
    assert g.columns["flag_edge"].tolist() == [True, False]
    assert not g.masks["VIS"][1].any()
    here = np.zeros((64, 64), bool)  # the lower left pixel of the cutout is (-26, 84)
    here[: 120 - 84, 26:] = True
    assert (g.masks["VIS"][0] == ~here).all()
    assert (g.images["VIS"][0][g.masks["VIS"][0]] == 0).all()
    assert g.images["VIS"][0][~g.masks["VIS"][0]] == pytest.approx(1.0, rel=1e-3)
    assert g.columns["flag_masked_fraction"][0] == pytest.approx(g.masks["VIS"][0].mean(), abs=1e-6)


def test_no_data_flags_and_nan_are_masked_and_the_noise_ignores_them(sky, tmp_path):
    with fits.open(sky.mosaic("VIS", "RMS"), mode="update") as h:
        h[0].data[:, :200] = 1e16
    with fits.open(sky.mosaic("Y", "FLAG"), mode="update") as h:
        h[0].data[:200] = 1 | 8
        h[0].data[200:] = 8
    with fits.open(sky.mosaic("J"), mode="update") as h:
        h[0].data[::7] = np.nan
        h[0].data[1::7] = np.inf
    g = run(sky.path, tmp_path / "store")[0].read()
    assert g.masks["VIS"].any()
    assert 0.2 < g.masks["J"].mean() < 0.4
    assert np.isfinite(g.images["J"]).all()
    seen = g.has_image("VIS")
    assert g.noise["VIS"][seen] == pytest.approx(0.0021, rel=0.01)
    assert 0.2 < g.masks["Y"].mean() < 0.8  # saturated alone does not mask
    assert (g.columns["flag_bits"] & 8).all()
    flagged = run(sky.path, tmp_path / "all", mask_flags=["saturated"])[0].read()
    assert flagged.masks["Y"].all()


def test_labels_come_from_the_nearest_good_spectrum(sky, tmp_path):
    store, summary = run(sky.path, tmp_path / "store")
    c = by_id(store, sky.object_id).columns
    k = np.arange(12)
    kind = np.array(["GALAXY", "STAR", "QSO"])[k % 3]
    good = (kind != "STAR") & (k != 3)
    np.testing.assert_allclose(c["z_spec"], np.where(good, np.linspace(0.1, 1, 12), np.nan), rtol=1e-6)
    assert (np.isfinite(c["log_mass"]) == ((kind != "STAR") & (k != 6))).all()
    assert c["is_star"][1] == 1
    assert c["is_star"][0] == 0
    assert np.isnan(c["is_star"][3])
    assert c["spectype"].tolist() == kind.tolist()
    assert summary["spectroscopy"]["matched"] == 12
    assert summary["spectroscopy"]["ambiguous"] == 0


def test_matches_are_one_to_one_and_ambiguous_ones_are_reported(sky, tmp_path):
    ra = np.concatenate([sky.ra[:2], sky.ra[:1] + 0.6 / 3600, [200.0]])
    dec = np.concatenate([sky.dec[:2], sky.dec[:1], [10.0]])
    table = spectroscopy(ra, dec)
    table["RA"] = ra
    table["Z"] = [0.5, 0.6, 0.7, 0.8]
    table["SPECTYPE"] = "GALAXY"
    table["ZWARN"] = 0
    table.write(tmp_path / "own.fits")
    store, summary = run(sky.path, tmp_path / "store", spectroscopy=str(tmp_path / "own.fits"))
    c = by_id(store, sky.object_id).columns
    assert c["z_spec"][:2] == pytest.approx([0.5, 0.6])
    assert np.isnan(c["z_spec"][2:]).all()
    assert c["flag_ambiguous_spec"].tolist() == [True] + [False] * 11
    assert summary["spectroscopy"]["ambiguous"] == 1


def test_truth_is_joined_by_id_and_never_a_label(sky, tmp_path):
    n = 11  # the last object has no truth
    Table(
        {
            "object_id": sky.object_id[:n][::-1],
            "kind": ["galaxy"] * 5 + ["star"] * 6,
            "subtype": ["ring"] * n,
            "z": np.linspace(1, 2, n),
            "log_mass": np.linspace(9, 10, n),
        }
    ).write(sky.path / "truth.parquet")
    store, _ = run(sky.path, tmp_path / "store")
    c = by_id(store, sky.object_id).columns
    assert c["kind"].tolist() == ["star"] * 6 + ["galaxy"] * 5 + [""]
    assert c["z_true"][:n] == pytest.approx(np.linspace(1, 2, n)[::-1])
    assert np.isnan(c["log_mass_true"][-1])
    assert set(store.info.names("truth")) == {"kind", "subtype", "z_true", "log_mass_true"}


def test_selection_recipes_and_their_funnel(sky, tmp_path):
    def change(t):
        t["VIS_DET"][0] = 0
        t["SPURIOUS_FLAG"][1] = 1
        t["SEGMENTATION_AREA"][2:] = 300
        t["FLUX_DETECTION_TOTAL"][2:4] = 100.0  # VIS 18.9: bright enough at 300 px
        return t

    sky.edit(change)
    store, summary = run(sky.path, tmp_path / "bright")
    funnel = dict(summary["funnel"])
    assert list(funnel.values()) == sorted(funnel.values(), reverse=True)
    assert funnel["detected in VIS"] == 11
    assert funnel["not spurious"] == 10
    assert funnel["in the store"] == len(store) == int((sky.flux[4:, 5] > 22.9).sum()) + 2
    assert len(run(sky.path, tmp_path / "all", selection="everything-detected")[0]) == 12
    own = tmp_path / "own.yaml"
    own.write_text("name: own\nversion: 2\nsteps:\n - {name: area, where: segmentation_area == 1500}\n")
    store, _ = run(sky.path, tmp_path / "own", selection=str(own))
    assert len(store) == 2
    assert store.info.provenance["selection"] == "own v2"


def test_overlapping_tiles_give_each_object_once_and_one_split(tmp_path):
    sky = write_sky(tmp_path / "sky", n=12, seed=3)
    other = write_sky(tmp_path / "sky", n=6, seed=4, tile=102018212, centre=(57.02, -50.0))
    a, b = Table.read(sky.catalogue()), Table.read(other.catalogue())
    b["RIGHT_ASCENSION"][0] = a["RIGHT_ASCENSION"][0] + 0.05 / 3600  # same place, other id
    b["DECLINATION"][0] = a["DECLINATION"][0]
    b["OBJECT_ID"][1] = a["OBJECT_ID"][1]  # same id
    b.write(other.catalogue(), overwrite=True)
    store, summary = run(tmp_path / "sky", tmp_path / "store", bands=[])
    assert len(store) == 16
    assert dict(summary["funnel"])["once (duplicates of overlapping tiles dropped)"] == 16
    assert len(set(store.column("object_id").tolist())) == 16


def test_splits_follow_the_sky_and_the_fractions(tmp_path):
    write_sky(tmp_path / "sky", n=200, side=1200, bands=())
    store, summary = run(
        tmp_path / "sky", tmp_path / "a", split_order=13, bands=[], split_fractions=(0.5, 0.2, 0.3)
    )
    assert all(v > 10 for v in summary["splits"].values())
    again, _ = run(
        tmp_path / "sky", tmp_path / "b", split_order=13, bands=[], split_fractions=(0.5, 0.2, 0.3)
    )
    assert store.column("split").tolist() == again.column("split").tolist()
    other, _ = run(
        tmp_path / "sky", tmp_path / "c", split_order=13, bands=[], split_fractions=(0.5, 0.2, 0.3), seed=5
    )
    assert store.column("split").tolist() != other.column("split").tolist()


def test_sed_kinds_and_extinction(sky, tmp_path):
    total = by_id(run(sky.path, tmp_path / "a", bands=[])[0], sky.object_id)
    fit = by_id(run(sky.path, tmp_path / "b", bands=[], sed_flux="templfit")[0], sky.object_id)
    dust = by_id(run(sky.path, tmp_path / "c", bands=[], deredden=True)[0], sky.object_id)
    y, vis = SED_BANDS.index("Y"), SED_BANDS.index("VIS")
    np.testing.assert_allclose(fit.flux[:, y], total.flux[:, y] / 2, rtol=1e-5)
    ratio = dust.flux / total.flux
    # A_V = 3.1 E(B-V) near 550 nm; blue bands lose more: E(B-V) = 0.02.
    assert ratio[0, SED_BANDS.index("g")] == pytest.approx(10 ** (0.4 * 0.02 * 3.7), rel=0.01)
    assert (np.diff(ratio[0, [0, 1, 2, 3, 4, 6, 7, 8]]) < 0).all()
    np.testing.assert_allclose(dust.fluxerr[:, vis] / total.fluxerr[:, vis], ratio[:, vis], rtol=1e-5)


def test_negative_fluxes_stay_and_unmeasured_ones_are_nan(sky, tmp_path):
    def change(t):
        t["FLUX_U_EXT_MEGACAM_TEMPLFIT"][0] = -0.5
        t["FLUX_Y_TEMPLFIT"][1] = np.nan
        t["FLUX_VIS_TO_J_TEMPLFIT"][2] = 0.0
        return t

    sky.edit(change)
    g = by_id(run(sky.path, tmp_path / "store")[0], sky.object_id)
    assert g.flux[0, 0] == pytest.approx(-1.0)
    assert np.isnan(g.flux[1, SED_BANDS.index("Y")])
    assert np.isnan(g.flux[2, SED_BANDS.index("J")])
    assert np.isfinite(g.flux).sum() == 12 * 9 - 2


def test_several_processes_write_the_same_store(tmp_path):
    write_tiles(tmp_path / "sky", 3, n=8, side=200, with_spectra=3)
    run(tmp_path / "sky", tmp_path / "one", size=32)
    run(tmp_path / "sky", tmp_path / "two", size=32, workers=2)
    for name in sorted(p.name for p in (tmp_path / "one" / "shards").iterdir()):
        assert (tmp_path / "one/shards" / name).read_bytes() == (tmp_path / "two/shards" / name).read_bytes()


def test_ground_based_mosaics_are_cut_like_the_others(tmp_path):
    sky = write_sky(tmp_path / "sky", n=6, bands=("VIS", "H", "g"))
    assert "DECAM/EUC_MER_BGSUB-MOSAIC-DES-G_TILE" in str(sky.mosaic("g"))
    store, _ = run(sky.path, tmp_path / "store", bands=["VIS", "H", "g"], size=48)
    g = by_id(store, sky.object_id)
    assert store.info.image_bands == ("VIS", "H", "g") and store.info.provenance["images"]["g"] == 1
    assert g.has_image("g").all()
    assert g.noise["g"] == pytest.approx(0.0029, rel=0.01)
    brightest = int(np.argmax(sky.flux[:, 1]))
    assert g.images["g"][brightest].sum() == pytest.approx(sky.flux[brightest, 1], rel=0.05)
    default, _ = run(sky.path, tmp_path / "default")  # asked for the Euclid bands only
    assert default.info.image_bands == ("VIS", "Y", "J", "H")


def test_a_full_tile_becomes_several_tasks_and_one_store(tmp_path, monkeypatch):
    sky = write_sky(tmp_path / "sky", n=40, side=300, margin=5)
    whole, _ = run(sky.path, tmp_path / "whole", size=32)
    monkeypatch.setattr("euclidfm.ingest.sources.tile_unit.UNIT_ROWS", 9)
    names = []
    ingest(
        IngestConfig(source=str(sky.path), size=32),
        tmp_path / "parts",
        progress=lambda done, total, what="": names.append(what),
    )
    parts = GalaxyStore.open(tmp_path / "parts")
    a, b = by_id(whole, sky.object_id), by_id(parts, sky.object_id)
    assert len(list((tmp_path / "parts" / "shards").iterdir())) == 5
    assert any(n.startswith(f"tile {sky.tile} 5/5") for n in names)
    for band in ("VIS", "H"):
        np.testing.assert_array_equal(a.images[band], b.images[band])
        np.testing.assert_array_equal(a.masks[band], b.masks[band])
        np.testing.assert_array_equal(a.noise[band], b.noise[band])


def test_a_cutout_does_not_depend_on_its_neighbours(tmp_path, monkeypatch):
    sky = write_sky(tmp_path / "sky", n=40, side=400, margin=3)
    with fits.open(sky.mosaic("Y"), mode="update") as h:
        h[0].data[100:110, 50:300] = np.nan
    with fits.open(sky.mosaic("VIS", "FLAG"), mode="update") as h:
        h[0].data[200:203] = 1
    together, _ = run(sky.path, tmp_path / "together", size=64)
    monkeypatch.setattr("euclidfm.ingest.images.geometry.CROWDED", np.inf)
    alone, _ = run(sky.path, tmp_path / "alone", size=64)
    monkeypatch.setattr("euclidfm.ingest.images.geometry.CROWDED", 0.25)
    monkeypatch.setattr("euclidfm.ingest.images.geometry.BLOCK", (64, 96))
    blocks, _ = run(sky.path, tmp_path / "blocks", size=64)
    want = by_id(together, sky.object_id)
    for store in (alone, blocks):
        got = by_id(store, sky.object_id)
        for band in ("VIS", "Y"):
            np.testing.assert_array_equal(got.images[band], want.images[band])
            np.testing.assert_array_equal(got.masks[band], want.masks[band])
            np.testing.assert_array_equal(got.noise[band], want.noise[band])
        for name in ("flag_bits", "flag_masked_fraction", "flag_edge"):
            np.testing.assert_array_equal(got.columns[name], want.columns[name])
