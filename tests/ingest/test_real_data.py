"""The real Q1 cutouts and the real photometric catalogues."""

import numpy as np
import pytest
from astropy.io import fits

from euclidfm.core.errors import InputError
from euclidfm.core.units import abmag_from_ujy
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.store import GalaxyStore

pytestmark = pytest.mark.real_data


def magnitudes(store):
    g = store.read()
    return {b: abmag_from_ujy(g.flux[:, k]) for k, b in enumerate(g.sed_bands)}


@pytest.fixture(scope="module")
def cutouts(real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("q1") / "store"
    summary = ingest(IngestConfig(source=str(real_data / "euclid_q1"), size=64), out)
    assert summary["rows"] == 3
    return GalaxyStore.open(out)


def test_q1_cutouts_have_four_images_and_their_positions(cutouts):
    g = cutouts.read()
    for b in ("VIS", "Y", "J", "H"):
        assert g.has_image(b).all()
        assert g.masks[b].mean() < 0.05
        centre = g.images[b][:, 24:40, 24:40].mean(axis=(1, 2))
        assert (centre > 3 * g.noise[b] / 4).all()
    assert sorted(np.round(g.ra, 3)) == [52.818, 57.004, 266.323]
    assert cutouts.info.release == "Q1_R1"
    name = "q1_102018665_NEG570040238507752998.fits"
    (row,) = np.flatnonzero(g.columns["file"] == name)
    catalogued = (57.0040238, -50.7752998)  # MER's id of this object, in the file's name
    offset = np.hypot((g.ra[row] - catalogued[0]) * np.cos(np.radians(50.8)), g.dec[row] - catalogued[1])
    assert offset * 3600 < 0.15


def test_q1_colours_are_continuous_across_instruments(cutouts):
    g = cutouts.read()
    names = np.array(g.sed_bands)
    wave = np.array([b.wavelength_nm for b in cutouts.info.sed_bands])
    for row in range(3):
        seen = np.isfinite(g.flux[row]) & (g.flux[row] / g.fluxerr[row] > 5) & (names != "VIS")
        order = np.argsort(wave[seen])
        mag = abmag_from_ujy(g.flux[row])[seen][order]
        slope = np.diff(mag) / np.diff(np.log(wave[seen][order]))
        assert (np.diff(mag) < 0.1).all(), "an early type gets brighter to the red"
        assert (slope > -9).all()
        vis = abmag_from_ujy(g.flux[row, g.sed_bands.index("VIS")])
        assert mag.min() < vis < mag.max() + 1.2
    bands = {b for b in g.sed_bands if np.isfinite(g.flux[:, g.sed_bands.index(b)]).any()}
    assert bands == {"u", "g", "r", "i", "z", "VIS", "Y", "J", "H", "g_hsc", "r_megacam", "z_hsc"}


def test_larger_cutouts_are_padded(real_data, tmp_path):
    ingest(IngestConfig(source=str(real_data / "euclid_q1"), size=128), tmp_path / "store")
    g = GalaxyStore.open(tmp_path / "store").read()
    assert g.columns["flag_edge"].tolist().count(True) == 2
    small = g.columns["flag_edge"]
    assert g.masks["VIS"][small].mean() == pytest.approx(1 - (100 / 128) ** 2, abs=0.01)


def test_one_cutout_file_alone_and_a_damaged_one(real_data, tmp_path):
    good = real_data / "euclid_q1" / "group_300px.fits"
    assert ingest(IngestConfig(source=str(good)), tmp_path / "a")["rows"] == 1
    folder = tmp_path / "some"
    folder.mkdir()
    (folder / "good.fits").write_bytes(good.read_bytes())
    (folder / "half.fits").write_bytes(good.read_bytes()[:700_000])
    with pytest.raises(InputError, match=r"half\.fits"):
        ingest(IngestConfig(source=str(folder)), tmp_path / "b")
    summary = ingest(IngestConfig(source=str(folder), on_error="quarantine"), tmp_path / "b")
    assert (summary["rows"], summary["quarantined"]) == (1, 1)


def test_the_aperture_flux_is_the_sum_of_the_pixels(real_data, tmp_path):
    path = real_data / "euclid_q1" / "group_300px.fits"
    ingest(IngestConfig(source=str(path), aperture_arcsec=2.0), tmp_path / "store")
    g = GalaxyStore.open(tmp_path / "store").read()
    with fits.open(path) as h:
        image, header = h["VIS_FLUX"].data.astype(float), h["VIS_FLUX"].header
    yy, xx = np.indices(image.shape)
    inside = np.hypot(xx - header["TARGETX"], yy - header["TARGETY"]) <= 10
    total = image[inside].sum() * 10 ** (0.4 * (23.9 - header["MAGZERO"]))
    assert g.flux[0, g.sed_bands.index("VIS")] == pytest.approx(total, rel=0.02)


def test_zcosmos(real_data, tmp_path):
    summary = ingest(IngestConfig(source=str(real_data / "zcosmos"), recipe="zcosmos"), tmp_path / "store")
    store = GalaxyStore.open(tmp_path / "store")
    g = store.read()
    optical = [
        g.sed_bands.index(b)
        for b in ("u_cfht", "B_subaru", "g_subaru", "V_subaru", "r_subaru", "z_subaru", "J_ukirt", "K_cfht")
    ]
    assert np.isfinite(g.flux[:, optical]).all(axis=1).sum() == 12295
    assert summary["rows"] == 12334
    m = magnitudes(store)
    assert 21 < np.nanmedian(m["i_subaru"]) < 22.5
    assert 0.2 < np.nanmedian(m["r_subaru"] - m["i_subaru"]) < 1.2
    assert (g.columns["z_spec"] >= 0.01).all()
    assert min(summary["splits"].values()) > 500


def test_desi_bgs(real_data, tmp_path):
    summary = ingest(IngestConfig(source=str(real_data / "desi_bgs"), recipe="desi-bgs"), tmp_path / "store")
    store = GalaxyStore.open(tmp_path / "store")
    g = store.read()
    assert summary["rows"] == 56644
    assert np.isnan(g.ra).all()
    assert summary["splits"]["test"] / summary["rows"] == pytest.approx(0.2, abs=0.01)
    m = magnitudes(store)
    assert 15 < np.nanmedian(m["r_ls"]) < 20.2
    assert 0.3 < np.nanmedian(m["g_ls"] - m["r_ls"]) < 1.5
    assert 9 < np.nanmedian(g.columns["log_mass"]) < 11.5
    assert (g.object_id > 2**53).all()


def test_candels(real_data, tmp_path):
    summary = ingest(
        IngestConfig(source=str(real_data / "candels_cosmos"), recipe="candels-cosmos"), tmp_path / "store"
    )
    store = GalaxyStore.open(tmp_path / "store")
    assert summary["splits"]["test"] == 966
    assert summary["splits"]["train"] + summary["splits"]["validation"] == 3864
    assert summary["splits"]["validation"] > 300
    m = magnitudes(store)
    assert 22 < np.nanmedian(m["F160W"]) < 24
    assert np.nanmedian(m["F606W"] - m["F160W"]) == pytest.approx(1.5, abs=0.7)
    g = store.read()
    assert ((g.flux / g.fluxerr)[:, 3] > 3).mean() > 0.98
