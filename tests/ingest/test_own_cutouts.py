"""The how-to "Your own cutouts in ten minutes", as it stands."""

import re
import shlex
from pathlib import Path

import numpy as np
from pictures import folder_of_pictures

from euclidfm.cli import main
from euclidfm.embeddings import EmbeddingTable
from euclidfm.generate import GenerateConfig
from euclidfm.generate.run import write
from euclidfm.model import FoundationModel
from euclidfm.store import GalaxyStore

PAGE = Path(__file__).parents[2] / "docs" / "own-cutouts.md"


def test_the_how_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder_of_pictures(tmp_path / "mine", 40)
    text = PAGE.read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    for name, block in zip(("mine.yaml", "model.yaml"), blocks, strict=True):
        Path(name).write_text(block.replace("steps: 20", "steps: 2"))
    commands = re.findall(r"^euclidfm (.*)$", text, re.MULTILINE)
    assert [c.split()[0] for c in commands] == ["ingest", "info", "pretrain", "embed"]
    for command in commands:
        assert main(shlex.split(command)) == 0
    emb, store = EmbeddingTable.read("embeddings.parquet"), GalaxyStore.open("store")
    assert len(emb) == 40 and np.isfinite(emb.vectors).all()
    assert emb.object_id.tolist() == store.labels("class").column("object_id").to_pylist()
    _generated_images_keep_their_unit(store)
    _calibrated_images_are_refused(tmp_path, store)


def _generated_images_keep_their_unit(store):
    model = FoundationModel.load("run")
    assert model.config.uncalibrated == store.info.uncalibrated
    config = GenerateConfig(to=("RGB",), given=("RGB",), hide_half=True, limit=2)
    made, _ = write(model, store, config, "made")
    assert made.info.uncalibrated == ("red", "green", "blue") and np.isnan(made.info.pixel_arcsec)


def _calibrated_images_are_refused(tmp_path, store):
    text = (tmp_path / "mine.yaml").read_text().replace("unit: uncalibrated", "unit: nanomaggy")
    (tmp_path / "calibrated.yaml").write_text(text)
    assert main(["ingest", "mine", "--recipe", "calibrated.yaml", "--out", "calibrated"]) == 0
    assert main(["embed", "run", "calibrated", "--out", "none.parquet"]) == 2
    assert not Path("none.parquet").exists()
