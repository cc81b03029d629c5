"""Validation of a mock sky: the figures, and its distance from real data, in one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.bands import BANDS, EUCLID_BANDS
from euclidfm.core.errors import InputError
from euclidfm.core.files import write_json
from euclidfm.core.units import ujy_per_count
from euclidfm.simulate.seds.flux_table import Table
from euclidfm.simulate.validation import compare, figures, realism

__all__ = ["summary_lines", "validate_sky"]


def validate_sky(
    sky_dir: str | Path,
    out_dir: str | Path,
    real_dir: str | Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Draw the validation figures of a mock sky and measure its distance from real data.

    Parameters
    ----------
    sky_dir : str or Path
        A folder that `simulate_sky` wrote.
    out_dir : str or Path
        Folder for ``counts.png``, ``redshifts.png``, ``planes.png``, ``contact.png``, with real
        data also ``zcosmos.png``, ``desi.png`` and ``hst.png``, and ``validation.json``.
    real_dir : str or Path, optional
        Folder of real tables; default ``EUCLIDFM_REAL_DATA`` or ``../shared/data``. Without
        it the comparisons are left out and ``real_data`` is False.
    progress : callable, optional
        ``progress(done, total, what)``.

    Returns
    -------
    dict
        The contents of ``validation.json``.
    """
    sky, out = Path(sky_dir), Path(out_dir)
    if not (sky / "truth.parquet").is_file():
        msg = f"{sky} holds no truth.parquet; give a folder that 'euclidfm simulate' wrote"
        raise InputError(msg)
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    report = progress or (lambda done, total, what: None)
    truth, photometry = _read_tables(sky)
    bands = tuple(k.removeprefix("flux_") for k in truth if k.startswith("flux_"))

    report(0, 5, "real tables")
    real = compare.real_data_folder(real_dir)
    result: dict[str, Any] = {"sky": sky.name, "objects": len(truth["z"]), "real_data": real is not None}
    zcosmos = None if real is None else compare.zcosmos_pair(real, rng)
    if real is not None and zcosmos is not None:
        result |= _against_real(real, zcosmos, out, rng)
    report(1, 5, "counts")
    _, counts = figures.plot_counts(out / "counts.png", 25.0, rng)
    result |= counts
    report(2, 5, "redshifts")
    figures.plot_redshifts(out / "redshifts.png", truth, zcosmos, rng)
    figures.plot_planes(out / "planes.png", truth, photometry, bands)
    report(3, 5, "contact sheet")
    images, positions, result["mock_sky_pixels"] = _read_images(sky, truth)
    noise = {b: BANDS[b].pixel_rms_ujy * BANDS[b].noise_correlation for b in EUCLID_BANDS}
    figures.contact_sheet(out / "contact.png", images, truth, positions, noise)
    write_json(out / "validation.json", result)
    report(5, 5, "done")
    return result


def _against_real(
    real: Path, zcosmos: tuple[compare.Sample, compare.Sample], out: Path, rng: np.random.Generator
) -> dict[str, Any]:
    """Comparisons with zCOSMOS, DESI, HST galaxies and the noise of Q1."""
    result = {
        "zcosmos": _compare(out / "zcosmos.png", "zCOSMOS-bright, i < 22.5, matched in (z, i)", *zcosmos)
    }
    desi = compare.desi_pair(real, rng)
    result["desi"] = _compare(out / "desi.png", "DESI bright galaxies, r < 19.5, matched in (z, r)", *desi)
    hst = realism.measure_hst_galaxies(real, 25.2, rng)
    mock = realism.measure_mock_galaxies(hst["mag"], 1, rng)
    title = "HST galaxies re-drawn as VIS, matched in magnitude"
    result["hst_structure"] = _compare(out / "hst.png", title, hst, mock, with_alignment=False)
    result["q1_sky_pixels"] = compare.q1_noise(real)
    return result


def summary_lines(result: dict[str, Any]) -> list[str]:
    """The result of `validate_sky` for the screen, a line per comparison."""
    lines = []
    for key, name in (("zcosmos", "zCOSMOS"), ("desi", "DESI"), ("hst_structure", "HST structure")):
        if key in result:
            d = result[key]
            distances = ", ".join(f"{column} {v['ks']:.2f}" for column, v in d["distances"].items())
            lines.append(f"{name}: real-or-mock accuracy {d['classifier_accuracy']:.2f}; KS {distances}")
    if not result["real_data"]:
        lines.append("no real tables found (--real FOLDER or EUCLIDFM_REAL_DATA): comparisons left out")
    to = result["galaxies_to_vis_24_5"]
    lines.append(f"galaxies per arcmin2 to VIS 24.5: {to['mock']:.1f} (expected {to['expected']:.0f})")
    for band, ratio in result["mock_over_published_counts"].items():
        values = ", ".join(f"{mag} {r:.2f}" for mag, r in ratio.items())
        lines.append(f"counts over published, {band}: {values}")
    return lines


def _compare(
    path: Path, title: str, real: compare.Sample, mock: compare.Sample, with_alignment: bool = True
) -> dict[str, Any]:
    """Overlay, distances and classifier accuracy of a pair of samples."""
    scores = compare.distances(real, mock)
    figures.plot_overlay(path, title, real, mock, scores)
    out: dict[str, Any] = {
        "real": len(real.values),
        "mock": len(mock.values),
        "distances": scores,
        "classifier_accuracy": compare.classifier_accuracy(real.values, mock.values),
    }
    if with_alignment:
        moved = compare.aligned(real, mock)
        out["classifier_accuracy_medians_aligned"] = compare.classifier_accuracy(real.values, moved.values)
    return out


def _read_tables(sky: Path) -> tuple[Table, Table]:
    """Truth, and photometry in the same order."""
    import pyarrow.parquet as pq
    from astropy.io import fits

    truth = {k: np.asarray(v) for k, v in pq.read_table(sky / "truth.parquet").to_pydict().items()}
    files = sorted((sky / "catalogs" / "MER_FINAL_CATALOG").glob("*/EUC_MER_FINAL-CAT_*.fits"))
    parts = [fits.getdata(f, 1) for f in files]
    names = ("OBJECT_ID", "MUMAX_MINUS_MAG", "POINT_LIKE_PROB", "SEGMENTATION_AREA")
    photometry = {k: np.concatenate([np.asarray(p[k]) for p in parts]) for k in names}
    if not np.array_equal(photometry["OBJECT_ID"], truth["object_id"]):
        msg = f"{sky}: the catalogues and truth.parquet list different objects; simulate the sky again"
        raise InputError(msg)
    return truth, photometry


def _read_images(
    sky: Path, truth: Table, most: int = 4
) -> tuple[dict[str, dict[str, np.ndarray]], np.ndarray, dict[str, Any]]:
    """Images of the first tiles in µJy, positions of their objects, and sky statistics of the first.

    Objects of other tiles are dropped from `truth`, in place.
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    tiles = sorted(set(truth["tile"]))[:most]
    keep = np.isin(truth["tile"], tiles)
    for k in list(truth):
        truth[k] = truth[k][keep]
    images: dict[str, dict[str, np.ndarray]] = {}
    statistics: dict[str, Any] = {}
    positions = np.zeros((len(truth["tile"]), 2))
    for tile in tiles:
        images[tile] = {}
        for b in EUCLID_BANDS:
            stem = BANDS[b].mosaic
            path = next((sky / "MER" / tile).glob(f"*/EUC_MER_BGSUB-MOSAIC-{stem}_*.fits"))
            with fits.open(path, memmap=False) as hdus:
                header = hdus[0].header
                images[tile][b] = hdus[0].data * np.float32(ujy_per_count(header["MAGZERO"]))
            if tile == tiles[0]:
                rms = fits.getdata(next((sky / "MER" / tile).glob(f"*/EUC_MER_MOSAIC-{stem}-RMS_*.fits")))
                scaled = np.where(rms < 1e15, rms * ujy_per_count(header["MAGZERO"]), 1e16)
                statistics[b] = compare.sky_statistics(images[tile][b][:1500, :1500], scaled[:1500, :1500])
        here = truth["tile"] == tile
        positions[here] = np.column_stack(
            WCS(header).world_to_pixel_values(truth["ra"][here], truth["dec"][here])
        )
    return images, positions, statistics
