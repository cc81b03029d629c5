"""Running the work units: in this process, in local processes, on a Dask cluster, or in jobs of SLURM.

The store does not depend on the choice. Each unit writes its own files into the workspace and its mark
last, so the scheduler only carries back that a unit is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.plan import Plan
from euclidfm.ingest.workspace import UnitFolder, Workspace

__all__ = ["CONNECT_SECONDS", "slurm_cluster", "work"]

_SLURM = {
    "cores": 1,
    "processes": 1,
    "memory": "4GB",
    "walltime": "04:00:00",
    "job_name": "euclidfm",
    "scheduler_options": {"dashboard_address": ":0"},
}
"""Default options of a job; the config's `cluster` overrides them."""

CONNECT_SECONDS = 20.0
"""Seconds to wait for a Dask scheduler."""

_LOST = (
    "a worker process ended while it read {what} (out of memory?); take fewer workers, or smaller cutouts, "
    "and run the same command again: it continues where it stopped"
)


def work(cfg: IngestConfig, plan: Plan, space: Workspace, progress: Progress) -> None:
    """Do the work units that are not done yet.

    Raises
    ------
    InputError
        If a unit fails on bad input, the scheduler can't be reached, or its workers don't share the file
        system.
    """
    todo = [k for k in range(len(plan.units)) if not space.is_done(k)]
    count = _Count(plan, todo, progress)
    if not todo:
        return
    if cfg.scheduler != "processes":
        _dask(cfg, plan, space, todo, count)
    elif cfg.workers == 1 or len(todo) == 1:
        for k in todo:
            space.folder().do(k, plan.units[k], plan.info, count.within(k))
            count.done(k)
    else:
        _processes(cfg, plan, space, todo, count)


class _Count:
    """Counts the galaxies and units that are done."""

    def __init__(self, plan: Plan, todo: list[int], progress: Progress) -> None:
        self._units, self._progress = plan.units, progress
        self._total = sum(u.rows for u in plan.units)
        self._galaxies = self._total - sum(plan.units[k].rows for k in todo)
        self._finished = len(plan.units) - len(todo)
        progress(self._galaxies, self._total, "")

    def _what(self, k: int) -> str:
        return f"{self._units[k].name} ({self._finished} of {len(self._units)} work units done)"

    def within(self, k: int) -> Callable[[int], None]:
        """Callback for the number of galaxies of a unit that are done so far."""
        return lambda rows: self._progress(self._galaxies + rows, self._total, self._what(k))

    def done(self, k: int) -> None:
        """Count a unit as done."""
        self._galaxies += self._units[k].rows
        self._finished += 1
        self._progress(self._galaxies, self._total, self._what(k))


def _processes(cfg: IngestConfig, plan: Plan, space: Workspace, todo: list[int], count: _Count) -> None:
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    info = replace(plan.info, provenance={})
    with ProcessPoolExecutor(min(cfg.workers, len(todo)), mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(space.folder().do, k, plan.units[k], info): k for k in todo}
        try:
            for job in as_completed(jobs):
                job.result()
                count.done(jobs[job])
        except BrokenProcessPool:
            raise InputError(_LOST.format(what=cfg.source)) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _dask(cfg: IngestConfig, plan: Plan, space: Workspace, todo: list[int], count: _Count) -> None:
    """Give units to a Dask cluster, at most two for each of its threads at a time."""
    with _client(cfg) as client:
        from distributed import KilledWorker, as_completed

        info, folder, waiting = replace(plan.info, provenance={}), space.folder(), iter(todo)
        jobs: dict[str, int] = {}

        def submit(k: int) -> Any:
            job = client.submit(_do, folder, k, plan.units[k], info, pure=False)
            jobs[job.key] = k
            return job

        def fill() -> list[Any]:
            room = max(4, 2 * sum(client.nthreads().values())) - len(jobs)
            return [submit(k) for _, k in zip(range(room), waiting, strict=False)]

        running = as_completed(fill(), loop=client.loop)
        for job in running:
            k = jobs.pop(job.key)
            try:
                job.result()
            except KilledWorker:
                raise InputError(_LOST.format(what=plan.units[k].name)) from None
            count.done(k)
            for more in fill():
                running.add(more)


def _do(folder: UnitFolder, number: int, unit: Any, info: Any) -> None:
    """One unit on a worker, which may be another machine."""
    if not (folder.root / "done").is_dir():
        msg = (
            f"a worker can't see {folder.root}; source and store must be on a file system that all workers "
            "share, under the same name"
        )
        raise InputError(msg)
    folder.do(number, unit, info)


@contextmanager
def _client(cfg: IngestConfig) -> Iterator[Any]:
    """A client of the cluster that the config names; a cluster that is started here ends with it."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError(_missing(cfg, "distributed")) from None
    if "://" in cfg.scheduler:
        try:
            client = Client(cfg.scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as e:
            msg = f"no Dask scheduler answers at {cfg.scheduler} ({e}); start one with `dask scheduler`"
            raise InputError(msg) from None
        with client:
            yield client
        return
    if cfg.scheduler == "slurm":
        cluster = slurm_cluster(cfg)
    else:
        local = {"n_workers": cfg.workers, "threads_per_worker": 1, "host": "127.0.0.1"}
        cluster = LocalCluster(**(local | {"dashboard_address": "127.0.0.1:0"} | cfg.cluster))
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client


def slurm_cluster(cfg: IngestConfig, submit: bool = True) -> Any:
    """A Dask cluster of `workers` SLURM jobs; ``.job_script()`` is what is submitted.

    Parameters
    ----------
    cfg : IngestConfig
    submit : bool
        Submit the jobs.

    Raises
    ------
    InputError
        If dask-jobqueue is not installed, or an option of `cluster` is unknown or wrong.
    """
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise InputError(_missing(cfg, "dask-jobqueue")) from None
    try:
        cluster = SLURMCluster(**(_SLURM | cfg.cluster))
    except (TypeError, ValueError) as e:
        msg = f"cluster: {' '.join(str(e).split())}; see the options of dask_jobqueue.SLURMCluster"
        raise InputError(msg) from None
    try:
        cluster.scale(jobs=cfg.workers if submit else 0)
    except BaseException:
        cluster.close()
        raise
    return cluster


def _missing(cfg: IngestConfig, package: str) -> str:
    return (
        f"scheduler {cfg.scheduler} needs the package {package}: install it with pip install "
        "'euclidfm[cluster]'"
    )
