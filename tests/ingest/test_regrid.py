"""Bands on another grid: an error, or resampled with place and flux kept."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from skyfiles import Sky, catalogue, ids, point_source, tan_wcs, write_mosaics

from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.store import GalaxyStore

pytest.importorskip("reproject", reason="needs the extra 'reproject'")
RA, DEC = 57.0, -50.0


def turned_wcs(degrees: float, arcsec: float, shape: tuple[int, int]) -> WCS:
    w = tan_wcs(RA + 0.3 / 3600, DEC, shape)
    a, s = np.radians(degrees), arcsec / 3600
    w.wcs.cdelt = [1.0, 1.0]
    w.wcs.pc = [[-s * np.cos(a), s * np.sin(a)], [s * np.sin(a), s * np.cos(a)]]
    return w


def two_grids(folder: Path, degrees: float, arcsec: float, x: float, y: float, flux: float) -> Sky:
    """VIS on the usual grid, H turned and on another scale, with one point source of the same flux."""
    sky = Sky(folder / "sky")
    shape = (160, 160)
    wcs = tan_wcs(RA, DEC, shape)
    ra, dec = (np.atleast_1d(v) for v in wcs.wcs_pix2world(x, y, 0))
    write_mosaics(sky, {"VIS": point_source(shape, x, y, flux, 2.0)}, wcs)
    other = (int(160 * 1.5 * 0.1 / arcsec),) * 2
    turned = turned_wcs(degrees, arcsec, other)
    u, v = (float(k[0]) for k in turned.wcs_world2pix(ra, dec, 0))
    write_mosaics(sky, {"H": point_source(other, u, v, flux, 2.0 * max(0.1, arcsec) / arcsec)}, turned)
    sky.catalogue().parent.mkdir(parents=True)
    catalogue(ids(ra, dec), ra, dec, np.full((1, 9), flux)).write(sky.catalogue())
    return sky


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    degrees=st.floats(-180, 180),
    arcsec=st.sampled_from([0.06, 0.1, 0.13, 0.26]),
    x=st.floats(60, 100),
    y=st.floats(60, 100),
    flux=st.floats(1.0, 1e3),
)
def test_a_point_source_keeps_its_place_and_flux(degrees, arcsec, x, y, flux):
    with tempfile.TemporaryDirectory() as folder:
        sky = two_grids(Path(folder), degrees, arcsec, x, y, flux)
        ingest(IngestConfig(source=str(sky.path), size=64, reproject=True), Path(folder) / "store")
        g = GalaxyStore.open(Path(folder) / "store").read()
        vis, h = g.images["VIS"][0].astype(float), g.images["H"][0].astype(float)
        assert h.sum() == pytest.approx(flux, rel=0.01)
        yy, xx = np.indices(h.shape)
        for axis in (xx, yy):
            assert (h * axis).sum() / h.sum() == pytest.approx((vis * axis).sum() / vis.sum(), abs=0.1)
        assert not g.masks["H"].any()


def test_noise_and_masks_follow(tmp_path):
    sky = two_grids(tmp_path, 0.0, 0.2, 80.0, 80.0, 10.0)
    with fits.open(sky.mosaic("H", "RMS"), mode="update") as h:
        was = float(h[0].data[0, 0])
        scale = 10 ** (-0.4 * (h[0].header["MAGZERO"] - 23.9))
        h[0].data[60:, :] = 1e16
    with fits.open(sky.mosaic("H", "FLAG"), mode="update") as h:
        h[0].data[50, 60] = 2
    ingest(IngestConfig(source=str(sky.path), size=32, reproject=True), tmp_path / "store")
    g = GalaxyStore.open(tmp_path / "store").read()
    assert g.noise["H"][0] == pytest.approx(was * scale / 2, rel=0.01)  # a quarter of the area
    mask = g.masks["H"][0]
    assert mask.any() and not mask.all()
    with fits.open(sky.mosaic("H")) as h:
        turned = WCS(h[0].header)
    vis = tan_wcs(RA, DEC, (160, 160))
    x0 = 80 - 15.5 + 0.5  # lower left pixel of the cutout
    for u, v in ((60, 50), (60, 62)):
        x, y = (float(k) for k in vis.wcs_world2pix(*turned.wcs_pix2world(u, v, 0), 0))
        if 0 <= x - x0 < 31 and 0 <= y - x0 < 31:
            assert mask[round(y - np.floor(x0)), round(x - np.floor(x0))]


def test_without_the_option_both_files_and_the_option_are_named(tmp_path):
    sky = two_grids(tmp_path, 10.0, 0.1, 80.0, 80.0, 1.0)
    with pytest.raises(InputError, match="--reproject true") as e:
        ingest(IngestConfig(source=str(sky.path), size=32), tmp_path / "store")
    assert sky.mosaic("H").name in str(e.value) and sky.mosaic("VIS").name in str(e.value)
