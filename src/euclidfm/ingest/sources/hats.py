"""The merged-objects catalogue in HATS layout: the columns and the partitions that are needed.

A HATS catalogue is Parquet in pixels of the sky: ``dataset/Norder=k/Dir=d/Npix=n.parquet``, or with
``hats_npix_suffix = /`` (Q1's) a folder ``Npix=n/`` of files; ``partition_info.csv`` lists the pixels.
It may lie in a collection that names it in ``collection.properties``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.columns import canonical, find_columns, normalised
from euclidfm.ingest.catalogue.formats import Table, arrow_column
from euclidfm.ingest.files import is_remote, open_system, read_bytes, short

__all__ = ["Q1_MERGED", "HatsCatalogue", "is_hats", "open_hats"]

Q1_MERGED = "s3://nasa-irsa-euclid-q1/contributed/q1/merged_objects/hats"
"""The public merged catalogue of Q1 at IRSA: 14 products joined, 29 953 430 objects, 400 GB."""


def is_hats(source: str) -> bool:
    """Whether a local folder is a HATS catalogue or a collection of them."""
    names = ("collection.properties", "hats.properties", "properties", "partition_info.csv")
    return Path(source).is_dir() and any((Path(source) / n).is_file() for n in names)


@dataclass(frozen=True)
class HatsCatalogue:
    """A HATS catalogue.

    Attributes
    ----------
    root : str
        URL or folder of the catalogue itself.
    partitions : tuple of (order, pixel)
    suffix : str
        What a partition's name ends in; ``/`` for a folder.
    options : mapping
        Of the file system.
    """

    root: str
    partitions: tuple[tuple[int, int], ...]
    suffix: str = ".parquet"
    options: Mapping[str, Any] = field(default_factory=dict)

    def covering(self, ra: np.ndarray, dec: np.ndarray, radius_arcsec: float) -> list[tuple[int, int]]:
        """Partitions that circles around positions (degrees) touch."""
        from astropy import units as u
        from astropy_healpix import HEALPix

        wanted: set[tuple[int, int]] = set()
        for order in sorted({k for k, _ in self.partitions}):
            healpix, listed = HEALPix(2**order, order="nested"), {p for p in self.partitions if p[0] == order}
            for a, d in zip(np.atleast_1d(ra).tolist(), np.atleast_1d(dec).tolist(), strict=True):
                hit = healpix.cone_search_lonlat(a * u.deg, d * u.deg, max(radius_arcsec, 0.1) * u.arcsec)
                wanted |= {(order, int(n)) for n in hit} & listed
        return [p for p in self.partitions if p in wanted]

    def read(
        self,
        needed: Iterable[str],
        optional: Iterable[str] = (),
        partitions: Sequence[tuple[int, int]] | None = None,
        tiles: Sequence[int] = (),
    ) -> Table:
        """Columns of some partitions, by their canonical names.

        Parameters
        ----------
        needed, optional : iterables of canonical names
        partitions : sequence of (order, pixel), optional
            Default: all.
        tiles : sequence of int
            Only objects of these tiles; default: of all.

        Raises
        ------
        InputError
            If a file is missing or damaged, or a needed column is not there.
        """
        paths = [f for p in (self.partitions if partitions is None else partitions) for f in self._files(p)]
        needed = tuple(needed)
        if not paths:
            return {c: np.zeros(0, np.int64 if c == "object_id" else float) for c in needed}
        try:
            found, table = self._table(paths, needed, tuple(optional), tiles)
        except InputError:
            raise
        except FileNotFoundError as e:
            msg = f"{self.root} lacks a partition ({short(e)}); its copy is not complete: get it again"
            raise InputError(msg) from None
        except (OSError, pa.ArrowInvalid, ValueError) as e:
            msg = f"{self.root} can't be read as Parquet ({short(e)}); check the network, or get it again"
            raise InputError(msg) from e
        raw = {n: arrow_column(self.root, n, table.column(n)) for n in found.values()}
        return normalised(self.root, found, raw)

    def _table(
        self, paths: list[str], needed: tuple[str, ...], optional: tuple[str, ...], tiles: Sequence[int]
    ) -> tuple[dict[str, str], pa.Table]:
        """Names of the columns that were found, by canonical name, and their table."""
        import pyarrow.dataset as ds

        system = open_system(self.root, self.options)[0]
        data = ds.dataset(paths, format="parquet", filesystem=system)
        found = find_columns(self.root, data.schema.names, needed, (*optional, "tile_index"))
        if tiles and "tile_index" not in found:
            msg = f"{self.root} has no column TILEID, which the choice of tiles needs"
            raise InputError(msg)
        keep = ds.field(found["tile_index"]).isin(list(tiles)) if tiles else None
        return found, data.to_table(columns=list(found.values()), filter=keep)

    def _files(self, partition: tuple[int, int]) -> list[str]:
        """Parquet files of a partition, as paths of the file system."""
        order, pixel = partition
        system, root = open_system(self.root, self.options)
        place = f"{root}/dataset/Norder={order}/Dir={pixel // 10_000 * 10_000}/Npix={pixel}"
        if not self.suffix.endswith("/"):
            return [place + self.suffix]
        try:
            return sorted(str(p) for p in system.find(place) if str(p).endswith((".parquet", ".parq")))
        except Exception as e:
            msg = f"{self.root}: {place} can't be listed ({short(e)}); check the address and the network"
            raise InputError(msg) from e


def open_hats(source: str, options: Mapping[str, Any] | None = None) -> HatsCatalogue:
    """Open a HATS catalogue, or the main one of a collection.

    Raises
    ------
    InputError
        If it is neither.
    """
    root = source.rstrip("/") if is_remote(source) else str(Path(source).absolute())
    options = dict(options or {}) if is_remote(source) else {}
    collection = read_bytes(f"{root}/collection.properties", options)
    if collection is not None:
        main = _properties(collection).get("hats_primary_table_url", "")
        if not main:
            msg = f"{root}/collection.properties names no hats_primary_table_url; give the catalogue itself"
            raise InputError(msg)
        root = main.rstrip("/") if is_remote(main) else f"{root}/{main.strip('/')}"
    text = read_bytes(f"{root}/hats.properties", options) or read_bytes(f"{root}/properties", options) or b""
    suffix = _properties(text).get("hats_npix_suffix", ".parquet")
    listed = read_bytes(f"{root}/partition_info.csv", options)
    if listed is None:
        listed = read_bytes(f"{root}/dataset/partition_info.csv", options)
    if listed is None:
        msg = (
            f"{source} is no HATS catalogue: it has no collection.properties and no partition_info.csv; give "
            f"the catalogue's own folder or URL, e.g. {Q1_MERGED}"
        )
        raise InputError(msg)
    return HatsCatalogue(root, _partitions(f"{root}/partition_info.csv", listed), suffix, options)


def _properties(text: bytes) -> dict[str, str]:
    """Java properties: ``key=value`` lines."""
    lines = (line.strip() for line in text.decode("utf-8", "replace").splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {k.strip(): v.strip() for k, _, v in pairs}


def _partitions(name: str, text: bytes) -> tuple[tuple[int, int], ...]:
    from pyarrow import csv

    try:
        table = csv.read_csv(io.BytesIO(text))
        names = {canonical(n): n for n in table.column_names}
        pairs = zip(
            table.column(names["norder"]).to_pylist(), table.column(names["npix"]).to_pylist(), strict=True
        )
        return tuple(sorted((int(k), int(n)) for k, n in pairs))
    except (KeyError, ValueError, TypeError, pa.ArrowInvalid) as e:
        msg = f"{name} is no list of HATS partitions with Norder and Npix ({short(e)}); get it again"
        raise InputError(msg) from None
