"""The command line: help, exit codes, one clear sentence for each mistake."""

import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from euclidfm.cli import COMMANDS, main
from euclidfm.commands.renamed import RENAMED_OPTIONS
from euclidfm.embeddings import EmbeddingTable
from euclidfm.model import FoundationModel, ModelConfig
from euclidfm.pretrain import PretrainConfig
from samples import blobs, tiny_run, write_store


def test_help_lists_the_verbs():
    done = subprocess.run([sys.executable, "-m", "euclidfm.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and all(v in done.stdout for v in COMMANDS)


def test_every_verb_has_help_with_an_example(capsys):
    for verb in COMMANDS:
        assert main([verb, "--help"]) == 0
        told = capsys.readouterr().out
        assert f"example: euclidfm {verb}" in told


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["fly"], "no verb 'fly'"),
        (["embed", "nowhere", "store", "--out", "e.parquet"], "nowhere holds no model"),
        (["pretrain", "nowhere", "--out", "run"], "nowhere is not a store"),
        (["pretrain", "s", "--out", "run", "--steps", "few"], "steps"),
        (["pretrain", "s", "--out", "run", "--model.width", "50"], "width 50 must be a multiple of heads 6"),
        (["pretrain", "s", "--out", "run", "--speed", "11"], "speed"),
        (["search", "nowhere.parquet", "--like", "[1]"], "nowhere.parquet does not exist"),
        (["info", "nowhere"], "nowhere does not exist"),
        (["probe", "e.parquet", "--store", "nowhere", "--out", "p"], "nowhere is not a store"),
    ],
)
def test_mistakes_end_with_2_and_one_sentence(argv, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert told in err and len(err.strip().splitlines()) == 1 and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [["--spin", "8"], ["--spin=8"], ["--config", "old.yaml"]])
def test_an_old_option_is_answered_with_its_new_name(given, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.yaml").write_text("spin: 8\n")
    monkeypatch.setitem(RENAMED_OPTIONS, "embed", {"spin": "symmetries"})
    assert main(["embed", "run", "store", "--out", "e.parquet", *given]) == 2
    assert "option --spin of `embed` is now --symmetries" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "answer"),
    [
        (["embed", "run", "store", "--out", "e", "--turns", "8"], "--turns of `embed` is now --symmetries"),
        (["finetune", "run", "store", "--out", "f", "--held=0.1"], "--held of `finetune` is now --holdout"),
    ],
)
def test_each_renamed_option_is_answered(argv, answer, capsys):
    assert main(argv) == 2
    assert answer in capsys.readouterr().err


def test_an_old_option_with_parts_keeps_them(monkeypatch, capsys):
    monkeypatch.setitem(RENAMED_OPTIONS, "pretrain", {"model.word": "model.token"})
    assert main(["pretrain", "store", "--out", "run", "--model.word.size=3"]) == 2
    assert "option --model.word.size of `pretrain` is now --model.token.size" in capsys.readouterr().err


def test_a_run_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "store", blobs(300))
    assert main(["pretrain", "store", "--out", "run", *tiny_run()]) == 0
    assert main(["embed", "run", "store", "--out", "emb.parquet"]) == 0
    emb = EmbeddingTable.read("emb.parquet")
    assert len(emb) == 300 and set(emb.by_modality) == {"VIS", "SED"}
    probe = ["probe", "emb.parquet", "--store", "store", "--task", "photoz", "--out", "probe"]
    assert main([*probe, "--density", "true"]) == 0
    assert pq.read_table("probe/predictions.parquet").num_rows == 300
    assert pq.read_table("probe/pz.parquet").num_rows == 300
    assert (tmp_path / "probe" / "pz.hdf5").stat().st_size > 300 * 400
    example = str(emb.object_id[0])
    assert main(["search", "emb.parquet", "--like", f"[{example}]", "--k", "5", "--out", "n.csv"]) == 0
    assert example not in (tmp_path / "n.csv").read_text()
    assert main(["outliers", "emb.parquet", "--out", "o.parquet"]) == 0
    capsys.readouterr()
    for path in ("store", "run", "emb.parquet", "probe", "o.parquet"):
        assert main(["info", path]) == 0
        assert path in capsys.readouterr().out


def test_commands_are_functions_that_return_what_they_made(tmp_path):
    from euclidfm.commands import data, discovery, model, science

    folder = tmp_path / "store"
    write_store(folder, blobs(120, bands=()))
    config = PretrainConfig(model=ModelConfig(images=(), width=16, depth=1, heads=2), steps=2, batch=16)
    made = model.pretrain(folder, config, out=tmp_path / "run")
    assert isinstance(made, FoundationModel) and made.config.width == 16
    file = tmp_path / "emb.parquet"
    emb = model.embed(tmp_path / "run", folder, out=file)
    np.testing.assert_array_equal(emb.vectors, EmbeddingTable.read(file).vectors)
    records = science.probe(file, store=folder, head="linear", out=tmp_path / "photoz")
    assert {"nmad", "outlier_fraction"} & {r["metric"] for r in records}
    out = tmp_path / "catalogue.parquet"
    assert science.predict(tmp_path / "run", folder, [str(tmp_path / "photoz")], out=[str(out)]) == 120
    assert discovery.search(file, like=(int(emb.object_id[0]),), k=3).num_rows == 3
    assert len(discovery.outliers(file, out=tmp_path / "odd.parquet")) == 120
    assert "120 galaxies" in data.info(folder)


def test_a_preset_gives_the_defaults_and_other_settings_win(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("preset: astropt-5m\nsteps: 7\nmodel: {crop: 32}\n")
    assert (
        main(["pretrain", "store", "--out", "run", "--config", "c.yaml", "--lr=0.5", "--print_config"]) == 0
    )
    shown = yaml.safe_load(capsys.readouterr().out)
    model = shown["model"]
    assert (shown["preset"], shown["steps"], shown["lr"], model["crop"]) == ("astropt-5m", 7, 0.5, 32)
    assert model["width"] == 256 and shown["min_lr"] == 0.1  # of the preset
    (tmp_path / "shown.yaml").write_text(yaml.safe_dump(shown))
    again = [
        "pretrain",
        "store",
        "--out",
        "run",
        "--config",
        "shown.yaml",
        "--preset",
        "3m",
        "--print_config",
    ]
    assert main(again) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"] == model
    assert main(["pretrain", "store", "--out", "run", "--preset", "9z"]) == 2
    assert "there is no preset '9z'" in capsys.readouterr().err


def test_help_of_pretrain_shows_the_first_options_first(capsys):
    assert main(["pretrain", "--help"]) == 0
    first, _, further = capsys.readouterr().out.partition("further options:")
    for name in ("store", "--out", "--preset", "--config", "--steps", "--batch", "--lr", "--model.width"):
        assert f"\n  {name} " in first and f"\n  {name} " not in further, name
    assert "--warmup" in further and "--warmup" not in first


def test_config_file_and_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "store", blobs(100, bands=()))
    (tmp_path / "c.yaml").write_text("steps: 3\nbatch: 8\nmodel: {width: 32, depth: 1, heads: 2}\n")
    assert main(["pretrain", "store", "--out", "run", "--config", "c.yaml", "--batch", "16"]) == 0
    resolved = (tmp_path / "run" / "config.yaml").read_text()
    assert "steps: 3" in resolved and "batch: 16" in resolved and "width: 32" in resolved
