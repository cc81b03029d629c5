"""Writing a store: aside first, then renamed, so that nothing half-written is left."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import write_json
from euclidfm.store.schema import Galaxies, StoreInfo, arrow_schema, encode

__all__ = ["ROW_GROUP", "StoreWriter", "parquet_options"]

ROW_GROUP = 256
"""Galaxies a Parquet row group: the unit of reading and of the global shuffle."""


def parquet_options(info: StoreInfo) -> dict[str, Any]:
    """How shards are encoded.

    Pixels have neither dictionaries nor statistics, which noise has no use for; every page has a
    checksum, so that a damaged file is never read as galaxies.
    """
    images = {f"image_{b}" for b in info.image_bands}
    light = [n for n in arrow_schema(info).names if n not in images]
    return {
        "compression": "zstd",
        "use_dictionary": light,
        "write_statistics": light,
        "write_page_checksum": True,
    }


class StoreWriter:
    """Write galaxies to a new store.

    Use as a context manager: the store appears under its name only when the block ends
    without an error.

    Parameters
    ----------
    path : path
        Folder of the store; must not exist unless `overwrite`.
    info : StoreInfo
    overwrite : bool
        Replace an existing store (only a folder that holds a ``store.json``).
    shard_rows : int
        Galaxies a Parquet file.

    Examples
    --------
    >>> with StoreWriter("store", info) as writer:  # doctest: +SKIP
    ...     writer.add(galaxies)
    """

    def __init__(
        self, path: str | Path, info: StoreInfo, *, overwrite: bool = False, shard_rows: int = 8192
    ) -> None:
        self.path = Path(path)
        self.info = info
        self.rows = 0
        self._shard_rows = shard_rows
        self._pending: list[pa.Table] = []
        self._shards = 0
        if self.path.exists() and any(self.path.iterdir()):
            if not (self.path / "store.json").exists():
                msg = f"{self.path} exists and is not a store; choose another name"
                raise InputError(msg)
            if not overwrite:
                msg = f"{self.path} exists already; remove it, choose another name, or pass --overwrite true"
                raise InputError(msg)
        self._aside = self.path.with_name(f".{self.path.name}.partial-{os.getpid()}")
        shutil.rmtree(self._aside, ignore_errors=True)
        (self._aside / "shards").mkdir(parents=True)

    def add(self, galaxies: Galaxies) -> None:
        """Append galaxies (any number)."""
        self._pending.append(encode(self.info, galaxies))
        self.rows += len(galaxies)
        while sum(t.num_rows for t in self._pending) >= self._shard_rows:
            self._flush(self._shard_rows)

    def add_quarantine(self, table: pa.Table) -> None:
        """Keep the table of objects and files that were left out."""
        pq.write_table(table, self._aside / "quarantine.parquet")

    def _flush(self, rows: int) -> None:
        pending = pa.concat_tables(self._pending)
        name = self._aside / "shards" / f"part-{self._shards:05d}.parquet"
        table = pending.slice(0, rows)
        pq.write_table(table, name, row_group_size=ROW_GROUP, **parquet_options(self.info))
        self._shards += 1
        rest = pending.slice(rows)
        self._pending = [rest] if rest.num_rows else []

    def close(self) -> None:
        """Write what is left and give the store its name."""
        if self._pending or self._shards == 0:
            if not self._pending:
                self._pending = [arrow_schema(self.info).empty_table()]
            self._flush(max(1, sum(t.num_rows for t in self._pending)))
        write_json(self._aside / "store.json", replace(self.info, rows=self.rows).to_dict())
        if self.path.exists():
            shutil.rmtree(self.path)
        self._aside.rename(self.path)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            shutil.rmtree(self._aside, ignore_errors=True)
