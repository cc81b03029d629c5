"""Writing a store: shards row group by row group, and the folder that gets its name last."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import write_json
from euclidfm.store.schema import Galaxies, StoreInfo, arrow_schema, encode

__all__ = ["ROW_GROUP", "SHARD_ROWS", "ShardWriter", "StoreWriter", "check_replaceable"]

ROW_GROUP = 256
"""Galaxies in a Parquet row group: the unit of reading and of the global shuffle."""

SHARD_ROWS = 8192
"""Galaxies in a Parquet file, at most."""


def _parquet_options(info: StoreInfo) -> dict[str, Any]:
    """How shards are encoded.

    Pixels have neither dictionaries nor statistics, which are of no use for noise. Every page has a
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


class ShardWriter:
    """Write galaxies to Parquet shards; use as a context manager.

    A thread compresses and writes one row group while the next is collected, so at most two are in
    memory. What is written does not depend on the sizes of the batches.

    Parameters
    ----------
    folder : path
    info : StoreInfo
    pattern : str
        Name of a shard, with a replacement field for its number.
    shard_rows : int
        Galaxies in a shard, at most.

    Attributes
    ----------
    names : list of str
        Shards written.
    """

    def __init__(
        self,
        folder: Path,
        info: StoreInfo,
        pattern: str = "part-{:05d}.parquet",
        shard_rows: int = SHARD_ROWS,
    ) -> None:
        self.names: list[str] = []
        self._folder, self._info, self._pattern, self._shard_rows = folder, info, pattern, shard_rows
        self._schema, self._options = arrow_schema(info), _parquet_options(info)
        self._pending: list[pa.Table] = []
        self._room = 0
        self._writer: pq.ParquetWriter | None = None
        self._thread = ThreadPoolExecutor(1, "shards")
        self._job: Future[None] | None = None

    def add(self, galaxies: Galaxies) -> None:
        """Append galaxies (any number)."""
        self._pending.append(encode(self._info, galaxies))
        while sum(t.num_rows for t in self._pending) >= (rows := self._next_group()):
            table = pa.concat_tables(self._pending)
            self._write(table.slice(0, rows))
            self._pending = [table.slice(rows)] if table.num_rows > rows else []

    def close(self, *, at_least_one: bool = False) -> None:
        """Write what is pending and close the last shard.

        Parameters
        ----------
        at_least_one : bool
            Without any galaxy, write an empty shard.
        """
        try:
            if self._pending:
                self._write(pa.concat_tables(self._pending))
                self._pending = []
            if at_least_one and not self.names:
                self._write(self._schema.empty_table())
            self._wait()
        finally:
            self.abort()

    def abort(self) -> None:
        """Close the last shard without what is pending."""
        self._thread.shutdown()
        self._close_shard()

    def _next_group(self) -> int:
        """Rows of the next row group: fewer where a shard is nearly full."""
        return min(ROW_GROUP, self._room or self._shard_rows)

    def _write(self, table: pa.Table) -> None:
        self._wait()
        if self._room == 0:
            self._close_shard()
            self.names.append(self._pattern.format(len(self.names)))
            self._writer = pq.ParquetWriter(self._folder / self.names[-1], self._schema, **self._options)
            self._room = self._shard_rows
        assert self._writer is not None
        self._room -= table.num_rows
        self._job = self._thread.submit(self._writer.write_table, table, row_group_size=ROW_GROUP)

    def _wait(self) -> None:
        """Wait for the row group that is being written; raises its errors."""
        if self._job is not None:
            job, self._job = self._job, None
            job.result()

    def _close_shard(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


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
        Galaxies in a Parquet file, at most.

    Raises
    ------
    InputError
        If the folder exists and may not be replaced.

    Examples
    --------
    >>> with StoreWriter("store", info) as writer:  # doctest: +SKIP
    ...     writer.add(galaxies)
    """

    def __init__(
        self, path: str | Path, info: StoreInfo, *, overwrite: bool = False, shard_rows: int = SHARD_ROWS
    ) -> None:
        self.path = Path(path)
        self.info = info
        self.rows = 0
        check_replaceable(self.path, overwrite=overwrite)
        self._partial = self.path.with_name(f".{self.path.name}.partial-{os.getpid()}")
        shutil.rmtree(self._partial, ignore_errors=True)
        (self._partial / "shards").mkdir(parents=True)
        self._shards = ShardWriter(self._partial / "shards", info, shard_rows=shard_rows)

    def add(self, galaxies: Galaxies) -> None:
        """Append galaxies (any number)."""
        self._shards.add(galaxies)
        self.rows += len(galaxies)

    def close(self) -> None:
        """Write what is pending and give the store its name."""
        self._shards.close(at_least_one=True)
        write_json(self._partial / "store.json", replace(self.info, rows=self.rows).to_dict())
        if self.path.exists():
            shutil.rmtree(self.path)
        self._partial.rename(self.path)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._shards.abort()
            shutil.rmtree(self._partial, ignore_errors=True)


def check_replaceable(path: Path, *, overwrite: bool) -> None:
    """Check that a store may be written to a folder.

    Raises
    ------
    InputError
        If the folder holds something else, or a store and `overwrite` is false.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / "store.json").exists():
        msg = f"{path} exists and is not a store; choose another name"
        raise InputError(msg)
    if not overwrite:
        msg = f"{path} exists already; remove it, choose another name, or pass --overwrite true"
        raise InputError(msg)
