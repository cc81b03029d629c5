"""Where a run keeps what it has done: shards of finished tasks, a plan's fingerprint, a lock.

Beside the store ``name/`` a run works in ``.name.ingest/``::

    plan.json                  fingerprint of the config, the program and the files
    store/shards/part-<task>-<n>.parquet
    done/<task>.json           written last: the task's shards, rows and quarantine

The lock ``.name.ingest.lock`` is the operating system's, so it ends with its process, however
that ends. `finish` gives ``store/`` its name in one step.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, read_json, versions, write_json, write_yaml
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.plan import Plan, Task
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.shards import ShardWriter
from euclidfm.store import StoreInfo

__all__ = ["TaskFolder", "Workspace", "fingerprint"]


def fingerprint(cfg: IngestConfig, plan: Plan) -> str:
    """Hash of all that decides a store: config, program, and size and time of every file read."""
    files = sorted({f for t in plan.tasks for f in t.files} | set(plan.files))
    stamps = [(f, s.st_size, s.st_mtime_ns) for f in files for s in [Path(f).stat()] if Path(f).is_file()]
    settings = plain(cfg.what)
    tasks = [[t.name, t.rows] for t in plan.tasks]
    key = json.dumps([versions()["euclidfm"], settings, stamps, tasks, plain(plan.info)], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True)
class TaskFolder:
    """The part of a workspace that a task writes to; crosses to other processes."""

    root: Path

    def absolute(self) -> TaskFolder:
        """The same, for a process that runs in another folder."""
        return TaskFolder(self.root.absolute())

    def do(self, number: int, task: Task, info: StoreInfo, tick: Callable[[int], None] | None = None) -> None:
        """Do one task: write its shards, then its mark."""
        quarantine = Quarantine()
        rows, splits = 0, Counter[str]()
        with ShardWriter(self.root / "store" / "shards", f"part-{number:05d}", info) as shards:
            for galaxies in task.batches(quarantine):
                shards.add(galaxies)
                rows += len(galaxies)
                splits.update(str(s) for s in galaxies.split)
                del galaxies  # or its pixels would be held while the next are read
                if tick is not None:
                    tick(rows)
        mark = {"rows": rows, "splits": splits, "shards": shards.names, "quarantine": quarantine.records}
        write_json(self.root / "done" / f"{number:05d}.json", mark)


class Workspace:
    """The folder a run works in; use as a context manager, which holds the lock.

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
        """Take the lock, or say who has it."""
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
        if gone:  # its last holder removed the file while we opened it
            lock.close()
            self._acquire()
            return
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _check_out(self) -> None:
        if (self.root / "plan.json").exists() and not (self.root / "store").exists():
            return  # a run was killed between naming the store and tidying up: `finished` tells
        if not self.out.exists() or (self.out.is_dir() and not any(self.out.iterdir())):
            return
        if not (self.out / "store.json").exists():
            msg = f"{self.out} exists and is not a store; choose another name"
            raise InputError(msg)
        if not self._overwrite:
            msg = f"{self.out} exists already; remove it, choose another name, or pass --overwrite true"
            raise InputError(msg)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is not None and not self._worth_keeping():
            shutil.rmtree(self.root, ignore_errors=True)
        self._release()

    def _worth_keeping(self) -> bool:
        return any((self.root / "done").glob("*.json"))

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
        """Summary of the store, if a killed run had completed this very work; else None."""
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
        """Whether a task was finished, by this run or an earlier one."""
        return (self.root / "done" / f"{number:05d}.json").exists()

    def worker(self) -> TaskFolder:
        """What a task needs."""
        return TaskFolder(self.root)

    def do(self, number: int, task: Task, info: StoreInfo, tick: Callable[[int], None] | None = None) -> None:
        """Do one task in this process."""
        self.worker().do(number, task, info, tick)

    def finish(self, cfg: IngestConfig, plan: Plan) -> dict[str, Any]:
        """Complete the store and give it its name; returns the summary."""
        marks = [read_json(self.root / "done" / f"{k:05d}.json") for k in range(len(plan.tasks))]
        quarantine = Quarantine([*plan.quarantine.records, *(r for m in marks for r in m["quarantine"])])
        rows = sum(m["rows"] for m in marks)
        if rows == 0:
            why = quarantine.records[0]["reason"] if quarantine.records else "the source is empty"
            msg = f"nothing of {cfg.source} could be read: {why} ({len(quarantine)} in quarantine)"
            shutil.rmtree(self.root, ignore_errors=True)
            raise InputError(msg)
        plan.funnel.count("in the store", rows)
        store = self.root / "store"
        kept = {s for m in marks for s in m["shards"]}
        for shard in (store / "shards").iterdir():
            if shard.name not in kept:
                shard.unlink()
        splits: Counter[str] = Counter()
        for m in marks:
            splits.update(m["splits"])
        card = {
            "rows": rows,
            "funnel": plan.funnel.rows(),
            "quarantined": len(quarantine),
            "splits": {s: splits.get(s, 0) for s in ("train", "validation", "test")},
            **plan.report,
        }
        provenance = {
            **plan.info.provenance,
            "source": cfg.source,
            "version": versions()["euclidfm"],
            "seed": cfg.seed,
            "split_order": cfg.split_order,
            "split_fractions": list(cfg.split_fractions),
            "summary": card,
        }
        pq.write_table(quarantine.table(), store / "quarantine.parquet")
        write_yaml(store / "ingest.yaml", cfg.what)
        write_json(store / "store.json", replace(plan.info, rows=rows, provenance=provenance).to_dict())
        if cfg.quality:
            from euclidfm.ingest.quality.page import quality_report

            quality_report(store, store / "quality.html", name=self.out.name)
        if self.out.exists():
            self.out.rename(self.root / "replaced")
        store.rename(self.out)
        shutil.rmtree(self.root, ignore_errors=True)
        return card
