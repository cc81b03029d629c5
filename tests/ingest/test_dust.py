"""Galactic reddening from a map, in every layout such maps come in."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy_healpix import HEALPix

from euclidfm.core.bands import SED_BANDS
from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.ingest.catalogue.extinction import dereddening, reddening_at
from euclidfm.store import GalaxyStore

NSIDE = 32
RA, DEC = np.array([57.0, 269.7, 0.001, 359.999]), np.array([-50.0, 66.0, 0.0, -28.0])


def smooth(lon, lat):
    """A reddening that bilinear interpolation reproduces to a per cent or so, distinct in each frame."""
    return 0.05 + 0.02 * np.sin(lat) + 0.01 * np.cos(lat) * np.cos(lon)


def write_map(path, order="NESTED", frame="GALACTIC", column="EBV", across=1, more=False, **keys):
    grid = HEALPix(NSIDE, "nested" if order == "NESTED" else "ring")
    lon, lat = grid.healpix_to_lonlat(np.arange(grid.npix))
    values = smooth(lon.rad, lat.rad).astype(np.float32).reshape(-1, across)
    columns = [fits.Column(column, f"{across}E", array=values)]
    if more:
        columns.insert(0, fits.Column("TAU353", f"{across}E", array=np.zeros_like(values)))
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header.update({"PIXTYPE": "HEALPIX", "ORDERING": order, "NSIDE": NSIDE, "COORDSYS": frame} | keys)
    hdu.writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("order", ["NESTED", "RING"])
@pytest.mark.parametrize("frame", ["GALACTIC", "C"])
@pytest.mark.parametrize("layout", [{}, {"across": 1024}, {"more": True}, {"column": "TEMPERATURE"}])
def test_a_map_gives_the_value_at_the_place(tmp_path, order, frame, layout):
    path = write_map(tmp_path / "m.fits", order, frame, **layout)
    place = SkyCoord(RA * units.deg, DEC * units.deg)
    lon, lat = (place.galactic.l, place.galactic.b) if frame == "GALACTIC" else (place.ra, place.dec)
    want = smooth(lon.rad, lat.rad)
    np.testing.assert_allclose(reddening_at(path, RA, DEC), want, atol=3e-4)


def test_the_frame_can_be_told(tmp_path):
    path = write_map(tmp_path / "m.fits", frame="")
    with pytest.raises(InputError, match="--ebv_frame"):
        reddening_at(path, RA, DEC)
    assert not np.allclose(reddening_at(path, RA, DEC, "galactic"), reddening_at(path, RA, DEC, "equatorial"))


def test_what_is_no_map_is_told(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        reddening_at(tmp_path / "m.fits", RA, DEC)
    (tmp_path / "m.fits").write_text("<html>")
    with pytest.raises(InputError, match="not a readable FITS"):
        reddening_at(tmp_path / "m.fits", RA, DEC)
    with pytest.raises(InputError, match="no full-sky HEALPix map"):
        reddening_at(write_map(tmp_path / "m.fits", NSIDE=64), RA, DEC)
    with pytest.raises(InputError, match="no column EBV; it has TAU353, RADIANCE"):
        reddening_at(write_map(tmp_path / "m.fits", column="RADIANCE", more=True), RA, DEC)
    with fits.open(write_map(tmp_path / "m.fits"), mode="update") as h:
        h[1].data["EBV"][:] = -1.6375e30
    with pytest.raises(InputError, match=r"no E\(B-V\) at RA 57\.00000"):
        reddening_at(tmp_path / "m.fits", RA, DEC)


def test_a_store_is_dereddened_with_the_map(sky, tmp_path):
    path = write_map(tmp_path / "m.fits")
    settings = {"source": str(sky.path), "bands": []}
    ingest(IngestConfig(**settings), tmp_path / "a")
    cfg = IngestConfig(**settings, deredden=True, ebv_map=str(path), ebv_scale=0.86)
    ingest(cfg, tmp_path / "b")
    a, b = (GalaxyStore.open(tmp_path / n).read() for n in "ab")
    factor = dereddening(SED_BANDS, 0.86 * reddening_at(path, a.ra, a.dec))
    np.testing.assert_allclose(b.flux, a.flux * factor, rtol=1e-5)
    assert (factor > 1).all() and (factor[:, 0] > factor[:, -1]).all()
    with pytest.raises(InputError, match="add --deredden true"):
        IngestConfig(**settings, ebv_map=str(path))


def test_a_source_without_catalogue_fluxes_is_told(tmp_path):
    (tmp_path / "t.csv").write_text("i,g\n1,2.0\n")
    with pytest.raises(InputError, match="deredden is for the MER catalogue"):
        ingest(IngestConfig(source=str(tmp_path / "t.csv"), recipe="zcosmos", deredden=True), tmp_path / "s")
