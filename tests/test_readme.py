"""The README's example runs as it stands, links lead somewhere, and lines of the docs are short."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from euclidfm.model import ModelConfig
from euclidfm.pretrain import PretrainConfig, pretrain
from samples import blobs, write_store

README = Path(__file__).parents[1] / "README.md"


def test_python_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "store", blobs(300, bands=()))
    config = PretrainConfig(model=ModelConfig(width=32, depth=2, heads=2), steps=20, batch=32)
    pretrain(replace(config, seed=1), "store", "run")
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    scope: dict = {}
    exec(code, scope)
    assert scope["z_phot"].column_names[:2] == ["object_id", "z_phot"]
    assert scope["z_phot"].num_rows == 300


def test_links_lead_somewhere():
    for page in (README, *README.parent.glob("docs/*.md"), README.parent / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_lines_of_the_docs_fit_in_120_characters():
    root = README.parent
    for page in (README, *root.glob("docs/**/*.md"), root / "CONTRIBUTING.md", root / "CHANGELOG.md"):
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
            assert len(line) <= 120, f"{page.relative_to(root)}:{number} has {len(line)} characters"


@pytest.mark.parametrize("verb", ["demo", "test"])
def test_the_two_commands_are_there(verb):
    assert f"make {verb}" in README.read_text()
    assert f"\n{verb}:" in (README.parent / "Makefile").read_text()
