"""Outputs are checked before the work; new files have the usual mode; a closed pipe is no error."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from euclidfm.cli import COMMANDS, main
from euclidfm.core.errors import InputError
from euclidfm.core.files import check_output, written_aside
from euclidfm.model import FoundationModel
from euclidfm.model.checkpoint import build
from samples import SMALL, blobs, write_store

ARGUMENTS = {
    "validate": ["sky"],
    "ingest": ["sky"],
    "pretrain": ["store"],
    "import-astropt": ["ckpt.pt", "--bands={images: [VIS]}", "--crop=64"],
    "embed": ["run", "store"],
    "generate": ["run", "store", "--to", "sed"],
    "probe": ["emb", "--store=store", "--task=photoz"],
    "finetune": ["run", "store", "--task=photoz"],
    "predict": ["run", "store", "probe"],
    "search": ["emb", "--like=[1]"],
    "index": ["emb"],
    "outliers": ["emb"],
    "report": ["demo"],
}
"""Arguments of each verb with an --out, of inputs that do not exist: the output is what is found wrong."""


def test_the_verbs_with_an_output_are_all_here():
    assert set(COMMANDS) - set(ARGUMENTS) == {"simulate", "explore", "demo", "reproduce", "info"}


@pytest.mark.parametrize("verb", [*ARGUMENTS, "simulate", "demo", "reproduce"])
def test_an_output_below_a_file_is_noticed_first(verb, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert main([verb, *ARGUMENTS.get(verb, []), "--out", "file/below.parquet"]) == 2
    assert "can't be written" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_each_way_in_which_an_output_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path, folder, told in (
        (tmp_path, False, "is a folder, but a file"),
        (tmp_path / "file", True, "is a file, but a folder"),
        (tmp_path / "file" / "a" / "b", True, "is a file; choose another name"),
        (tmp_path / ("x" * 300), False, "can't be written"),
    ):
        with pytest.raises(InputError, match=told):
            check_output(path, folder=folder)
    with pytest.raises(InputError, match=re.escape("written as .parquet, .csv or .fits")):
        check_output("table.txt", folder=False, endings=(".parquet", ".csv", ".fits"))
    check_output(tmp_path / "new" / "deep" / "file", folder=False)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        check_output(tmp_path / "out", folder=True)


def test_weights_have_the_mode_of_other_files(tmp_path):
    build(SMALL).save(tmp_path / "run")
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "run").iterdir()}
    assert modes["model.safetensors"] == modes["model.json"] != 0o600
    FoundationModel.load(tmp_path / "run")


def test_files_of_a_folder_get_the_usual_mode_and_a_strict_umask_is_kept(tmp_path):
    before = os.umask(0o077)
    try:
        with written_aside(tmp_path / "strict") as aside:
            aside.write_text("private")
    finally:
        os.umask(before)
    assert (tmp_path / "strict").stat().st_mode & 0o777 == 0o600
    with written_aside(tmp_path / "folder") as aside:
        aside.mkdir()
        (aside / "weights").write_text("1")
        (aside / "weights").chmod(0o600)
    assert (tmp_path / "folder" / "weights").stat().st_mode & 0o777 == 0o666 & ~before
    assert {p.name for p in tmp_path.iterdir()} == {"strict", "folder"}


@pytest.mark.parametrize("argv", [["--help"], ["info", "store"]])
def test_a_closed_pipe_is_no_error(argv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "store", blobs(4))
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "euclidfm.cli", *argv]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_messages_are_one_line():
    assert str(InputError("a\n  b\r\nc")) == "a b c"
    assert str(InputError("two  blanks in a name")) == "two  blanks in a name"
