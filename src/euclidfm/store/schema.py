"""The format of a galaxy in memory and on disk, which ingest and the model share.

N is the number of galaxies, S the side of a cutout in pixels, and K the number of SED bands.

A store is a folder::

    store/
      store.json                 the `StoreInfo` of this module
      shards/part-00000.parquet  one row per galaxy
      quarantine.parquet         rejected objects and files, with the reason (optional)

A shard has these columns, where B is an image band and b an SED band:

=================  =====================================================================
``object_id``      int64, signed
``ra``, ``dec``    float64, degrees, ICRS
``tile``           int64, number of the MER tile; -1 if there is none
``split``          ``train``, ``validation`` or ``test``
``image_B``        S*S float16 pixels as little-endian bytes, row by row; null without an image
``scale_B``        float32, a power of two; a pixel in µJy is the stored value times the scale
``noise_B``        float32, µJy, typical RMS of a pixel; NaN if it is unknown
``mask_B``         S*S bits, 1 = masked, the first pixel in the high bit; null if none is masked
``flux_b``         float32, µJy; NaN = not measured; negative fluxes are measurements
``fluxerr_b``      float32, µJy; NaN = unknown
others             labels, flags and metadata, described in ``store.json``
=================  =====================================================================

A band that ``store.json`` lists as ``uncalibrated`` has no zero point. Its pixels and its noise are then in
the unit of the files that they were read from, wherever this module says µJy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.bands import PIXEL_ARCSEC, Band
from euclidfm.core.errors import InputError
from euclidfm.store.pixels import decode_images, encode_images, pixel_columns

__all__ = ["SCHEMA_VERSION", "Column", "Galaxies", "StoreInfo", "arrow_schema", "decode", "encode"]

SCHEMA_VERSION = 3

_READABLE = (1, 2, 3)
"""Schema versions that can be read. Version 1 stored cutouts as lists, version 2 calibrated images only."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """An extra column: a label, a flag or metadata."""

    name: str
    type: str = "float64"
    """Name of the Arrow type: ``float64``, ``float32``, ``int64``, ``bool`` or ``string``."""
    role: str = "label"
    """``label``, ``flag``, ``meta`` or ``truth``. Truth exists on mock skies only and is never learned."""
    unit: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class StoreInfo:
    """Description of a store, saved as ``store.json``."""

    image_bands: tuple[str, ...] = ()
    """Bands in which galaxies may have a cutout, in order."""
    image_size: int = 0
    """Side of the cutouts in pixels; 0 for a store without images."""
    pixel_arcsec: float = PIXEL_ARCSEC
    """NaN if it is unknown, or differs from galaxy to galaxy."""
    uncalibrated: tuple[str, ...] = ()
    """Image bands without a zero point: their pixels and noise are in the unit of the files, not in µJy."""
    image_wavelengths_nm: Mapping[str, float] = field(default_factory=dict)
    """Effective wavelength of image bands that the survey table lacks, where it is known."""
    sed_bands: tuple[Band, ...] = ()
    """Bands of the SED with their wavelengths, in order."""
    columns: tuple[Column, ...] = ()
    release: str = ""
    """Name of the data release. Ids change between releases, so it is part of a galaxy's identity."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Origin of the data: source, cut flow, versions, seed, fractions of the splits and more."""
    schema_version: int = SCHEMA_VERSION
    rows: int = 0
    """Number of galaxies."""

    @property
    def sed_names(self) -> tuple[str, ...]:
        """Names of the SED bands."""
        return tuple(b.name for b in self.sed_bands)

    @property
    def wavelengths_nm(self) -> dict[str, float]:
        """Effective wavelength of each SED band, nm, in the order of the bands."""
        return {b.name: b.wavelength_nm for b in self.sed_bands}

    def names(self, *roles: str) -> tuple[str, ...]:
        """Names of the extra columns that have one of the given roles; all names without a role."""
        return tuple(c.name for c in self.columns if not roles or c.role in roles)

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> StoreInfo:
        """Build the description from the dictionary that `to_dict` returns.

        Raises
        ------
        InputError
            If the schema version can't be read.
        """
        if d.get("schema_version") not in _READABLE:
            found = d.get("schema_version")
            msg = f"the store has schema version {found}, not {SCHEMA_VERSION}; ingest the data again"
            raise InputError(msg)
        d = dict(d)
        d["image_bands"] = tuple(d["image_bands"])
        d["uncalibrated"] = tuple(d.get("uncalibrated", ()))
        d = _nan_for_none(d, "pixel_arcsec")
        d["sed_bands"] = tuple(Band(**_nan_for_none(b, *b)) for b in d["sed_bands"])
        d["columns"] = tuple(Column(**c) for c in d["columns"])
        return cls(**d)


def _nan_for_none(d: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {k: float("nan") if v is None and k in keys else v for k, v in d.items()}


@dataclass
class Galaxies:
    """A batch of galaxies, in physical units.

    Attributes
    ----------
    object_id : (N,) int64
    ra, dec : (N,) float64, degrees
    tile : (N,) int64
    split : (N,) str
    images : dict of band to (N, S, S) float32
        Flux in µJy per pixel, or numbers in the unit of the files in a band that the store lists as
        uncalibrated; 0 where a pixel is masked.
    masks : dict of band to (N, S, S) bool
        True = masked. All pixels of a galaxy without an image in the band are masked.
    noise : dict of band to (N,) float32
        Typical RMS of a pixel in the unit of the images; NaN if it is unknown.
    flux, fluxerr : (N, K) float32, µJy
        NaN = not measured.
    sed_bands : tuple of str
        Names of the K bands.
    columns : dict of str to (N,) array
        Labels, flags and metadata.
    """

    object_id: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    tile: np.ndarray
    split: np.ndarray
    images: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    flux: np.ndarray
    fluxerr: np.ndarray
    sed_bands: tuple[str, ...]
    columns: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.object_id)

    def has_image(self, band: str) -> np.ndarray:
        """Whether each galaxy has at least one usable pixel in the band, as an (N,) array of bool."""
        return np.asarray(~self.masks[band].all(axis=(1, 2)))

    def take(self, rows: np.ndarray) -> Galaxies:
        """Return the given rows, in the given order. `rows` holds indices or is a boolean mask."""
        rows = np.asarray(rows)
        pick: dict[str, Any] = {k: v[rows] for k, v in self.__dict__.items() if isinstance(v, np.ndarray)}
        nested: dict[str, Any] = {
            k: {b: a[rows] for b, a in v.items()} for k, v in self.__dict__.items() if isinstance(v, dict)
        }
        return replace(self, **pick, **nested)

    @staticmethod
    def concat(parts: Sequence[Galaxies]) -> Galaxies:
        """Join batches that have the same bands and columns."""
        first = parts[0]
        if len(parts) == 1:
            return first
        out: dict[str, Any] = {}
        for key, value in first.__dict__.items():
            if isinstance(value, np.ndarray):
                out[key] = np.concatenate([getattr(p, key) for p in parts])
            elif isinstance(value, dict):
                out[key] = {b: np.concatenate([getattr(p, key)[b] for p in parts]) for b in value}
        return replace(first, **out)


def arrow_schema(info: StoreInfo) -> pa.Schema:
    """Return the Arrow schema of a shard."""
    pixels = info.image_size**2
    fields = [
        pa.field("object_id", pa.int64()),
        pa.field("ra", pa.float64()),
        pa.field("dec", pa.float64()),
        pa.field("tile", pa.int64()),
        pa.field("split", pa.string()),
    ]
    for b in info.image_bands:
        kinds = (pa.binary(2 * pixels), pa.float32(), pa.float32(), pa.binary((pixels + 7) // 8))
        fields += [pa.field(n, kind) for n, kind in zip(pixel_columns(b), kinds, strict=True)]
    for name in info.sed_names:
        fields += [pa.field(f"flux_{name}", pa.float32()), pa.field(f"fluxerr_{name}", pa.float32())]
    fields += [pa.field(c.name, pa.type_for_alias(c.type)) for c in info.columns]
    return pa.schema(fields)


def encode(info: StoreInfo, galaxies: Galaxies) -> pa.Table:
    """Convert galaxies to an Arrow table in the layout of the store.

    Raises
    ------
    ValueError
        If the galaxies have other SED bands than the store.
    """
    if galaxies.sed_bands != info.sed_names:
        msg = f"galaxies have SED bands {galaxies.sed_bands}, the store has {info.sed_names}"
        raise ValueError(msg)
    schema = arrow_schema(info)
    data: dict[str, Any] = {k: getattr(galaxies, k) for k in ("object_id", "ra", "dec", "tile")}
    data["split"] = pa.array([str(s) for s in galaxies.split], pa.string())
    for b in info.image_bands:
        data |= encode_images(b, galaxies.images[b], galaxies.masks[b], galaxies.noise[b], info.image_size)
    for i, name in enumerate(info.sed_names):
        data[f"flux_{name}"] = galaxies.flux[:, i].astype(np.float32)
        data[f"fluxerr_{name}"] = galaxies.fluxerr[:, i].astype(np.float32)
    for c in info.columns:
        values = galaxies.columns[c.name]
        data[c.name] = pa.array(values.tolist() if c.type == "string" else values, schema.field(c.name).type)
    return pa.table({f.name: pa.array(data[f.name], f.type) for f in schema}, schema=schema)


def decode(
    info: StoreInfo, table: pa.Table, bands: Sequence[str] | None = None, sed: bool = True
) -> Galaxies:
    """Convert a table of `encode` back to galaxies.

    Parameters
    ----------
    info : StoreInfo
    table : pyarrow.Table
    bands : sequence of str, optional
        Image bands to decode; all of them by default.
    sed : bool
        Whether to decode the SED.

    Returns
    -------
    Galaxies
    """
    bands = info.image_bands if bands is None else bands
    n = table.num_rows
    images, masks, noise = {}, {}, {}
    for b in bands:
        images[b], masks[b] = decode_images(info.image_size, table, b)
        noise[b] = _numpy(table, f"noise_{b}")
    names = info.sed_names if sed else ()
    flux = np.full((n, len(names)), np.nan, np.float32)
    fluxerr = flux.copy()
    for i, name in enumerate(names):
        flux[:, i], fluxerr[:, i] = _numpy(table, f"flux_{name}"), _numpy(table, f"fluxerr_{name}")
    return Galaxies(
        **{k: _numpy(table, k) for k in ("object_id", "ra", "dec", "tile", "split")},
        images=images,
        masks=masks,
        noise=noise,
        flux=flux,
        fluxerr=fluxerr,
        sed_bands=names,
        columns={c.name: _numpy(table, c.name) for c in info.columns if c.name in table.column_names},
    )


def _numpy(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table.column(name).to_numpy())
