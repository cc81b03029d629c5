"""What to ingest and how: one frozen configuration."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from euclidfm.core.bands import EUCLID_BANDS, SED_BANDS, band
from euclidfm.core.errors import InputError
from euclidfm.store.splits import assign_splits

__all__ = ["FLAG_BITS", "IngestConfig", "IrsaServices"]

FLAG_BITS = {"invalid": 1, "hot": 2, "cold": 4, "saturated": 8, "cosmic_ray": 16, "ghost": 32}
"""Bits of the flag maps (docs/sky-files.md)."""

SCHEDULERS = ("processes", "dask", "slurm")
"""Schedulers that have a name."""

_HOW = ("scheduler", "workers", "cluster")


@dataclass(frozen=True, kw_only=True)
class IrsaServices:
    """Addresses of IRSA's services, and the names of their tables."""

    tap: str = "https://irsa.ipac.caltech.edu/TAP"
    sia: str = "https://irsa.ipac.caltech.edu/SIA"
    catalogue: str = "euclid_q1_mer_catalogue"
    """Table of the photometry."""
    morphology: str = "euclid_q1_mer_morphology"
    """Table of the morphology; empty for none."""
    collection: str = "euclid_DpdMerBksMosaic"
    """Image collection of the mosaics."""
    images: Literal["archive", "cloud"] = "archive"
    """Read mosaics from IRSA's own server, or from the copy in object storage that it names."""
    timeout: float = 120.0
    """Seconds to wait for a response."""


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """How sky files, cutouts or a photometric table become a store."""

    source: str
    """Sky folder or its URL, ``irsa``, cutout file or folder of cutouts, photometric table (file or folder),
    or data set of the Hugging Face hub (``hf://datasets/<owner>/<name>``, or a folder of its files)."""
    tiles: tuple[int, ...] = ()
    """Tiles of a sky to read; default all. A sky at a URL needs them."""
    cache: str | None = None
    """Folder for the copy of a sky at a URL; default: the store's name and ``-sky``."""
    fetch: Literal["auto", "copy", "lazy"] = "auto"
    """Mosaics behind URLs are copied whole, or read in pieces (``lazy``); ``auto`` reads in pieces where a
    tile has at most 200 selected objects. A data set is streamed unless ``copy``."""
    coordinates: str | None = None
    """Table with ``ra`` and ``dec`` in degrees: of a sky, only the objects nearest to these positions."""
    radius_arcsec: float = 1.0
    """Largest distance of an object from its position of ``coordinates``."""
    catalogue: str | None = None
    """Merged-objects catalogue (HATS, a folder or URL) to take the objects of a sky from, in place of the
    catalogues of its tiles."""
    irsa: IrsaServices = field(default_factory=IrsaServices)
    """The services behind the source ``irsa``."""
    storage_options: dict[str, Any] = field(default_factory=dict)
    """Options of the fsspec file system of a URL, such as ``{anon: false}`` or ``{endpoint_url: ...}``."""
    size: int = 0
    """Side of the cutouts in pixels; 0: 64, or what the recipe of pictures and arrays says."""
    rebin: int = 0
    """Of pictures and arrays: join this many pixels each way; 0: what the recipe says."""
    bands: tuple[str, ...] = EUCLID_BANDS
    """Bands to cut out; a band without a mosaic becomes an absent image. With a recipe, a choice of its
    bands; all of them if none is named here."""
    sed_bands: tuple[str, ...] = SED_BANDS
    """Bands of the SED; a table's recipe names its own, cutout files add what they hold."""
    selection: str = ""
    """Selection of a sky's objects: a shipped recipe's name, or a YAML file; default
    ``q1-bright-or-extended``, or ``everything-detected`` with ``coordinates``."""
    recipe: str | None = None
    """How to read a photometric table, pictures, arrays or a data set: a shipped recipe's name, or a YAML
    file."""
    sed_flux: Literal["total", "templfit", "aper1", "aper2", "aper3", "aper4"] = "total"
    """Catalogue fluxes of the SED: template-fit colours scaled to the total flux, unscaled template-fit,
    or apertures of 1 to 4 FWHM."""
    deredden: bool = False
    """Correct the SED of a sky for Galactic extinction."""
    ebv_map: str | None = None
    """All-sky map of E(B-V): HEALPix FITS (Planck, SFD, ...); default the catalogue's GAL_EBV."""
    ebv_frame: Literal["header", "galactic", "equatorial"] = "header"
    """Coordinates of the map; by default its COORDSYS."""
    ebv_scale: float = 1.0
    """Factor on E(B-V): 0.86 for SFD's scale (Schlafly & Finkbeiner 2011)."""
    aperture_arcsec: float = 2.0
    """Diameter of the aperture for SEDs that are measured on cutout files."""
    reproject: bool = False
    """Resample bands that are not on the grid of the first band; otherwise that is an error."""
    mask_flags: tuple[str, ...] = ("invalid", "hot", "cold", "cosmic_ray")
    """Flag-map bits whose pixels are masked."""
    spectroscopy: str | None = None
    """Table of redshifts and masses; default ``catalogs/spectroscopy.fits`` of the sky, if there."""
    match_arcsec: float = 1.0
    """Largest distance of a spectroscopic match."""
    duplicate_arcsec: float = 0.3
    """Objects of different tiles closer than this are one."""
    split_order: int = 9
    """HEALPix order of the splits: 9 is 6.9 arcmin, 12 is 52 arcsec."""
    split_fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
    """Train, validation and test, summing to one."""
    seed: int = 0
    """Seed of the splits."""
    on_error: Literal["stop", "quarantine"] = "stop"
    """A damaged file ends the run, or is put in quarantine and the rest kept."""
    release: str = ""
    """Name of the data release, part of an object's identity; default: from the files."""
    scheduler: str = "processes"
    """Who reads: ``processes`` of this machine, ``dask`` (a cluster on this machine), the address of a
    running Dask scheduler (``tcp://host:8786``), or ``slurm``."""
    workers: int = 1
    """Processes that read side by side; with ``slurm``, jobs."""
    cluster: dict[str, Any] = field(default_factory=dict)
    """Options of dask_jobqueue.SLURMCluster (``queue``, ``account``, ``walltime``, ``memory``, ...) or, with
    ``dask``, of distributed.LocalCluster."""
    quality: bool = False
    """Put a quality report, ``quality.html``, into the store."""

    def __post_init__(self) -> None:
        if not self.selection:
            usual = "everything-detected" if self.coordinates else "q1-bright-or-extended"
            object.__setattr__(self, "selection", usual)
        for f in ("tiles", "bands", "sed_bands", "mask_flags", "split_fractions"):
            object.__setattr__(self, f, tuple(getattr(self, f)))
        for name, least in (("size", 0), ("rebin", 0), ("workers", 1)):
            if (value := getattr(self, name)) < least:
                msg = f"{name} must be at least {least}, got {value}"
                raise InputError(msg)
        for name in (*self.bands, *self.sed_bands) if self.recipe is None else ():
            try:
                band(name)
            except KeyError as e:
                raise InputError(str(e.args[0])) from None
        if self.scheduler not in SCHEDULERS and "://" not in self.scheduler:
            msg = (
                f"scheduler {self.scheduler!r} is unknown; give {', '.join(SCHEDULERS)} or an address "
                "such as tcp://host:8786"
            )
            raise InputError(msg)
        if self.ebv_map and not self.deredden:
            msg = "ebv_map is given but deredden is false; add --deredden true"
            raise InputError(msg)
        unknown = [f for f in self.mask_flags if f not in FLAG_BITS]
        if unknown:
            msg = f"mask_flags names unknown flags {unknown}; known: {', '.join(FLAG_BITS)}"
            raise InputError(msg)
        try:
            assign_splits([], [], self.split_fractions, self.split_order, self.seed)  # type: ignore[arg-type]
        except ValueError as e:
            raise InputError(str(e)) from None

    @property
    def mask_bits(self) -> int:
        """Bits of the flag maps whose pixels are masked."""
        return sum(FLAG_BITS[f] for f in self.mask_flags)

    @property
    def what(self) -> dict[str, Any]:
        """All settings that decide what is in the store, without who makes it."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _HOW}
