"""Images as archives give them: frames, scales, gaps, compressed and odd files, edges, copies."""

import gzip
import shutil

import astropy.units as u
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.ingest.images.mosaic import to_ujy
from euclidfm.ingest.images.plane import Plane
from euclidfm.ingest.images.sky_wcs import pixels_of, read_wcs, sky_of
from euclidfm.store import GalaxyStore

CENTRE = SkyCoord(150.0 * u.deg, 2.0 * u.deg)
SIDE = 65
ZERO = 24.6
UJY = 10 ** (0.4 * (23.9 - ZERO))


def tan(lon=150.0, lat=2.0, scale=0.1, types=("RA---TAN", "DEC--TAN"), side=SIDE):
    w = WCS(naxis=2)
    w.wcs.ctype, w.wcs.crval, w.wcs.crpix = list(types), [lon, lat], [(side + 1) / 2] * 2
    w.wcs.cdelt = [-scale / 3600, scale / 3600]
    return w


def swapped():
    w = tan(types=("DEC--TAN", "RA---TAN"))
    w.wcs.crval, w.wcs.cdelt = [2.0, 150.0], [0.1 / 3600, -0.1 / 3600]
    return w


def in_frame(frame, types=("RA---TAN", "DEC--TAN"), radesys="", equinox=None):
    c = CENTRE.transform_to(frame)
    w = tan(c.spherical.lon.deg, c.spherical.lat.deg, types=types)
    w.wcs.radesys = radesys
    if equinox:
        w.wcs.equinox = equinox
    return w


def blob(total=30.0, x=(SIDE - 1) / 2, y=(SIDE - 1) / 2, side=SIDE):
    yy, xx = np.mgrid[:side, :side]
    return total / (2 * np.pi * 2.25) * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 4.5)


def hdus(wcs=None, total=30.0, image=None, names=("VIS_FLUX", "VIS_RMS"), cards=None):
    header = (wcs or tan()).to_header(relax=True)
    header["MAGZERO"] = ZERO
    header.update(cards or {})
    image = blob(total) if image is None else image
    rms = np.full(image.shape[-2:], 0.002)
    parts = zip(names, (image, rms), strict=True)
    return [fits.PrimaryHDU(), *(fits.ImageHDU((p / UJY).astype("f4"), header, name=n) for n, p in parts)]


def cutout(path, *args, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList(hdus(*args, **kwargs)).writeto(path)
    return path


def read(source, size=32):
    out = source.with_name(f"store-{source.name}")
    ingest(
        IngestConfig(source=str(source), bands=("VIS",), sed_bands=("VIS",), size=size), out, overwrite=True
    )
    why = out / "quarantine.parquet"
    told = pq.read_table(why).column("reason").to_pylist() if why.exists() else []
    return GalaxyStore.open(out).read(), told


# --- from a header to the sky


@pytest.mark.parametrize(
    "wcs",
    [
        tan(),
        in_frame("galactic", ("GLON-TAN", "GLAT-TAN")),
        in_frame("fk4", radesys="FK4", equinox=1950.0),
        in_frame("fk5", radesys="FK5", equinox=2000.0),
        swapped(),
    ],
    ids=["icrs", "galactic", "fk4", "fk5", "swapped"],
)
def test_frames_become_icrs(tmp_path, wcs):
    g, _ = read(cutout(tmp_path / "c" / "c.fits", wcs).parent)
    assert SkyCoord(g.ra[0] * u.deg, g.dec[0] * u.deg).separation(CENTRE).arcsec < 0.05
    x, y = pixels_of(wcs, np.array([150.0]), np.array([2.0]))
    assert (x[0], y[0]) == pytest.approx((32, 32), abs=0.3)


@pytest.mark.parametrize("types", [("ELON-TAN", "ELAT-TAN"), ("SLON-TAN", "SLAT-TAN")])
def test_other_frames_are_refused(tmp_path, types):
    with pytest.raises(InputError, match=f"coordinates {types[0]}"):
        read(cutout(tmp_path / "c" / "c.fits", tan(types=types)).parent)


def test_distortion_counts():
    header = tan(types=("RA---TAN-SIP", "DEC--TAN-SIP")).to_header()
    header.update(
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-3}
    )
    header.update({"B_0_2": 1e-3})
    wcs = read_wcs("f", header)
    assert sky_of(wcs, 60.0, 32.0)[0] != pytest.approx(sky_of(tan(), 60.0, 32.0)[0], abs=1e-6)
    x, y = pixels_of(wcs, *sky_of(wcs, np.array([60.0, 3.0]), np.array([32.0, 9.0])))
    assert x == pytest.approx([60, 3], abs=1e-3)
    assert y == pytest.approx([32, 9], abs=1e-3)
    header = tan().to_header()
    header.update({"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.01, "PV2_1": 1.01})
    tpv = read_wcs("f", header)
    away = [(sky_of(w, 60.0, 32.0)[0] - 150.0) for w in (tpv, tan())]
    assert away[0] / away[1] == pytest.approx(1.01, rel=1e-3)


@pytest.mark.parametrize("scale", [0.3, 0.05, 0.11])
def test_another_pixel_scale_is_refused(tmp_path, scale):
    with pytest.raises(InputError, match=rf"{scale:g} arcsec a pixel and 0.1 is expected"):
        read(cutout(tmp_path / "c" / "c.fits", tan(scale=scale)).parent)


@pytest.mark.parametrize(
    ("cards", "factor"),
    [
        ({"MAGZERO": 23.9}, 1.0),
        ({"BUNIT": "nJy"}, 1e-3),
        ({"BUNIT": "Jy/pixel"}, 1e6),
        ({"BUNIT": "nJy", "MAGZERO": 31.4}, 1e-3),
        ({"BUNIT": "nanomaggy"}, 3.6308),
        ({"BUNIT": "MJy/sr"}, 0.23504),
        ({"BUNIT": "electron/s", "MAGZERO": 23.9}, 1.0),
    ],
)
def test_units_of_images(cards, factor):
    assert to_ujy("f", fits.Header(cards), tan()) == pytest.approx(factor, rel=1e-3)


@pytest.mark.parametrize(
    ("cards", "told"),
    [
        ({}, "no numeric MAGZERO"),
        ({"BUNIT": "nJy", "MAGZERO": 23.9}, "contradict each other"),
        ({"BUNIT": "mag", "MAGZERO": 23.9}, "BUNIT 'mag'"),
        ({"BUNIT": "K"}, "BUNIT 'K'"),
        ({"MAGZERO": 23.9, "FLUXAPPX": True}, "without conserving flux"),
    ],
)
def test_units_of_images_that_are_none(cards, told):
    with pytest.raises(InputError, match=told):
        to_ujy("f", fits.Header(cards), tan())


# --- planes of mosaics


def plane(path, data, **cards):
    header = tan().to_header()
    header.update(cards)
    fits.PrimaryHDU(data, header).writeto(path, output_verify="ignore")
    return Plane(path).pixels()


def test_integers_with_blank_and_scale(tmp_path):
    counts = np.arange(12, dtype=np.int32).reshape(3, 4) - 3
    blank = counts.copy()
    blank[0, 0] = -99999
    for kind in (np.int32, np.int64):
        found = plane(tmp_path / f"{kind.__name__}.fits", blank.astype(kind), BLANK=-99999)
        assert np.isnan(found[0, 0])
        assert found[1:].tolist() == counts[1:].tolist()
    file = tmp_path / "scaled.fits"
    fits.PrimaryHDU(counts.astype(np.int16), tan().to_header()).writeto(file)
    with fits.open(file, mode="update", do_not_scale_image_data=True) as f:
        f[0].header.update({"BSCALE": 0.5, "BZERO": 10.0, "BLANK": 8})
    found = Plane(file).pixels()
    assert np.isnan(found[2, 3])
    assert found[0] == pytest.approx(counts[0] * 0.5 + 10)
    assert plane(tmp_path / "u.fits", (counts + 3).astype(np.uint16)).tolist() == (counts + 3).tolist()
    assert plane(tmp_path / "plain.fits", counts).tolist() == counts.tolist()


def test_axes_of_one_pixel_and_the_hdu_with_the_sky(tmp_path):
    data = np.arange(12.0, dtype="f4").reshape(3, 4)
    assert plane(tmp_path / "cube.fits", data[None]).tolist() == data.tolist()
    assert plane(tmp_path / "cube4.fits", data[None, None]).tolist() == data.tolist()
    mask = fits.ImageHDU(np.zeros((3, 4), "i2"), name="MASK")
    science = fits.ImageHDU(data, tan().to_header(), name="SCI")
    for k, parts in enumerate(([mask, science], [science, mask])):
        fits.HDUList([fits.PrimaryHDU(np.arange(5.0)), *parts]).writeto(tmp_path / f"m{k}.fits")
        assert Plane(tmp_path / f"m{k}.fits").pixels().tolist() == data.tolist()
    fits.PrimaryHDU(np.zeros((2, 3, 4), "f4")).writeto(tmp_path / "c.fits")
    with pytest.raises(InputError, match=r"PRIMARY of shape \(2, 3, 4\)"):
        Plane(tmp_path / "c.fits")


@pytest.mark.parametrize("pack", ["gzip", "bz2", "lzma"])
def test_compression_that_the_name_does_not_tell(tmp_path, pack):
    data = np.arange(12.0, dtype="f4").reshape(3, 4)
    plane(tmp_path / "a.fits", data)
    module = __import__(pack)
    (tmp_path / "b.fits").write_bytes(module.compress((tmp_path / "a.fits").read_bytes()))
    assert Plane(tmp_path / "b.fits").pixels().tolist() == data.tolist()


# --- cutout files


def test_a_folder_of_all_kinds_of_fits(tmp_path):
    for k, name in enumerate("abcdef"):
        cutout(tmp_path / "c" / f"{name}.fits", tan(150 + k / 100), total=10.0 * (k + 1))
    folder = tmp_path / "c"
    (folder / "b.fits.gz").write_bytes(gzip.compress((folder / "b.fits").read_bytes()))
    with fits.open(folder / "c.fits") as f:
        packed = [fits.CompImageHDU(h.data, h.header, name=h.name, quantize_level=256) for h in f[1:]]
        fits.HDUList([fits.PrimaryHDU(), *packed]).writeto(folder / "c.fits.fz")
    for name in ("b.fits", "c.fits"):
        (folder / name).unlink()
    (folder / "d.fits").rename(folder / "d.FITS")
    (folder / "e.fits").rename(folder / "temp")
    (folder / "README").write_text("not an image")
    g, _ = read(folder)
    assert g.columns["file"].tolist() == ["a.fits", "b.fits.gz", "c.fits.fz", "d.FITS", "f.fits", "temp"]
    assert g.flux[:, 0] == pytest.approx([10, 20, 30, 40, 60, 50], rel=0.01)


def card(raw, text):
    end = raw.index(b"END" + b" " * 77, raw.index(b"MAGZERO ="))
    return raw[:end] + text.ljust(80).encode("latin-1") + raw[end : end + 80] + raw[end + 160 :]


HARMLESS = {
    "zeros": lambda b: b + b"\0" * 2880,
    "blanks": lambda b: b + b" " * 1000,
    "unquoted": lambda b: card(b, "OBSERVER= me without quotes"),
    "lower": lambda b: card(b, "observer= 'me'"),
    "undefined": lambda b: card(b, "TARGETX ="),
    "text": lambda b: card(b, "TARGETX = '32.0'"),
    "non-ascii": lambda b: card(b, "OBSERVER= 'M\u00fcller'"),
    "lower-extensions": lambda b: b.replace(b"'VIS_FLUX'", b"'vis_flux'").replace(b"'VIS_RMS ", b"'vis_rms "),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_harmless_trouble_does_no_harm(tmp_path, kind):
    file = cutout(tmp_path / "c" / "c.fits")
    file.write_bytes(HARMLESS[kind](file.read_bytes()))
    g, _ = read(file.parent)
    assert g.flux[0, 0] == pytest.approx(30, rel=0.01)
    assert not g.masks["VIS"].any()


def test_a_number_that_is_none_names_the_card(tmp_path):
    file = cutout(tmp_path / "c" / "c.fits")
    file.write_bytes(card(file.read_bytes(), "TARGETX = 'left'"))
    with pytest.raises(InputError, match="TARGETX 'left'"):
        read(file.parent)


def test_a_truncated_cutout_is_called_so(tmp_path):
    file = cutout(tmp_path / "c" / "c.fits")
    file.write_bytes(file.read_bytes()[:-9000])
    with pytest.raises(InputError, match="truncated"):
        read(file.parent)


def test_a_cube_of_one_plane_and_the_same_band_twice(tmp_path):
    g, _ = read(cutout(tmp_path / "c" / "c.fits", image=blob()[None]).parent)
    assert g.flux[0, 0] == pytest.approx(30, rel=0.01)
    parts = hdus()
    fits.HDUList([*parts, parts[1].copy()]).writeto(tmp_path / "d.fits")
    with pytest.raises(InputError, match="two extensions named VIS_FLUX"):
        read(tmp_path / "d.fits")


@pytest.mark.parametrize(
    ("x", "told"), [(32, 31.4159), (11, 31.4159), (2, np.nan), (0, np.nan), (-30, np.nan)]
)
def test_an_aperture_over_the_edge(tmp_path, x, told):
    flat = np.full((SIDE, SIDE), 0.1)
    g, _ = read(
        cutout(tmp_path / "c" / "c.fits", image=flat, cards={"TARGETX": x, "TARGETY": 32.0}).parent, 16
    )
    assert g.flux[0, 0] == pytest.approx(told, rel=1e-3, nan_ok=True)


def test_a_little_beyond_the_edge_is_made_up_for(tmp_path):
    flat = np.full((SIDE, SIDE), 0.1)
    g, _ = read(cutout(tmp_path / "c" / "c.fits", image=flat, cards={"TARGETX": 8.0}).parent, 16)
    assert g.flux[0, 0] == pytest.approx(31.4159, rel=1e-3)


def test_the_same_object_twice_goes_to_quarantine(tmp_path):
    for k in range(3):
        cutout(tmp_path / "c" / f"g{k}.fits", tan(150 + k / 100))
    shutil.copy(tmp_path / "c" / "g0.fits", tmp_path / "c" / "h-copy.fits")
    cutout(tmp_path / "c" / "i-near.fits", tan(150.01 + 0.1 / 3600))
    cutout(tmp_path / "c" / "j-apart.fits", tan(150.01 + 1.0 / 3600))
    g, why = read(tmp_path / "c")
    assert g.columns["file"].tolist() == ["g0.fits", "g1.fits", "g2.fits", "j-apart.fits"]
    assert why == ["its object_id occurs earlier, in g0.fits", "its object_id occurs earlier, in g1.fits"]
