"""Comparison of mock and real samples: distances between them, and a classifier.

The mock sample is drawn from the same population as the sky, through the filters and the flux
limit of the real catalogue, with its errors. So the comparison measures the difference of the
spectra, not of the selections.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from euclidfm.core.bands import EUCLID_BANDS, band
from euclidfm.core.errors import InputError
from euclidfm.core.units import abmag_from_ujy, ujy_per_count
from euclidfm.simulate.population.parent import draw_parent, galaxy_fluxes
from euclidfm.simulate.seds.flux_table import galaxy_table

__all__ = [
    "Sample", "aligned", "classifier_accuracy", "desi_pair", "distances", "q1_noise", "real_data_folder",
    "sky_statistics", "zcosmos_pair",
]  # fmt: skip


COSMOS_CURVES = (
    "cfht_megacam-ustar",
    *(f"{curve}@{band(name).wavelength_nm}" for curve, name in (
        ("bessell-V", "V_subaru"), ("hsc2017-r", "r_subaru"), ("hsc2017-i", "i_subaru"),
        ("hsc2017-z", "z_subaru"), ("twomass-Ks", "K_cfht"),
    )),
)  # fmt: skip
"""Curves of u* V r+ i+ z+ K: MegaCam's own, the others like Subaru's and WIRCam's (speclite lacks those)."""


@dataclass(frozen=True)
class Sample:
    """A table of numbers, one row per galaxy.

    Attributes
    ----------
    names : tuple of str
    values : array of shape ``(galaxies, columns)``
    """

    names: tuple[str, ...]
    values: np.ndarray

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[:, self.names.index(name)]


def real_data_folder(given: str | Path | None = None) -> Path | None:
    """Folder of real tables: `given`, ``EUCLIDFM_REAL_DATA`` or ``../shared/data``; None if missing."""
    if given is not None:
        if not Path(given).is_dir():
            msg = f"{given} is not a folder; give the one that holds zcosmos/ and desi_bgs/"
            raise InputError(msg)
        return Path(given)
    folder = Path(os.environ.get("EUCLIDFM_REAL_DATA", Path(__file__).parents[5] / "shared" / "data"))
    return folder if folder.is_dir() else None


def _draw_flux_limited(
    curves: tuple[str, ...], limit_curve: str, limit: float, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Magnitudes, redshifts and log masses of `n` or more mock galaxies brighter than a limit.

    Fewer if 800 000 draws do not give them.
    """
    table = galaxy_table(curves)
    column = curves.index(limit_curve)
    mags, zs, masses, have = [], [], [], 0
    for _ in range(8):
        t = draw_parent(100_000, rng)
        bulge, disc = galaxy_fluxes(t, table)
        m = abmag_from_ujy(bulge + disc)
        keep = (m[:, column] < limit) & (m[:, column] > 15.0)
        mags.append(m[keep])
        zs.append(t["z"][keep])
        masses.append(t["log_mass"][keep])
        have += int(keep.sum())
        if have >= n:
            break
    return np.concatenate(mags), np.concatenate(zs), np.concatenate(masses)


def _matched(
    real: np.ndarray, mock: np.ndarray, rng: np.random.Generator, steps: tuple[float, ...]
) -> np.ndarray:
    """Indices of mock rows with the distribution of the real ones, cell by cell, without repetition."""
    keys_real = np.floor(real / np.asarray(steps)).astype(int)
    keys_mock = np.floor(mock / np.asarray(steps)).astype(int)
    cells: dict[tuple[int, ...], list[int]] = {}
    for i, k in enumerate(map(tuple, keys_mock)):
        cells.setdefault(k, []).append(i)
    for members in cells.values():
        rng.shuffle(members)
    chosen = [cells[k].pop() for k in map(tuple, keys_real) if cells.get(k)]
    return np.asarray(chosen, int)


def zcosmos_pair(folder: Path, rng: np.random.Generator) -> tuple[Sample, Sample]:
    """Colours of zCOSMOS-bright galaxies with secure redshifts, and of mock ones matched in (z, i).

    u V r i z K; J and B are left out for their known zero-point offsets (Ilbert et al.
    2009, ApJ 690, 1236, Table 1).
    """
    data = np.genfromtxt(folder / "zcosmos" / "zcosmost_bright20k.csv", delimiter=",", names=True)
    bands = ("u", "v", "r", "i", "z", "k")
    mag = np.column_stack([data[f"{b}_photzi25"] for b in bands])
    err = np.column_stack([data[f"e{b}_photzi25"] for b in bands])
    confidence = np.mod(data["cc"], 10)
    secure = ((confidence >= 3) & (confidence < 5)) | (confidence == 2.5)
    z = data["zpec"]
    ok = secure & (z > 0.03) & (z < 1.4) & (mag > 10).all(1) & (mag[:, 3] < 22.5) & (mag[:, 3] > 17)
    z, mag, err = z[ok], mag[ok], np.clip(err[ok], 0.005, 0.5)
    mock, mock_z, _ = _draw_flux_limited(COSMOS_CURVES, COSMOS_CURVES[3], 22.5, 40_000, rng)
    pick = _matched(np.column_stack([z, mag[:, 3]]), np.column_stack([mock_z, mock[:, 3]]), rng, (0.05, 0.5))
    noisy = (
        mock[pick]
        + rng.standard_normal((pick.size, len(bands))) * err[rng.integers(len(err), size=pick.size)]
    )
    names = ("z", "i", "u-V", "V-r", "r-i", "i-z", "z-K")
    return _colours(names, z, mag, 3), _colours(names, mock_z[pick], noisy, 3)


def _colours(names: tuple[str, ...], z: np.ndarray, mag: np.ndarray, reference: int) -> Sample:
    return Sample(names, np.column_stack([z, mag[:, reference], mag[:, :-1] - mag[:, 1:]]))


def desi_pair(folder: Path, rng: np.random.Generator) -> tuple[Sample, Sample]:
    """Colours and stellar masses of DESI bright galaxies (r < 19.5), and of mock ones matched in (z, r)."""
    files = sorted((folder / "desi_bgs").glob("rosette*.csv"))
    data = np.concatenate([np.genfromtxt(f, delimiter=",", names=True) for f in files])
    nmgy = np.column_stack([data[f"FLUX_{b}_DERED"] for b in "GRZ"])
    with np.errstate(divide="ignore", invalid="ignore"):
        mag = 22.5 - 2.5 * np.log10(nmgy)
    z, mass = data["Z"], data["PROVABGS_LOGMSTAR_BF"]
    ok = np.isfinite(mag).all(1) & (mag[:, 1] < 19.5) & (mag[:, 1] > 15) & (z > 0.03) & (z < 0.6) & (mass > 7)
    z, mag, mass = z[ok], mag[ok], mass[ok]
    keep = rng.permutation(len(z))[:6000]
    z, mag, mass = z[keep], mag[keep], mass[keep]
    curves = ("decam2014-g", "decam2014-r", "decam2014-z")
    mock, mock_z, mock_mass = _draw_flux_limited(curves, "decam2014-r", 19.5, 20_000, rng)
    pick = _matched(np.column_stack([z, mag[:, 1]]), np.column_stack([mock_z, mock[:, 1]]), rng, (0.04, 0.75))
    noisy = mock[pick] + 0.02 * rng.standard_normal((pick.size, 3))
    names = ("z", "r", "g-r", "r-z", "log_mass")
    real = Sample(names, np.column_stack([z, mag[:, 1], mag[:, 0] - mag[:, 1], mag[:, 1] - mag[:, 2], mass]))
    colours = np.column_stack([noisy[:, 0] - noisy[:, 1], noisy[:, 1] - noisy[:, 2]])
    noisy_mass = mock_mass[pick] + 0.1 * rng.standard_normal(pick.size)
    return real, Sample(names, np.column_stack([mock_z[pick], noisy[:, 1], colours, noisy_mass]))


def distances(real: Sample, mock: Sample) -> dict[str, dict[str, float]]:
    """Two-sample distances of each column.

    Returns
    -------
    dict
        For each column the Kolmogorov-Smirnov distance, the Wasserstein distance in the
        column's unit, and the median of mock minus real.
    """
    from scipy.stats import ks_2samp, wasserstein_distance

    out = {}
    for name in real.names:
        a, b = real[name], mock[name]
        out[name] = {
            "ks": float(ks_2samp(a, b).statistic),
            "wasserstein": float(wasserstein_distance(a, b)),
            "median_mock_minus_real": float(np.median(b) - np.median(a)),
        }
    return out


def classifier_accuracy(real: np.ndarray, mock: np.ndarray, seed: int = 0, largest: int = 3000) -> float:
    """Balanced accuracy (5-fold) of boosted trees at telling real from mock; 0.5 is perfect realism."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    n = min(len(real), len(mock), largest)
    rng = np.random.default_rng(seed)
    a, b = real[rng.permutation(len(real))[:n]], mock[rng.permutation(len(mock))[:n]]
    x, y = np.vstack([a, b]), np.repeat([0, 1], n)
    model = HistGradientBoostingClassifier(max_iter=80, random_state=seed)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return float(cross_val_score(model, x, y, cv=folds, scoring="balanced_accuracy").mean())


def aligned(real: Sample, mock: Sample) -> Sample:
    """The mock with the median offset of each colour removed, as errors of zero points would cause."""
    shift = np.median(real.values, axis=0) - np.median(mock.values, axis=0)
    shift[:2] = 0.0
    return Sample(mock.names, mock.values + shift)


def sky_statistics(image: np.ndarray, rms: np.ndarray) -> dict[str, float]:
    """Scatter of sky pixels over the RMS map, and the correlation of neighbours.

    Sky pixels are those far from anything bright; scatter is from the dark side of their
    histogram, which faint sources do not fill.
    """
    from scipy import ndimage

    good = (rms > 0) & (rms < 1e15) & np.isfinite(image)
    ratio = np.where(good, image / np.where(good, rms, 1), 0.0)
    source = ndimage.gaussian_filter(ratio, 2.0) > 0.35
    sky = good & ~ndimage.binary_dilation(source, iterations=6)
    values = ratio[sky]
    low, middle = np.percentile(values, [15.865, 50])
    both = sky[:, 1:] & sky[:, :-1]
    centred = ratio - middle
    pair = np.corrcoef(centred[:, 1:][both], centred[:, :-1][both])[0, 1]
    return {
        "scatter_over_rms": float(middle - low),
        "neighbour_correlation": float(pair),
        "pixels": int(sky.sum()),
    }


def q1_noise(folder: Path) -> dict[str, dict[str, float]]:
    """Sky statistics of the real Q1 cutout of a group of galaxies (300 x 300 pixels), by band."""
    from astropy.io import fits

    out = {}
    with fits.open(folder / "euclid_q1" / "group_300px.fits") as hdus:
        for name in EUCLID_BANDS:
            stem = band(name).extension
            image, rms = hdus[f"{stem}_FLUX"], hdus[f"{stem}_RMS"].data
            out[name] = sky_statistics(np.asarray(image.data, float), np.asarray(rms, float))
            scale = ujy_per_count(float(image.header["MAGZERO"]))
            out[name]["rms_ujy"] = float(np.median(rms[rms < 1e15]) * scale)
    return out
