"""Dask and SLURM do the same work as local processes, to the bit."""

import os
import stat
import sys
import time
from pathlib import Path

import pytest
from skyfiles import same_store, write_sky, write_tiles

from euclidfm.cli import main
from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.ingest.scheduler import slurm_cluster
from euclidfm.ingest.sources.tile_unit import TileUnit

distributed = pytest.importorskip("distributed", reason="needs the extra 'cluster'")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TILES = 3


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return write_tiles(tmp_path_factory.mktemp("sky") / "sky", TILES, n=12, side=220)


@pytest.fixture(scope="module")
def whole(tiles, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "store"
    ingest(IngestConfig(source=str(tiles), size=32), out)
    return out


@pytest.fixture(scope="module")
def scheduler():
    """A Dask scheduler and a worker on loopback, as somebody else may have started them."""
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0", host="tcp://127.0.0.1"
    )
    with cluster:
        yield cluster.scheduler_address


def test_a_running_scheduler_makes_the_same_store(tiles, whole, scheduler, tmp_path):
    told = []
    cfg = IngestConfig(source=str(tiles), size=32, scheduler=scheduler)
    ingest(cfg, tmp_path / "store", progress=lambda done, total, what="": told.append((done, total, what)))
    assert same_store(whole, tmp_path / "store")
    assert told[0][:2] == (0, 36) and told[-1][:2] == (36, 36)
    assert "3 of 3 work units done" in told[-1][2]


def test_what_is_done_is_not_done_again_under_another_scheduler(
    tiles, whole, scheduler, tmp_path, monkeypatch
):
    batches = TileUnit.batches

    def stop(self, quarantine):
        if self.tile.tile == 102:
            raise KeyboardInterrupt
        yield from batches(self, quarantine)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(TileUnit, "batches", stop)
        ingest(IngestConfig(source=str(tiles), size=32), tmp_path / "store")
    told = []
    cfg = IngestConfig(source=str(tiles), size=32, scheduler=scheduler)
    ingest(cfg, tmp_path / "store", progress=lambda done, total, what="": told.append(done))
    assert told == [24, 36]
    assert same_store(whole, tmp_path / "store")


def test_the_error_of_a_worker_is_told(tiles, scheduler, tmp_path, capsys):
    sky = write_sky(tmp_path / "sky", n=5, side=200, spectra=False)
    path = sky.mosaic("H")
    path.write_bytes(path.read_bytes()[:90_000])
    command = ["ingest", str(sky.path), "--out", str(tmp_path / "store"), "--scheduler", scheduler]
    assert main(command) == 2
    assert f"{path} is truncated" in capsys.readouterr().err


@pytest.mark.slow
def test_a_local_dask_cluster_makes_the_same_store(tiles, whole, tmp_path):
    ingest(IngestConfig(source=str(tiles), size=32, scheduler="dask", workers=2), tmp_path / "store")
    assert same_store(whole, tmp_path / "store")


def test_a_scheduler_that_is_not_there_or_has_no_such_name(tiles, tmp_path, monkeypatch):
    monkeypatch.setattr("euclidfm.ingest.scheduler.CONNECT_SECONDS", 0.5)
    cfg = IngestConfig(source=str(tiles), scheduler="tcp://127.0.0.1:1")
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        ingest(cfg, tmp_path / "store")
    with pytest.raises(InputError, match="scheduler 'pbs' is unknown"):
        IngestConfig(source=str(tiles), scheduler="pbs")


def test_without_dask_the_extra_is_named(tiles, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'euclidfm\[cluster\]'"):
        ingest(IngestConfig(source=str(tiles), scheduler="dask"), tmp_path / "store")


SLURM = {"queue": "astro", "account": "euclid", "walltime": "01:30:00", "memory": "6GB", "interface": "lo"}


def test_the_job_that_slurm_gets(fake_slurm):
    pytest.importorskip("dask_jobqueue")
    cfg = IngestConfig(source="sky", scheduler="slurm", workers=1, cluster=SLURM)
    with slurm_cluster(cfg, submit=False) as cluster:
        script = cluster.job_script()
    for line in ("-J euclidfm", "-p astro", "-A euclid", "-t 01:30:00", "--mem=6G", "--cpus-per-task=1"):
        assert f"#SBATCH {line}" in script
    assert f"{sys.executable} -m distributed.cli.dask_worker tcp://" in script
    with pytest.raises(InputError, match="cluster: "):
        slurm_cluster(IngestConfig(source="s", scheduler="slurm", cluster={"quue": "x"}))


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """``sbatch`` and ``scancel`` that start and stop the job on this machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    programs = {
        "sbatch": '#!/bin/sh\ncp "$1" "$0.job"\nsetsid sh "$0.job" >"$0.log" 2>&1 &\necho $! >>"$0.jobs"\n'
        'echo "Submitted batch job $!"\n',
        "scancel": '#!/bin/sh\nkill -TERM -- "-$1" 2>/dev/null\nexit 0\n',
    }
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.mark.slow
def test_slurm_jobs_make_the_same_store(tiles, whole, fake_slurm, tmp_path):
    pytest.importorskip("dask_jobqueue")
    source = str(Path(__file__).parents[2] / "src")
    options = SLURM | {"job_script_prologue": [f"export PYTHONPATH={source}"]}
    cfg = IngestConfig(source=str(tiles), size=32, scheduler="slurm", workers=1, cluster=options)
    ingest(cfg, tmp_path / "store")
    assert same_store(whole, tmp_path / "store")
    (job,) = (int(n) for n in (fake_slurm / "sbatch.jobs").read_text().split())
    for _ in range(50):
        if not Path(f"/proc/{job}").exists():
            break
        time.sleep(0.1)
    else:
        pytest.fail("the job was not ended")
