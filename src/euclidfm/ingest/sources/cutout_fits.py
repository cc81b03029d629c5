"""Cutout files: one galaxy in each FITS file, with an SED measured on its images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from euclidfm.core.apertures import aperture_weights
from euclidfm.core.bands import BANDS, PIXEL_ARCSEC, band
from euclidfm.core.errors import InputError
from euclidfm.core.units import abmag_from_ujy
from euclidfm.ingest.catalogue.formats import format_of
from euclidfm.ingest.catalogue.labels import FLAGS
from euclidfm.ingest.catalogue.matching import chord, unit_vectors
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.images.aperture import aperture_flux, captured_fraction
from euclidfm.ingest.images.cutout_file import CutoutFile, read_cutout_file
from euclidfm.ingest.images.cutouts import cutout_flags
from euclidfm.ingest.images.geometry import corners, overlap
from euclidfm.ingest.plan import BATCH, Plan, absent_images, position_id
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import CutFlow
from euclidfm.store.schema import Column, Galaxies, StoreInfo
from euclidfm.store.splits import assign_splits

__all__ = ["CutoutUnit", "cutout_files", "measure_sed", "plan_cutout_files"]

_COLUMNS = (
    Column(name="file", type="string", role="meta", description="cutout file"),
    Column(
        name="mag_vis",
        type="float32",
        role="meta",
        unit="AB mag",
        description="VIS magnitude in the aperture",
    ),
)


def cutout_files(source: Path) -> list[Path]:
    """FITS files of a source: the file itself, or those of a folder."""
    if source.is_dir():
        return sorted(p for p in source.iterdir() if _is_fits(p))
    return [source] if _is_fits(source) else []


def _is_fits(path: Path) -> bool:
    """Whether a file is FITS by its name, or by its content where the name has no ending."""
    if not path.is_file():
        return False
    if format_of(path) == "fits":
        return True
    if path.suffix and format_of(path) is None:
        return False
    with path.open("rb") as f:
        return f.read(9) == b"SIMPLE  =" and not path.suffix


def plan_cutout_files(cfg: IngestConfig, paths: list[Path]) -> Plan:
    """Look into each cutout file; the units read the pixels again.

    Raises
    ------
    InputError
        If a file is damaged (unless ``on_error: quarantine``), or none is left.
    """
    cut_flow, quarantine = CutFlow(), Quarantine()
    good, found, releases = [], set(), set()
    seen = _Seen(cfg.duplicate_arcsec)
    for path in paths:
        try:
            file = read_cutout_file(path)
        except InputError as e:
            if cfg.on_error == "stop":
                raise
            quarantine.add(str(e), file=str(path))
            continue
        for name in file.unknown:
            quarantine.add(f"extension {name} is of a band that the survey table lacks", file=str(path))
        if earlier := seen.same(file):
            quarantine.add(
                f"its object_id occurs earlier, in {earlier}",
                file=str(path),
                object_id=int(position_id(np.array(file.ra), np.array(file.dec))),
                ra=file.ra,
                dec=file.dec,
            )
            continue
        good.append(path)
        found |= set(file.images)
        releases |= {file.release} - {""}
    cut_flow.count("cutout files", len(paths))
    cut_flow.count("readable, each object once", len(good))
    if not good:
        msg = f"{cfg.source} has no readable cutout file: {quarantine.records[0]['reason']}"
        raise InputError(msg)
    info = _store_info(cfg, found, releases)
    chunks = [good[i : i + BATCH] for i in range(0, len(good), BATCH)]
    units = [CutoutUnit(cfg=cfg, paths=c, sed_bands=info.sed_names) for c in chunks]
    files = [str(p) for p in good]
    return Plan(info=info, units=units, cut_flow=cut_flow, quarantine=quarantine, files=files)


class _Seen:
    """Positions and names of the files so far, by cells of the sky; finds the earlier file of an object."""

    def __init__(self, arcsec: float) -> None:
        self._arcsec = arcsec
        self._cells: dict[tuple[int, ...], list[tuple[np.ndarray, str]]] = {}
        self._size = max(chord(arcsec), 1e-9)

    def same(self, file: CutoutFile) -> str:
        """Name of an earlier file of the same object (within the radius), or empty; adds this one."""
        at = unit_vectors(np.array([file.ra]), np.array([file.dec]))[0]
        cell = np.floor(at / self._size).astype(int)
        for step in np.ndindex(3, 3, 3):
            for other, name in self._cells.get(tuple(cell + np.array(step) - 1), ()):
                if np.linalg.norm(at - other) <= self._size:
                    return name
        self._cells.setdefault(tuple(cell), []).append((at, file.path.name))
        return ""


def _store_info(cfg: IngestConfig, found: set[str], releases: set[str]) -> StoreInfo:
    """The store of files that hold the bands `found`, which are added to those of the SED."""
    extra = tuple(b for b in BANDS if b in found and b not in cfg.sed_bands)
    return StoreInfo(
        image_bands=cfg.bands,
        image_size=cfg.size,
        pixel_arcsec=PIXEL_ARCSEC,
        sed_bands=tuple(band(b) for b in (*cfg.sed_bands, *extra)),
        columns=(*_COLUMNS, *FLAGS),
        release=cfg.release or "+".join(sorted(releases)),
        provenance={
            "kind": "cutouts",
            "sed": f'aperture of {cfg.aperture_arcsec}" diameter, matched to VIS resolution',
        },
    )


@dataclass
class CutoutUnit:
    """A group of cutout files."""

    cfg: IngestConfig
    paths: list[Path]
    sed_bands: tuple[str, ...]

    @property
    def name(self) -> str:
        """Shown by the progress bar."""
        return self.paths[0].name

    @property
    def rows(self) -> int:
        """Number of files."""
        return len(self.paths)

    @property
    def files(self) -> list[str]:
        """The files."""
        return [str(p) for p in self.paths]

    def batches(self, quarantine: Quarantine) -> Iterator[Galaxies]:
        """The galaxies, in one batch."""
        yield Galaxies.concat([_galaxy(read_cutout_file(p), self.cfg, self.sed_bands) for p in self.paths])


def _galaxy(file: CutoutFile, cfg: IngestConfig, sed_bands: tuple[str, ...]) -> Galaxies:
    """The galaxy of a cutout file: its pixels cut or padded, its SED measured."""
    images, masks, noise = absent_images(cfg.bands, 1, cfg.size)
    x0, y0 = (int(v[0]) for v in corners(np.array([file.x]), np.array([file.y]), cfg.size))
    ny, nx = next(iter(file.images.values())).shape
    for b in cfg.bands:
        if b in file.images:
            images[b][0], masks[b][0], noise[b][0] = _placed(file, b, x0, y0, cfg.size)
    flux, fluxerr = measure_sed(file, sed_bands, cfg.aperture_arcsec)
    masked = np.array([[masks[b].mean()] for b in cfg.bands]).reshape(-1, 1)
    edge = np.array([x0 < 0 or y0 < 0 or x0 + cfg.size > nx or y0 + cfg.size > ny])
    ra, dec = np.array([file.ra]), np.array([file.dec])
    vis = flux[sed_bands.index("VIS")] if "VIS" in sed_bands else np.nan
    return Galaxies(
        object_id=position_id(ra, dec),
        ra=ra,
        dec=dec,
        tile=np.array([-1], np.int64),
        split=assign_splits(ra, dec, cfg.split_fractions, cfg.split_order, cfg.seed),
        images=images,
        masks=masks,
        noise=noise,
        flux=flux[None].astype(np.float32),
        fluxerr=fluxerr[None].astype(np.float32),
        sed_bands=sed_bands,
        columns={
            "file": np.array([file.path.name], object),
            "mag_vis": abmag_from_ujy([vis]).astype(np.float32),
            **cutout_flags(masked, edge, np.zeros(1, np.int64)),
        },
    )


def _placed(file: CutoutFile, b: str, x0: int, y0: int, size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """A band's pixels on the grid of the cutout, the mask (true beyond the file's image), the noise."""
    image, mask = np.zeros((size, size), np.float32), np.ones((size, size), bool)
    rms = np.full((size, size), np.nan, np.float32)
    if common := overlap(x0, y0, (size, size), file.images[b].shape):
        at, source = common
        image[at], mask[at], rms[at] = file.images[b][source], file.masks[b][source], file.rms[b][source]
    return image, mask, float(np.median(rms[~mask])) if (~mask).any() else float("nan")


def measure_sed(
    file: CutoutFile, bands: tuple[str, ...], diameter_arcsec: float
) -> tuple[np.ndarray, np.ndarray]:
    """SED by aperture photometry around the target; (K,) fluxes and errors in µJy, NaN if absent.

    The flux of each band is divided by the fraction of the VIS flux that the band's PSF leaves in the
    aperture. Colours are then those of one aperture at the resolution of VIS.
    """
    flux, fluxerr = np.full(len(bands), np.nan), np.full(len(bands), np.nan)
    shape = next(iter(file.images.values())).shape
    radius = diameter_arcsec / PIXEL_ARCSEC / 2
    weights = aperture_weights(shape, file.x, file.y, radius)
    area = float(np.pi * radius**2)
    vis_sn = 0.0
    if "VIS" in file.images:
        f, e = aperture_flux(file.images["VIS"], file.rms["VIS"], file.masks["VIS"], weights, area)
        vis_sn = f / e if np.isfinite(f) and e > 0 else 0.0
    for k, b in enumerate(bands):
        if b not in file.images:
            continue
        f, e = aperture_flux(file.images[b], file.rms[b], file.masks[b], weights, area)
        share = 1.0
        if b != "VIS":
            vis = file.images.get("VIS", file.images[b])
            share = captured_fraction(
                vis, file.masks.get("VIS", file.masks[b]), weights, file.psfs.get(b), vis_sn
            )
        flux[k], fluxerr[k] = f / share, e / share
    return flux, fluxerr
