from __future__ import annotations

import contextlib
import filecmp
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("speclite")
pytest.importorskip("rail.utils")

import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from euclidfm import cli
from euclidfm.core.bands import BANDS, EUCLID_BANDS, SED_BANDS
from euclidfm.core.errors import InputError
from euclidfm.core.units import ujy_per_count
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.simulate import PRESETS, SkyConfig, simulate_sky
from euclidfm.simulate.images.artefacts import star_ghost
from euclidfm.simulate.images.stamp import Stamp
from euclidfm.simulate.tile import make_tile
from euclidfm.store import GalaxyStore

SMALL = {"objects": 60, "tiles": 2, "seed": 7}


@pytest.fixture(scope="module")
def sky(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("sky")
    return folder, simulate_sky(SkyConfig(**SMALL), folder)


def table(folder: Path, pattern: str) -> Table:
    """Without astropy's masking of NaN."""
    (path,) = sorted(folder.rglob(pattern))[:1]
    return Table(fits.getdata(path, 1))


def test_layout(sky):
    folder, summary = sky
    for tile in ("102018000", "102018001"):
        vis = folder / "MER" / tile / "VIS"
        assert len(list(vis.glob(f"EUC_MER_BGSUB-MOSAIC-VIS_TILE{tile}-*Z_00.00.fits"))) == 1
        assert len(list(vis.glob(f"EUC_MER_MOSAIC-VIS-RMS_TILE{tile}-*Z_00.00.fits"))) == 1
        assert len(list(vis.glob(f"EUC_MER_MOSAIC-VIS-FLAG_TILE{tile}-*Z_00.00.fits"))) == 1
        assert len(list((folder / "MER" / tile / "NISP").iterdir())) == 9
        assert len(list((folder / "catalogs" / "MER_FINAL_CATALOG" / tile).iterdir())) == 2
    assert (folder / "catalogs" / "spectroscopy.fits").is_file()
    assert summary["objects"] == 60 == sum(summary["kinds"].values())
    assert not list(folder.rglob("*partial*"))


def test_images(sky):
    folder, _ = sky
    for band in EUCLID_BANDS:
        mosaic = BANDS[band].mosaic
        (image,) = folder.rglob(f"*BGSUB-MOSAIC-{mosaic}_TILE102018000-*")
        (rms,) = folder.rglob(f"*MOSAIC-{mosaic}-RMS_TILE102018000-*")
        (flag,) = folder.rglob(f"*MOSAIC-{mosaic}-FLAG_TILE102018000-*")
        header = fits.getheader(image)
        assert header["MAGZERO"] == BANDS[band].magzero
        wcs = WCS(header)
        assert wcs.wcs.ctype[0] == "RA---TAN"
        np.testing.assert_allclose(np.abs(wcs.wcs.cdelt) * 3600, 0.1)
        data, noise, bits = fits.getdata(image), fits.getdata(rms), fits.getdata(flag)
        assert data.dtype.kind == noise.dtype.kind == "f"
        assert bits.dtype.kind == "i"
        assert bits.dtype.itemsize == 4
        lost = noise >= 1e15
        assert 0 < lost.mean() < 0.2
        assert np.all(bits[lost] & 1)
        typical = np.median(noise[~lost]) * ujy_per_count(header["MAGZERO"])
        assert typical == pytest.approx(BANDS[band].pixel_rms_ujy, rel=0.4)


def test_sky_pixels_are_correlated_as_the_survey_table_says(sky):
    folder, _ = sky
    for band in EUCLID_BANDS:
        mosaic = BANDS[band].mosaic
        data = fits.getdata(next(folder.rglob(f"*BGSUB-MOSAIC-{mosaic}_TILE102018000-*")))
        noise = fits.getdata(next(folder.rglob(f"*MOSAIC-{mosaic}-RMS_TILE102018000-*")))
        ratio = (data / noise)[noise < 1e15]
        low, middle = np.percentile(ratio, [5, 30])  # the dark side of the histogram is sky
        assert (middle - low) / (1.645 - 0.524) == pytest.approx(BANDS[band].noise_correlation, rel=0.35)


def test_catalogue_columns(sky):
    folder, _ = sky
    cat = table(folder, "EUC_MER_FINAL-CAT_TILE102018000-*")
    text = Path(__file__).parents[2].joinpath("docs", "sky-files.md").read_text()
    section = text.split("**Photometry catalogue**")[1].split("**Morphology")[0]
    for name in (
        "SPURIOUS_PROB",
        "POINT_LIKE_PROB",
        "SEGMENTATION_AREA",
        "KRON_RADIUS",
        "GAL_EBV",
        "FLUX_VIS_PSF",
    ):
        assert name in section
        assert name in cat.colnames
    stems = [BANDS[b].column.upper() for b in SED_BANDS if b != "VIS"]
    for stem in (
        *(f"{s}_TEMPLFIT" for s in stems),
        *(f"VIS_TO_{s}_TEMPLFIT" for s in stems),
        "DETECTION_TOTAL",
    ):
        assert f"FLUX_{stem}" in cat.colnames
        assert f"FLUXERR_{stem}" in cat.colnames
    for k in (1, 2, 3, 4):
        assert f"FLUX_VIS_{k}FWHM_APER" in cat.colnames
    assert cat["OBJECT_ID"].dtype.kind == "i"
    assert cat["OBJECT_ID"].dtype.itemsize == 8
    assert np.all(cat["OBJECT_ID"] < 0)  # the field is in the south
    ra, dec = cat["RIGHT_ASCENSION"][0], cat["DECLINATION"][0]
    assert cat["OBJECT_ID"][0] == -(round(1e7 * ra) * 10**9 + round(1e7 * abs(dec)))
    assert len(np.unique(cat["OBJECT_ID"])) == len(cat)


def test_morphology_columns_are_concentrations(sky):
    folder, _ = sky
    morph = table(folder, "EUC_MER_FINAL-MORPH-CAT_TILE102018000-*")
    for question in (
        "SMOOTH_OR_FEATURED_SMOOTH",
        "DISK_EDGE_ON_YES",
        "BAR_WEAK",
        "MERGING_MINOR_DISTURBANCE",
    ):
        values = np.asarray(morph[question])
        assert np.isnan(values).any()
        assert np.nanmin(values) >= 1.0
        assert np.nanmax(values) > 1.5
    assert np.all(np.asarray(morph["SERSIC_SERSIC_VIS_AXIS_RATIO"]) <= 1.0)


def test_truth_and_spectroscopy(sky):
    folder, _ = sky
    truth = pq.read_table(folder / "truth.parquet").to_pydict()
    assert set(truth["kind"]) >= {"galaxy", "star"}
    assert {"object_id", "tile", "ra", "dec", "subtype", "z", "log_mass", "re_arcsec", "axis_ratio"} <= set(
        truth
    )
    assert {f"flux_{b}" for b in SED_BANDS} <= set(truth)
    spec = table(folder, "spectroscopy.fits")
    assert {"TARGETID", "RA", "DEC", "Z", "ZERR", "ZWARN", "SPECTYPE", "LOGM", "LOGM_ERR", "CHI2"} == set(
        spec.colnames
    )
    truth_dec = np.array(truth["dec"])
    nearest = [np.abs(truth_dec - d).min() * 3600 for d in spec["DEC"]]
    assert max(nearest) < 0.3


def test_the_light_in_a_mosaic_is_that_of_its_sources(monkeypatch):
    """A sparse sky: the sum of each mosaic is the sum of the true fluxes (wings and rims apart)."""
    cfg = SkyConfig(
        objects=30, tiles=1, seed=5, density=1.0, star_fraction=0.3, artefact_fraction=0.0, blend_fraction=0.0
    )
    nothing = Stamp(np.zeros((4, 1, 1), np.float32), np.zeros((4, 1, 1), np.int32))
    monkeypatch.setattr("euclidfm.simulate.tile.draw_artefact", lambda subtype, rng: nothing)
    monkeypatch.setattr("euclidfm.simulate.tile.long_trail", lambda size, rng: np.float32(0))
    tile = make_tile(cfg, 0)
    size = cfg.tile_pixels
    for band in EUCLID_BANDS:
        true = found = 0.0
        for s in tile.sources:
            flux = s.flux[SED_BANDS.index(band)]
            x, y = round(s.x), round(s.y)
            if flux > 100 or min(x, y) < size // 7 or max(x, y) > size - 60:
                continue
            true += flux
            found += float(tile.image[band][y - 50 : y + 51, x - 50 : x + 51].sum())
        assert true > 20
        assert found == pytest.approx(true, rel=0.06)


def test_same_files_with_one_and_two_processes(sky, tmp_path):
    folder, summary = sky
    again = simulate_sky(SkyConfig(**SMALL, processes=2), tmp_path)
    assert again["files"] == summary["files"]
    for name in summary["files"]:
        assert filecmp.cmp(folder / name, tmp_path / name, shallow=False), name


def test_a_finished_tile_is_not_done_again(tmp_path):
    cfg = SkyConfig(objects=6, tiles=2, seed=3)
    simulate_sky(cfg, tmp_path)
    kept = next(tmp_path.rglob("*BGSUB-MOSAIC-VIS_TILE102018000-*"))
    lost = next(tmp_path.rglob("*BGSUB-MOSAIC-VIS_TILE102018001-*"))
    before, bytes_before = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    (tmp_path / ".parts" / "102018001.done").unlink()
    seen: list[tuple[int, int]] = []
    summary = simulate_sky(cfg, tmp_path, progress=lambda done, total, what: seen.append((done, total)))
    assert summary["tiles_done_before"] == 1
    assert kept.stat().st_mtime_ns == before
    assert lost.read_bytes() == bytes_before
    assert seen[0] == (3, 6)
    assert seen[-1] == (6, 6)
    with pytest.raises(InputError, match="another configuration"):
        simulate_sky(SkyConfig(objects=6, tiles=2, seed=4), tmp_path)


@pytest.mark.parametrize(
    "bad",
    [
        {"objects": 0},
        {"tiles": -1},
        {"objects": 3, "tiles": 4},
        {"preset": "hubble"},
        {"density": -1.0},
        {"star_fraction": 0.9, "quasar_fraction": 0.9},
        {"rarity_boost": 2.0},
        {"processes": -1},
        {"galaxies": 0},
        {"objects": 10_000_000, "tiles": 1},
    ],
)
def test_bad_configuration_is_one_clear_sentence(bad):
    with pytest.raises(InputError, match="sky configuration: "):
        SkyConfig(**bad)


def test_presets_differ_in_depth_and_sharpness():
    assert PRESETS["deeper"].noise < 1 < PRESETS["shallower"].noise
    assert PRESETS["other-survey"].psf > 1


def test_galaxies_wanted_are_galaxies_made(tmp_path):
    """As asked on the command line: about so many galaxies, a tile for every thousand objects."""
    cfg = SkyConfig(galaxies=50, seed=2)
    assert cfg.tiles == 1
    assert SkyConfig(galaxies=20_000).tiles == 25
    assert cli.main(["simulate", "--galaxies", "50", "--seed", "2", "--out", str(tmp_path / "sky")]) == 0
    kinds = pq.read_table(tmp_path / "sky" / "truth.parquet")["kind"].to_pylist()
    assert abs(kinds.count("galaxy") - 50) <= 3
    assert len(kinds) == cfg.objects


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_is_read_by_ingest(preset, tmp_path):
    """Images of four bands and nine fluxes, in that preset's bands, with that preset's noise."""
    sky = tmp_path / "sky"
    cfg = SkyConfig(objects=24, tiles=1, seed=4, preset=preset, star_fraction=0.0, artefact_fraction=0.0)
    simulate_sky(cfg, sky)
    bands = PRESETS[preset].sed_bands
    config = IngestConfig(source=str(sky), size=32, sed_bands=bands, selection="everything-detected")
    summary = ingest(config, tmp_path / "store")
    assert summary["rows"] >= 20
    store = GalaxyStore.open(tmp_path / "store")
    galaxies = store.read(np.arange(len(store)))
    assert np.isfinite(galaxies.flux).mean() > 0.85
    seen = np.isfinite(galaxies.noise["VIS"]) & (galaxies.noise["VIS"] > 0)
    level = np.median(galaxies.noise["VIS"][seen]) / BANDS["VIS"].pixel_rms_ujy
    assert level == pytest.approx(PRESETS[preset].noise, rel=0.3)


def test_bright_stars_leave_ghosts_and_spikes():
    """A VIS 16 star: its ghost is flagged beside it, with half a per cent of its light."""
    flux = np.array([1445.0, 900.0, 900.0, 900.0])
    ghost = star_ghost(flux, np.random.default_rng(0))
    assert ghost.image[0].sum() == pytest.approx(0.005 * 1445.0, rel=1e-3)
    assert ghost.image[1:].sum() == 0
    assert (ghost.flag[0] & 32).sum() > 500
    size = ghost.image.shape[-1]
    assert ghost.image[0, size // 2, size // 2] < 0.1 * ghost.image[0].max()  # a hole in the middle


@pytest.mark.slow
def test_killed_at_any_moment_the_sky_is_the_same(sky, tmp_path):
    """kill -9 during the run, five times, then once more to the end: the same files."""
    folder, summary = sky
    command = [
        sys.executable,
        "-m",
        "euclidfm.cli",
        "simulate",
        "--objects",
        "60",
        "--tiles",
        "2",
        "--seed",
        "7",
    ]
    command += ["--processes", "1", "--out", str(tmp_path)]
    for delay in np.random.default_rng(0).uniform(1.0, 4.0, 5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        process.kill()
        process.wait()
    subprocess.run(command, check=True, capture_output=True)
    for name in summary["files"]:
        assert filecmp.cmp(folder / name, tmp_path / name, shallow=False), name
