"""Runs that are killed, fill the disk, or find finished work."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from skyfiles import same_store, write_tiles

from euclidfm.core.errors import InputError
from euclidfm.ingest import IngestConfig, ingest
from euclidfm.ingest.sources.tile_unit import TileUnit
from euclidfm.store import GalaxyStore

TILES = 5


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return write_tiles(tmp_path_factory.mktemp("sky") / "sky", TILES, n=30, side=260, with_spectra=1)


def test_a_stopped_run_continues_and_ends_bit_for_bit_the_same(tiles, tmp_path, monkeypatch):
    cfg = IngestConfig(source=str(tiles), size=32)
    ingest(cfg, tmp_path / "whole")
    read = []
    batches = TileUnit.batches

    def stop_at_third(self, quarantine):
        read.append(self.tile.tile)
        if len(read) == 3:
            raise KeyboardInterrupt
        yield from batches(self, quarantine)

    monkeypatch.setattr(TileUnit, "batches", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        ingest(cfg, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    done = []
    ingest(cfg, tmp_path / "store", progress=lambda d, total, what="": done.append((d, total)))
    assert read == [100, 101, 102, 102, 103, 104]
    assert done[0] == (60, 150)
    assert same_store(tmp_path / "whole", tmp_path / "store")
    assert not list(tmp_path.glob(".*"))


def test_another_config_does_not_continue_the_old_work(tiles, tmp_path, monkeypatch):
    batches = TileUnit.batches

    def stop(self, quarantine):
        if self.tile.tile == 102:
            raise KeyboardInterrupt
        yield from batches(self, quarantine)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(TileUnit, "batches", stop)
        ingest(IngestConfig(source=str(tiles), size=32), tmp_path / "store")
    ingest(IngestConfig(source=str(tiles), size=16), tmp_path / "store")
    assert GalaxyStore.open(tmp_path / "store").info.image_size == 16
    assert len(list((tmp_path / "store/shards").iterdir())) == TILES


def test_a_run_killed_after_its_store_was_named_is_recognised(tiles, tmp_path, monkeypatch):
    cfg = IngestConfig(source=str(tiles), size=16)
    with monkeypatch.context() as m:
        m.setattr("euclidfm.ingest.workspace.shutil.rmtree", lambda *a, **k: None)
        first = ingest(cfg, tmp_path / "store")
    assert (tmp_path / ".store.ingest").exists()
    again = ingest(cfg, tmp_path / "store")
    assert again["rows"] == first["rows"]
    assert not (tmp_path / ".store.ingest").exists()
    with pytest.raises(InputError, match="exists already"):
        ingest(cfg, tmp_path / "store")


@pytest.mark.slow
def test_kill_9_ten_times_over(tiles, tmp_path):
    command = [sys.executable, "-m", "euclidfm.cli", "ingest", str(tiles), "--size", "32"]
    run = "import sys; from euclidfm.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", run, *command[3:]]
    begun = time.monotonic()
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    took = time.monotonic() - begun
    chance, killed = random.Random(1), 0
    for k in range(10):
        out = tmp_path / f"store-{k}"
        process = subprocess.Popen(
            [*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(took * chance.uniform(0.3, 1.0))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        if not out.exists():
            subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
        assert same_store(tmp_path / "whole", out)
        shutil.rmtree(out)
    assert killed >= 5


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_is_told_and_the_run_continues(tiles, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", small], capture_output=True)
    if mount.returncode:
        pytest.skip(f"can't mount a tmpfs here: {mount.stderr.decode().strip()}")
    try:
        cfg = IngestConfig(source=str(tiles), size=32)
        with pytest.raises(InputError, match="no space left"):
            ingest(cfg, small / "store")
        assert not (small / "store").exists()
        subprocess.run(["mount", "-o", "remount,size=20m", small], check=True)
        assert ingest(cfg, small / "store")["rows"] == 30 * TILES
    finally:
        subprocess.run(["umount", small], check=True)
