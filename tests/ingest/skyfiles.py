"""A small sky of files in the Q1 formats, with point sources at known places; no simulator needed."""

from __future__ import annotations

import filecmp
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from euclidfm.core.bands import BANDS, EUCLID_BANDS, SED_BANDS
from euclidfm.core.units import ujy_per_count
from euclidfm.store import Galaxies, GalaxyStore

CAMERA = {"VIS": "VIS", "Y": "NISP", "J": "NISP", "H": "NISP", "g": "DECAM"}
GZ = {
    "SMOOTH_OR_FEATURED": ("SMOOTH", "FEATURED_OR_DISK", "ARTIFACT_STAR_ZOOM"),
    "DISK_EDGE_ON": ("YES", "NO"),
    "HAS_SPIRAL_ARMS": ("YES", "NO"),
    "MERGING": ("NONE", "MINOR_DISTURBANCE", "MAJOR_DISTURBANCE", "MERGER"),
}


@dataclass
class Sky:
    """Positions and fluxes that were put in, and where the files are."""

    path: Path
    tile: int = 102018211
    ra: np.ndarray = field(default_factory=lambda: np.zeros(0))
    dec: np.ndarray = field(default_factory=lambda: np.zeros(0))
    flux: np.ndarray = field(default_factory=lambda: np.zeros((0, 9)))
    object_id: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def mosaic(self, band: str, kind: str = "image", tile: int | None = None) -> Path:
        tile = self.tile if tile is None else tile
        stem = {"image": "BGSUB-MOSAIC-{b}", "RMS": "MOSAIC-{b}-RMS", "FLAG": "MOSAIC-{b}-FLAG"}[kind]
        name = f"EUC_MER_{stem.format(b=BANDS[band].mosaic)}_TILE{tile}-ABC123_20241024T201157.0Z_00.00.fits"
        return self.path / "MER" / str(tile) / CAMERA[band] / name

    def catalogue(self, kind: str = "CAT", tile: int | None = None) -> Path:
        tile = self.tile if tile is None else tile
        return (
            self.path
            / f"catalogs/MER_FINAL_CATALOG/{tile}/EUC_MER_FINAL-{kind}_TILE{tile}-X_20241024Z_00.00.fits"
        )

    def edit(self, change, kind: str = "CAT", tile: int | None = None) -> None:
        """Change a catalogue in place: `change` gets and returns a Table."""
        path = self.catalogue(kind, tile)
        change(Table.read(path)).write(path, overwrite=True)


def tan_wcs(ra: float, dec: float, shape: tuple[int, int]) -> WCS:
    w = WCS(naxis=2)
    w.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    w.wcs.crval = [ra, dec]
    w.wcs.crpix = [shape[1] / 2 + 0.5, shape[0] / 2 + 0.5]
    w.wcs.cdelt = [-0.1 / 3600, 0.1 / 3600]
    return w


def point_source(shape: tuple[int, int], x: float, y: float, flux: float, sigma: float = 1.2) -> np.ndarray:
    """A Gaussian that sums to `flux`, sampled at pixel centres."""
    yy, xx = np.arange(shape[0])[:, None] - y, np.arange(shape[1])[None, :] - x
    return flux / (2 * np.pi * sigma**2) * np.exp(-(xx**2 + yy**2) / (2 * sigma**2))


def write_mosaics(
    sky: Sky, images: dict[str, np.ndarray], wcs: WCS, tile: int | None = None, noise=True
) -> None:
    """Images in µJy, written as counts with each band's MAGZERO, RMS and flag maps."""
    for b, image in images.items():
        path = sky.mosaic(b, tile=tile)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = wcs.to_header()
        header["MAGZERO"] = BANDS[b].magzero
        scale = ujy_per_count(BANDS[b].magzero)
        fits.PrimaryHDU((image / scale).astype(np.float32), header).writeto(path, overwrite=True)
        if noise:
            rms = np.full(image.shape, BANDS[b].pixel_rms_ujy / scale, np.float32)
            fits.PrimaryHDU(rms, header).writeto(sky.mosaic(b, "RMS", tile), overwrite=True)
            flag = np.zeros(image.shape, np.int32)
            fits.PrimaryHDU(flag, header).writeto(sky.mosaic(b, "FLAG", tile), overwrite=True)


def catalogue(object_id, ra, dec, flux) -> Table:
    """MER photometry: `flux` is (N, 9) in µJy; the template fit holds half of it."""
    n = len(ra)
    t = Table({"OBJECT_ID": np.asarray(object_id, np.int64), "RIGHT_ASCENSION": ra, "DECLINATION": dec})
    t["VIS_DET"] = np.ones(n, np.int16)
    t["SPURIOUS_FLAG"] = np.zeros(n, np.int16)
    t["SPURIOUS_PROB"] = np.zeros(n, np.float32)
    t["DET_QUALITY_FLAG"] = np.zeros(n, np.int32)
    t["POINT_LIKE_PROB"] = np.full(n, 0.5, np.float32)
    t["MUMAX_MINUS_MAG"] = np.full(n, -1.0, np.float32)
    t["SEGMENTATION_AREA"] = np.full(n, 1500, np.int32)
    t["GAL_EBV"] = np.full(n, 0.02, np.float32)
    vis = flux[:, SED_BANDS.index("VIS")]
    t["FLUX_DETECTION_TOTAL"], t["FLUXERR_DETECTION_TOTAL"] = vis, 0.01 * vis
    t["FLUX_VIS_PSF"], t["FLUXERR_VIS_PSF"] = 0.9 * vis, 0.01 * vis
    for k, b in enumerate(SED_BANDS):
        if b != "VIS":
            stem = BANDS[b].column.upper()
            t[f"FLUX_{stem}_TEMPLFIT"], t[f"FLUXERR_{stem}_TEMPLFIT"] = flux[:, k] / 2, 0.02 * flux[:, k] / 2
            t[f"FLUX_VIS_TO_{stem}_TEMPLFIT"] = vis / 2
    return t


def morphology(object_id, classified: np.ndarray) -> Table:
    n = len(object_id)
    t = Table({"OBJECT_ID": np.asarray(object_id, np.int64), "GINI": np.full(n, 0.5)})
    for q, answers in GZ.items():
        for k, a in enumerate(answers):
            t[f"{q}_{a}"] = np.where(classified, 3.0 * (k + 1), np.nan)
    return t


def ids(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    sign = np.where(dec < 0, -1, 1)
    return sign * (np.round(1e7 * ra).astype(np.int64) * 10**9 + np.round(1e7 * np.abs(dec)).astype(np.int64))


def write_sky(
    path: Path,
    n: int = 12,
    side: int = 400,
    seed: int = 0,
    tile: int = 102018211,
    centre: tuple[float, float] = (57.0, -50.0),
    margin: int = 50,
    bands: tuple[str, ...] = EUCLID_BANDS,
    spectra: bool = True,
) -> Sky:
    """One tile with point sources; call again with another `tile` and `centre` to add one."""
    rng = np.random.default_rng([seed, tile])
    shape = (side, side)
    wcs = tan_wcs(*centre, shape)
    x, y = rng.uniform(margin, side - margin, (2, n))
    ra, dec = wcs.wcs_pix2world(x, y, 0)
    flux = rng.lognormal(1.0, 1.0, (n, 1)) * np.linspace(0.3, 2.0, 9)[None]
    sky = Sky(path, tile, ra, dec, flux, ids(ra, dec))
    images = {}
    for b in bands:
        images[b] = rng.normal(0, 0.1 * BANDS[b].pixel_rms_ujy, shape)
        for i in range(n):
            xa, ya = max(int(x[i]) - 15, 0), max(int(y[i]) - 15, 0)
            stamp = images[b][ya : ya + 31, xa : xa + 31]
            stamp += point_source(stamp.shape, x[i] - xa, y[i] - ya, flux[i, SED_BANDS.index(b)])
    write_mosaics(sky, images, wcs)
    sky.catalogue().parent.mkdir(parents=True, exist_ok=True)
    catalogue(sky.object_id, ra, dec, flux).write(sky.catalogue(), overwrite=True)
    morphology(sky.object_id, np.arange(n) % 2 == 0).write(sky.catalogue("MORPH-CAT"), overwrite=True)
    if spectra:
        spectroscopy(ra, dec).write(path / "catalogs" / "spectroscopy.fits", overwrite=True)
    return sky


def spectroscopy(ra: np.ndarray, dec: np.ndarray) -> Table:
    n = len(ra)
    kind = np.array(["GALAXY", "STAR", "QSO"])[np.arange(n) % 3]
    return Table(
        {
            "TARGETID": np.arange(n, dtype=np.int64) + 39633390185480938,
            "RA": ra + 0.2 / 3600,
            "DEC": dec,
            "Z": np.linspace(0.1, 1.0, n),
            "ZERR": np.full(n, 1e-4),
            "ZWARN": (np.arange(n) == 3).astype(np.int64) * 4,
            "SPECTYPE": kind,
            "LOGM": np.linspace(9.0, 11.0, n),
            "LOGM_ERR": np.where(np.arange(n) == 6, 0.5, 0.1),
            "CHI2": np.full(n, 3.0),
        }
    )


RECORDS = ("euclidfm.log", "ingest.run.json")
"""When and how long the command ran: beside the store, not part of it."""


def write_tiles(path: Path, count: int, n: int, side: int, with_spectra: int = 0) -> Path:
    """Write tiles 100, 101, ... into one folder, a degree apart; the first `with_spectra` have spectra."""
    for k in range(count):
        write_sky(path, n, side, tile=100 + k, centre=(57.0 + k, -50.0), spectra=k < with_spectra)
    return path


def by_id(store: GalaxyStore | Path, object_id: np.ndarray | None = None) -> Galaxies:
    """Galaxies of a store in the order of the given ids (default: all, by id)."""
    store = store if isinstance(store, GalaxyStore) else GalaxyStore.open(store)
    g = store.read()
    order = np.argsort(g.object_id)
    if object_id is not None:
        order = order[np.searchsorted(g.object_id[order], object_id)]
    return g.take(order)


def same_store(a: Path, b: Path) -> bool:
    """Whether two stores are equal, bit for bit."""

    def contents(store: Path) -> list[str]:
        files = [p for p in store.rglob("*") if p.is_file() and p.name not in RECORDS]
        return sorted(str(p.relative_to(store)) for p in files)

    files = contents(a)
    assert files == contents(b) and "store.json" in files and any(f.startswith("shards/") for f in files)
    return not any(filecmp.cmpfiles(a, b, files, shallow=False)[1:])
