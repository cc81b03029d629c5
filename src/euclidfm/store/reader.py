"""Reading a store: the index is kept in memory, and pixels are read on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json
from euclidfm.store.pixels import pixel_columns
from euclidfm.store.schema import Galaxies, StoreInfo, decode

__all__ = ["GalaxyStore"]


class GalaxyStore:
    """A store of galaxies on disk.

    Open one with `GalaxyStore.open`; it costs a few small reads. Rows are numbered 0 to
    ``len(store) - 1`` in the order of the shards.

    Examples
    --------
    >>> store = GalaxyStore.open("store/")  # doctest: +SKIP
    >>> galaxies = store.read(store.rows("test"))  # doctest: +SKIP
    """

    def __init__(self, path: Path, info: StoreInfo) -> None:
        self.path = path
        self.info = info
        self._files = sorted((path / "shards").glob("*.parquet"))
        if not self._files:
            msg = f"{path} holds no shards; ingest the data again"
            raise InputError(msg)
        self._groups: list[tuple[Path, int]] = []
        counts = []
        for file in self._files:
            meta = _metadata(file)
            for g in range(meta.num_row_groups):
                self._groups.append((file, g))
                counts.append(meta.row_group(g).num_rows)
        self.group_edges = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
        """(G + 1,) first row of each row group, and the number of rows."""

    @classmethod
    def open(cls, path: str | Path) -> GalaxyStore:
        """Open a store.

        Raises
        ------
        InputError
            If the folder is not a store, or a shard is damaged.
        """
        path = Path(path)
        if not (path / "store.json").is_file():
            msg = f"{path} is not a store (no store.json in it); make one with `euclidfm ingest`"
            raise InputError(msg)
        return cls(path, StoreInfo.from_dict(read_json(path / "store.json")))

    def __len__(self) -> int:
        return int(self.group_edges[-1])

    def __repr__(self) -> str:
        info = self.info
        images = f"{','.join(info.image_bands)} at {info.image_size} px" if info.image_bands else "none"
        sed = ",".join(info.sed_names) or "none"
        return f"<GalaxyStore {self.path}: {len(self)} galaxies, images {images}, SED {sed}>"

    @cached_property
    def index(self) -> pa.Table:
        """All columns except pixels (ids, positions, splits, SED, extra columns), one row per galaxy."""
        pixels = {n for b in self.info.image_bands for n in (f"image_{b}", f"mask_{b}")}
        light = [n for n in _schema_names(self._files[0]) if n not in pixels]
        return pa.concat_tables([_read_table(f, light) for f in self._files])

    def column(self, name: str) -> np.ndarray:
        """One column of the index as numpy.

        Raises
        ------
        InputError
            If the store has no such column; the message lists those there are.
        """
        if name not in self.index.column_names:
            have = ", ".join(self.info.names())
            msg = f"store {self.path} has no column {name!r}; it has {have or 'no labels'}"
            raise InputError(msg)
        return np.asarray(self.index.column(name).to_numpy())

    def labels(self, *names: str) -> pa.Table:
        """`object_id` and the named label columns (default: all labels)."""
        names = names or self.info.names("label")
        for n in names:
            self.column(n)
        return self.index.select(["object_id", "ra", "dec", *names])

    def photometry(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, K) fluxes and their errors, µJy, bands in order of wavelength; NaN where not measured."""
        bands = sorted(self.info.sed_bands, key=lambda b: b.wavelength_nm)
        flux, error = (
            np.stack([self.column(f"{what}_{b.name}") for b in bands], axis=1).astype(float)
            for what in ("flux", "fluxerr")
        )
        return flux, error

    def rows(self, split: str | None = None) -> np.ndarray:
        """Row numbers of a split (or all)."""
        if split is None:
            return np.arange(len(self))
        return np.flatnonzero(self.column("split") == split)

    def row_of(self, object_id: int) -> int:
        """Row of an object.

        Raises
        ------
        InputError
            If the id is not in the store.
        """
        rows = np.flatnonzero(self.column("object_id") == int(object_id))
        if not len(rows):
            msg = f"object {object_id} is not in store {self.path}"
            raise InputError(msg)
        return int(rows[0])

    def read(
        self, rows: np.ndarray | Sequence[int] | None = None, bands: Sequence[str] | None = None
    ) -> Galaxies:
        """Galaxies of the given rows, in the given order (default: all).

        Parameters
        ----------
        rows : array of int, optional
        bands : sequence of str, optional
            Image bands to decode; default all, ``()`` for none.
        """
        wanted = self.rows() if rows is None else np.asarray(rows, np.int64)
        if len(wanted) == 0:
            first, _ = self._groups[0]
            return decode(self.info, pq.read_schema(first).empty_table(), bands)
        group = np.searchsorted(self.group_edges, wanted, side="right") - 1
        parts, order = [], []
        for g in np.unique(group):
            here = np.flatnonzero(group == g)
            parts.append(self.read_group(int(g), bands).take(wanted[here] - self.group_edges[g]))
            order.append(here)
        position = np.empty(len(wanted), np.int64)
        position[np.concatenate(order)] = np.arange(len(wanted))
        return Galaxies.concat(parts).take(position)

    def read_group(self, group: int, bands: Sequence[str] | None = None) -> Galaxies:
        """All galaxies of one row group."""
        file, g = self._groups[group]
        bands = self.info.image_bands if bands is None else bands
        skip = {n for b in self.info.image_bands if b not in bands for n in pixel_columns(b)}
        names = [n for n in _schema_names(file) if n not in skip]
        return decode(self.info, _read_table(file, names, g), bands)

    def batches(
        self, rows: np.ndarray | None = None, size: int = 256, bands: Sequence[str] | None = None
    ) -> Iterator[Galaxies]:
        """The given rows (default all) in order of storage, in batches, at constant memory."""
        wanted = np.sort(self.rows() if rows is None else np.asarray(rows, np.int64))
        for start in range(0, len(wanted), size):
            yield self.read(wanted[start : start + size], bands)


def _metadata(file: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(file)
    except (pa.ArrowInvalid, OSError) as e:
        msg = f"shard {file} is damaged ({e}); ingest the data again"
        raise InputError(msg) from None


def _schema_names(file: Path) -> list[str]:
    return list(pq.read_schema(file).names)


def _read_table(file: Path, columns: list[str], group: int | None = None) -> pa.Table:
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as f:
            return f.read(columns) if group is None else f.read_row_group(group, columns)
    except (pa.ArrowInvalid, OSError) as e:
        msg = f"shard {file} is damaged ({e}); ingest the data again"
        raise InputError(msg) from None
