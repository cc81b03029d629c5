"""Shards of one task: galaxies become row groups, which are written while others are read."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from euclidfm.ingest.plan import TASK_ROWS
from euclidfm.store import Galaxies, StoreInfo
from euclidfm.store.schema import arrow_schema, encode
from euclidfm.store.writer import ROW_GROUP, parquet_options

__all__ = ["ShardWriter"]


class ShardWriter:
    """Write galaxies to Parquet files of at most `TASK_ROWS` rows; use as a context manager.

    A thread compresses and writes one row group while the next is collected, so two are in
    memory at most. What is written does not depend on the sizes of the batches.

    Parameters
    ----------
    folder : path
    stem : str
        Start of the files' names.
    info : StoreInfo

    Attributes
    ----------
    names : list of str
        Files written.
    """

    def __init__(self, folder: Path, stem: str, info: StoreInfo) -> None:
        self.names: list[str] = []
        self._folder, self._stem, self._info = folder, stem, info
        self._schema, self._options = arrow_schema(info), parquet_options(info)
        self._held: list[pa.Table] = []
        self._in_shard = 0
        self._writer: pq.ParquetWriter | None = None
        self._thread = ThreadPoolExecutor(1, "shards")
        self._job: Future[None] | None = None

    def add(self, galaxies: Galaxies) -> None:
        """Append galaxies."""
        self._held.append(encode(self._info, galaxies))
        while sum(t.num_rows for t in self._held) >= ROW_GROUP:
            table = pa.concat_tables(self._held)
            self._submit(table.slice(0, ROW_GROUP))
            self._held = [table.slice(ROW_GROUP)] if table.num_rows > ROW_GROUP else []

    def _submit(self, table: pa.Table) -> None:
        self._wait()
        if self._writer is None or self._in_shard + table.num_rows > TASK_ROWS:
            self._close_shard()
            self.names.append(f"{self._stem}-{len(self.names):03d}.parquet")
            self._writer = pq.ParquetWriter(self._folder / self.names[-1], self._schema, **self._options)
        self._in_shard += table.num_rows
        self._job = self._thread.submit(self._writer.write_table, table, row_group_size=ROW_GROUP)

    def _wait(self) -> None:
        if self._job is not None:
            job, self._job = self._job, None
            job.result()

    def _close_shard(self) -> None:
        if self._writer is not None:
            writer, self._writer, self._in_shard = self._writer, None, 0
            writer.close()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._held:
                    self._submit(pa.concat_tables(self._held))
                self._wait()
        finally:
            self._thread.shutdown()
            self._close_shard()
