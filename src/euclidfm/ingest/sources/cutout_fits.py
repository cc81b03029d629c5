"""Cutout files: one object a FITS file, each band an image, a PSF and an RMS extension.

Extensions are named ``<BAND>_<BGSUB or FLUX>``, ``<BAND>_PSF`` and ``<BAND>_RMS``, with BAND the
name in the MER mosaics (``VIS``, ``NIR_Y``, ``DES_G``, ``MEGACAM_U``, ``HSC_G``, ...).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from euclidfm.core.bands import BANDS, PIXEL_ARCSEC, band
from euclidfm.core.errors import InputError
from euclidfm.core.units import abmag_from_ujy, ujy_per_count
from euclidfm.ingest.catalogue.labels import FLAGS
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.images.aperture import aperture_flux, aperture_weights, captured_fraction
from euclidfm.ingest.images.cutouts import corners, mask_and_noise
from euclidfm.ingest.images.mosaic import magzero, read_wcs
from euclidfm.ingest.plan import BATCH, Plan, absent_images, position_id
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import Funnel
from euclidfm.store import Column, Galaxies, StoreInfo, assign_splits

__all__ = ["Stack", "StackTask", "plan_stacks", "read_stack"]

_BAND_OF = {b.mosaic.replace("-", "_"): b.name for b in BANDS.values() if b.mosaic}
_IMAGE = ("_BGSUB", "_FLUX")
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


@dataclass
class Stack:
    """One cutout file, fluxes in µJy.

    Attributes
    ----------
    path : Path
    ra, dec : float
        Target, degrees.
    x, y : float
        Target, pixels from zero.
    images, rms, masks : dict of band to (ny, nx)
    psfs : dict of band to (k, k)
    unknown : tuple of str
        Image extensions of bands that the survey table lacks.
    release : str
        From the header, or empty.
    """

    path: Path
    ra: float
    dec: float
    x: float
    y: float
    images: dict[str, np.ndarray]
    rms: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    psfs: dict[str, np.ndarray]
    unknown: tuple[str, ...]
    release: str


def read_stack(path: Path) -> Stack:
    """Read a cutout file.

    Raises
    ------
    InputError
        If it is damaged, has no known band, no MAGZERO, no RMS, or bands on different grids.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with fits.open(path, memmap=False) as hdus:
                held = {h.name: (h.header.copy(), np.asarray(h.data)) for h in hdus[1:] if h.data is not None}
    except PermissionError:
        msg = f"{path} can't be read: permission denied; give yourself read permission (chmod u+r)"
        raise InputError(msg) from None
    except (OSError, TypeError, ValueError, UserWarning) as e:
        msg = (
            f"{path} is not a readable FITS file ({' '.join(str(e).split())[:120]}); it may be truncated: "
            "download it again"
        )
        raise InputError(msg) from None
    names = {n: n.removesuffix(s) for n in held for s in _IMAGE if n.endswith(s)}
    known = {n: _BAND_OF[stem] for n, stem in names.items() if stem in _BAND_OF}
    if not known:
        msg = (
            f"{path} has no image extension of a known band (VIS_FLUX, NIR_Y_BGSUB, ...); its extensions: "
            f"{', '.join(held) or 'none'}"
        )
        raise InputError(msg)
    return _assemble(path, held, names, known)


def _assemble(
    path: Path, held: dict[str, tuple[fits.Header, np.ndarray]], names: dict[str, str], known: dict[str, str]
) -> Stack:
    first = next((n for n, b in known.items() if b == "VIS"), next(iter(known)))
    header, reference = held[first]
    wcs = read_wcs(path, header)
    x = float(header.get("TARGETX", (reference.shape[1] - 1) / 2))
    y = float(header.get("TARGETY", (reference.shape[0] - 1) / 2))
    ra, dec = (float(v) for v in wcs.wcs_pix2world(x, y, 0))
    images, rms, masks, psfs = {}, {}, {}, {}
    for name, b in known.items():
        head, counts = held[name]
        _check_grid(path, first, name, reference, counts, wcs, read_wcs(path, head))
        if f"{names[name]}_RMS" not in held:
            msg = f"{path} has {name} but no {names[name]}_RMS extension, which its errors and mask need"
            raise InputError(msg)
        noise = held[f"{names[name]}_RMS"][1]
        if noise.shape != counts.shape:
            msg = (
                f"{path}: {names[name]}_RMS has {noise.shape} pixels, {name} has {counts.shape}; they must "
                "match"
            )
            raise InputError(msg)
        scale = ujy_per_count(magzero(path, head))
        cut = mask_and_noise(counts[None].astype(np.float32), noise[None].astype(np.float32), None, scale, 0)
        images[b], masks[b] = cut.image[0], cut.mask[0]
        rms[b] = np.where(masks[b], np.nan, noise * scale).astype(np.float32)
        if f"{names[name]}_PSF" in held:
            psfs[b] = held[f"{names[name]}_PSF"][1].astype(float)
    unknown = tuple(n for n in names if n not in known)
    release = str(header.get("DATASETR", "")).strip()
    return Stack(path, ra, dec, x, y, images, rms, masks, psfs, unknown, release)


def _check_grid(
    path: Path, first: str, name: str, reference: np.ndarray, counts: np.ndarray, wcs: WCS, other: WCS
) -> None:
    if counts.shape != reference.shape:
        msg = (
            f"{path}: {name} has {counts.shape} pixels, {first} has {reference.shape}; resample them to one "
            "grid"
        )
        raise InputError(msg)
    ny, nx = reference.shape
    x, y = np.array([0.0, nx - 1]), np.array([0.0, ny - 1])
    there = other.wcs_world2pix(*wcs.wcs_pix2world(x, y, 0), 0)
    off = float(np.hypot(there[0] - x, there[1] - y).max())
    if not off < 0.1:
        msg = (
            f"{path}: {name} and {first} have different WCS (corners {off:.1f} pixels apart); resample them "
            "to one grid"
        )
        raise InputError(msg)


def plan_stacks(cfg: IngestConfig, paths: list[Path]) -> Plan:
    """Look into each cutout file; pixels are kept by the tasks only.

    Raises
    ------
    InputError
        If a file is damaged (unless ``on_error: quarantine``), or none is left.
    """
    funnel, quarantine = Funnel(), Quarantine()
    good, found, releases = [], set(), set()
    for path in paths:
        try:
            stack = read_stack(path)
        except InputError as e:
            if cfg.on_error == "stop":
                raise
            quarantine.add(str(e), file=str(path))
            continue
        for name in stack.unknown:
            quarantine.add(f"extension {name} is of a band that the survey table lacks", file=str(path))
        good.append(path)
        found |= set(stack.images)
        releases |= {stack.release} - {""}
    funnel.count("cutout files", len(paths))
    funnel.count("readable", len(good))
    if not good:
        msg = f"{cfg.source} has no readable cutout file: {quarantine.records[0]['reason']}"
        raise InputError(msg)
    extra = tuple(b for b in BANDS if b in found and b not in cfg.sed_bands)
    info = StoreInfo(
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
    chunks = [good[i : i + BATCH] for i in range(0, len(good), BATCH)]
    tasks = [StackTask(cfg=cfg, paths=c, sed_bands=info.sed_names) for c in chunks]
    return Plan(info=info, tasks=tasks, funnel=funnel, quarantine=quarantine, files=[str(p) for p in good])


@dataclass
class StackTask:
    """Some cutout files."""

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
        yield Galaxies.concat([_galaxy(read_stack(p), self.cfg, self.sed_bands) for p in self.paths])


def _galaxy(stack: Stack, cfg: IngestConfig, sed_bands: tuple[str, ...]) -> Galaxies:
    """One galaxy of a cutout file: its pixels cut or padded, its SED measured."""
    images, masks, noise = absent_images(cfg.bands, 1, cfg.size)
    x0, y0 = (int(v[0]) for v in corners(np.array([stack.x]), np.array([stack.y]), cfg.size))
    ny, nx = next(iter(stack.images.values())).shape
    for b in cfg.bands:
        if b in stack.images:
            images[b][0], masks[b][0], noise[b][0] = _placed(stack, b, x0, y0, cfg.size)
    flux, fluxerr = measure_sed(stack, sed_bands, cfg.aperture_arcsec)
    there = [masks[b].mean() for b in cfg.bands if not masks[b].all()]
    ra, dec = np.array([stack.ra]), np.array([stack.dec])
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
            "file": np.array([stack.path.name], object),
            "mag_vis": abmag_from_ujy([vis]).astype(np.float32),
            "flag_edge": np.array([x0 < 0 or y0 < 0 or x0 + cfg.size > nx or y0 + cfg.size > ny]),
            "flag_masked_fraction": np.array([np.mean(there) if there else 1.0], np.float32),
            "flag_bits": np.zeros(1, np.int64),
        },
    )


def _placed(stack: Stack, b: str, x0: int, y0: int, size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """A band's pixels on the cutout's grid, the mask of those that are not there, the noise."""
    ny, nx = stack.images[b].shape
    image, mask = np.zeros((size, size), np.float32), np.ones((size, size), bool)
    rms = np.full((size, size), np.nan, np.float32)
    xa, xb, ya, yb = max(x0, 0), min(x0 + size, nx), max(y0, 0), min(y0 + size, ny)
    if xa < xb and ya < yb:
        here, there = (slice(ya - y0, yb - y0), slice(xa - x0, xb - x0)), (slice(ya, yb), slice(xa, xb))
        image[here], mask[here], rms[here] = (
            stack.images[b][there],
            stack.masks[b][there],
            stack.rms[b][there],
        )
    return image, mask, float(np.median(rms[~mask])) if (~mask).any() else float("nan")


def measure_sed(
    stack: Stack, bands: tuple[str, ...], diameter_arcsec: float
) -> tuple[np.ndarray, np.ndarray]:
    """SED by aperture photometry around the target; (K,) fluxes and errors in µJy, NaN if absent.

    Each band's flux is divided by the share of the VIS flux that the band's PSF leaves in the
    aperture, so that colours are those of one aperture at the resolution of VIS.
    """
    flux, fluxerr = np.full(len(bands), np.nan), np.full(len(bands), np.nan)
    shape = next(iter(stack.images.values())).shape
    weights = aperture_weights(shape, stack.x, stack.y, diameter_arcsec / PIXEL_ARCSEC / 2)
    vis_sn = 0.0
    if "VIS" in stack.images:
        f, e = aperture_flux(stack.images["VIS"], stack.rms["VIS"], stack.masks["VIS"], weights)
        vis_sn = f / e if np.isfinite(f) and e > 0 else 0.0
    for k, b in enumerate(bands):
        if b not in stack.images:
            continue
        f, e = aperture_flux(stack.images[b], stack.rms[b], stack.masks[b], weights)
        share = 1.0
        if b != "VIS":
            vis = stack.images.get("VIS", stack.images[b])
            share = captured_fraction(
                vis, stack.masks.get("VIS", stack.masks[b]), weights, stack.psfs.get(b), vis_sn
            )
        flux[k], fluxerr[k] = f / share, e / share
    return flux, fluxerr
