"""The folder of a run: shards of finished work units, the fingerprint of the plan, and a lock.

Beside the store ``name/`` a run works in ``.name.ingest/``::

    plan.json                  fingerprint of the config, the program and the files
    store/shards/part-<unit>-<n>.parquet
    done/<unit>.json           written last: the unit's shards, rows and quarantine

The lock ``.name.ingest.lock`` is the operating system's, so it is freed whenever its process ends.
`Workspace.publish` gives ``store/`` its name in one step.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, read_json, versions, write_json, write_yaml
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.plan import Plan, WorkUnit
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.store.schema import StoreInfo
from euclidfm.store.writer import ShardWriter, check_replaceable

__all__ = ["UnitFolder", "Workspace", "fingerprint"]


def fingerprint(cfg: IngestConfig, plan: Plan) -> str:
    """Hash of all that decides a store: config, program, and size and time of every file read."""
    files = sorted({f for u in plan.units for f in u.files} | set(plan.files))
    stamps = [(f, s.st_size, s.st_mtime_ns) for f in files for s in [Path(f).stat()] if Path(f).is_file()]
    settings = plain(cfg.what)
    units = [[u.name, u.rows] for u in plan.units]
    key = json.dumps([versions()["euclidfm"], settings, stamps, units, plain(plan.info)], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()


def _mark(root: Path, number: int) -> Path:
    """The file that marks a unit as finished."""
    return root / "done" / f"{number:05d}.json"


@dataclass(frozen=True)
class UnitFolder:
    """The part of a workspace that a unit writes to; crosses to other processes."""

    root: Path

    def do(
        self, number: int, unit: WorkUnit, info: StoreInfo, tick: Callable[[int], None] | None = None
    ) -> None:
        """Do one unit: write its shards, then its mark.

        Parameters
        ----------
        number : int
            Place of the unit in the plan.
        unit : WorkUnit
        info : StoreInfo
        tick : callable, optional
            Called with the number of galaxies that are done so far.
        """
        quarantine = Quarantine()
        rows, splits = 0, Counter[str]()
        names = f"part-{number:05d}-{{:03d}}.parquet"
        with ShardWriter(self.root / "store" / "shards", info, names) as shards:
            for galaxies in unit.batches(quarantine):
                shards.add(galaxies)
                rows += len(galaxies)
                splits.update(str(s) for s in galaxies.split)
                del galaxies  # frees the pixels before the next are read
                if tick is not None:
                    tick(rows)
        mark = {"rows": rows, "splits": splits, "shards": shards.names, "quarantine": quarantine.records}
        write_json(_mark(self.root, number), mark)


class Workspace:
    """The folder that a run works in; use as a context manager, which holds the lock.

    Parameters
    ----------
    out : path
        Folder of the store to be.
    overwrite : bool
    """

    def __init__(self, out: Path, *, overwrite: bool) -> None:
        self.out = out
        self.root = out.with_name(f".{out.name}.ingest")
        self._lock_path = out.with_name(f".{out.name}.ingest.lock")
        self._overwrite = overwrite
        self._lock: TextIO | None = None

    def __enter__(self) -> Workspace:
        self._acquire()
        try:
            self._check_out()
        except BaseException:
            self._release()
            raise
        return self

    def _acquire(self) -> None:
        """Take the lock; if another process holds it, an error names that process."""
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            lock = self._lock_path.open("a+")
        except (PermissionError, NotADirectoryError, FileExistsError) as e:
            msg = f"{self.out.parent} can't be written to ({e.strerror}); choose another place for the store"
            raise InputError(msg) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = (
                not self._lock_path.exists()
                or self._lock_path.stat().st_ino != os.fstat(lock.fileno()).st_ino
            )
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            msg = f"{self.out} is being written by another run (process {holder}); wait, or choose another"
            raise InputError(msg) from None
        if gone:  # the last holder removed the file while it was being opened
            lock.close()
            self._acquire()
            return
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _check_out(self) -> None:
        if (self.root / "plan.json").exists() and not (self.root / "store").exists():
            return  # a run was killed between naming the store and removing its workspace; see `finished`
        check_replaceable(self.out, overwrite=self._overwrite)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is not None and not any((self.root / "done").glob("*.json")):
            self.discard()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock_path.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def begin(self, cfg: IngestConfig, plan: Plan) -> None:
        """Make the folder, or continue in it if it holds the same work."""
        mark = fingerprint(cfg, plan)
        plan_file = self.root / "plan.json"
        if not (plan_file.exists() and read_json(plan_file).get("fingerprint") == mark):
            shutil.rmtree(self.root, ignore_errors=True)
        for part in ("store/shards", "done"):
            (self.root / part).mkdir(parents=True, exist_ok=True)
        write_json(plan_file, {"fingerprint": mark})

    def finished(self, cfg: IngestConfig, plan: Plan) -> dict[str, Any] | None:
        """Summary of the store, if a run that was killed had completed it; else None."""
        plan_file = self.root / "plan.json"
        if not plan_file.exists() or (self.root / "store").exists() or not self.out.exists():
            return None
        same = read_json(plan_file).get("fingerprint") == fingerprint(cfg, plan)
        shutil.rmtree(self.root, ignore_errors=True)
        if not same:
            self._check_out()
            return None
        return dict(read_json(self.out / "store.json")["provenance"]["summary"])

    def is_done(self, number: int) -> bool:
        """Whether a unit was finished, by this run or an earlier one."""
        return _mark(self.root, number).exists()

    def folder(self) -> UnitFolder:
        """The part of the workspace that a unit writes to."""
        return UnitFolder(self.root.absolute())

    def marks(self, units: int) -> list[dict[str, Any]]:
        """What each unit left: its ``rows``, ``splits``, ``shards`` and ``quarantine``."""
        return [read_json(_mark(self.root, k)) for k in range(units)]

    @property
    def store(self) -> Path:
        """The store under construction."""
        return self.root / "store"

    def complete(
        self, cfg: IngestConfig, info: StoreInfo, quarantine: Quarantine, marks: list[dict[str, Any]]
    ) -> None:
        """Write all of the store that is not a shard; shards of units that were interrupted are removed."""
        kept = {s for m in marks for s in m["shards"]}
        for shard in (self.store / "shards").iterdir():
            if shard.name not in kept:
                shard.unlink()
        pq.write_table(quarantine.table(), self.store / "quarantine.parquet")
        write_yaml(self.store / "ingest.yaml", cfg.what)
        write_json(self.store / "store.json", info.to_dict())

    def publish(self) -> None:
        """Give the store its name, in place of an older one, and remove the workspace."""
        if self.out.exists():
            self.out.rename(self.root / "replaced")
        self.store.rename(self.out)
        self.discard()

    def discard(self) -> None:
        """Remove the workspace."""
        shutil.rmtree(self.root, ignore_errors=True)
