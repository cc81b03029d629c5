"""The direction of imports of docs/design.md, read from the source."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "euclidfm"
BASE = {"core"}
MAY_IMPORT = {
    "store": set(),
    "metrics": set(),
    "simulate": set(),
    "ingest": {"store"},
    "measure": {"store"},
    "model": {"measure", "store"},
    "pretrain": {"interop", "measure", "model", "store"},
    "embeddings": {"measure", "model", "store"},
    "interop": {"model"},
    "generate": {"model", "store"},
    "tasks": {"embeddings", "measure", "model", "store", "metrics"},
    "discover": {"embeddings", "store", "metrics"},
    "studies": {
        *("discover", "tasks", "pretrain", "model", "embeddings", "generate", "ingest", "simulate"),
        *("measure", "store", "metrics"),
    },
    "report": {"discover", "tasks", "embeddings", "store", "metrics"},
    "predict": {"tasks", "model", "embeddings", "store", "metrics"},
    "explore": {"report", "discover", "tasks", "model", "embeddings", "store", "metrics"},
    "core": set(),
}
NO_TORCH = {
    "core",
    "store",
    "metrics",
    "simulate",
    "ingest",
    "measure",
    "discover",
    "report",
}
FREE = {"workflow", "commands", "cli", "__init__"}


def imports(file: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    out = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            out |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            out |= {f"{node.module}.{alias.name}" for alias in node.names}
    return out


def modules() -> list[tuple[str, Path]]:
    return [(f.relative_to(SRC).parts[0].removesuffix(".py"), f) for f in sorted(SRC.rglob("*.py"))]


@pytest.mark.parametrize(("package", "file"), modules(), ids=lambda v: v if isinstance(v, str) else v.stem)
def test_a_module_imports_only_what_is_upstream(package, file):
    if package in FREE:
        assert package != "workflow" or not any(n.startswith("euclidfm.commands") for n in imports(file))
        return
    assert package in MAY_IMPORT, f"{package} is new: give it a line here and in docs/design.md"
    for name in imports(file):
        if name.startswith("euclidfm."):
            other = name.split(".")[1]
            assert other in MAY_IMPORT[package] | BASE | {package}, f"{file} imports {name}"
        if name.split(".")[0] == "torch":
            assert package not in NO_TORCH, f"{file} imports torch"


def files_imported(name: str, file: Path, known: dict[str, Path]) -> set[str]:
    """Files that a file imports, anywhere in it; a name that is not a file belongs to its package."""
    found = {n if n in known else n.rpartition(".")[0] for n in imports(file)}
    return {n for n in found if n in known and n != name}


def circles() -> list[list[str]]:
    """Groups of files that import one another, directly or not (strongly connected components)."""
    names = {f: ".".join(("euclidfm", *f.relative_to(SRC).with_suffix("").parts)) for _, f in modules()}
    known = {n.removesuffix(".__init__"): f for f, n in names.items()}
    edges = {n: files_imported(n, f, known) for n, f in known.items()}
    reached: dict[str, set[str]] = {}
    for start in known:
        todo, reached[start] = [start], set()
        while todo:
            fresh = edges[todo.pop()] - reached[start]
            reached[start] |= fresh
            todo += fresh
    groups = {tuple(sorted(m for m in reached[n] if n in reached[m])) for n in known if n in reached[n]}
    return [list(g) for g in sorted(groups)]


def test_no_circle_of_imports_between_files():
    assert circles() == []


def test_the_embedding_table_needs_no_model():
    names = imports(SRC / "embeddings" / "table.py")
    assert not any(n.startswith(("torch", "euclidfm.model", "euclidfm.store")) for n in names)


def test_only_fine_tuning_needs_the_model():
    for file in (SRC / "tasks").rglob("*.py"):
        if file.parent.name != "finetune":
            assert not any(n.startswith("euclidfm.model") for n in imports(file)), file


def test_no_pickle():
    for _, file in modules():
        assert not {n.split(".")[0] for n in imports(file)} & {"pickle", "joblib", "dill"}, file


@pytest.mark.parametrize("code", ["import euclidfm", "import euclidfm.cli; euclidfm.cli.main(['--help'])"])
def test_nothing_heavy_at_import(code):
    heavy = "{'torch', 'astropy', 'galsim', 'matplotlib', 'sklearn', 'pyarrow', 'jsonargparse'}"
    code += f"; import sys; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("name", ["torchvision", "torchaudio", "timm"])
def test_packages_that_break_torch_are_absent(name):
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version(name)


def test_modules_stay_small():
    for _, file in modules():
        assert len(file.read_text().splitlines()) <= 500, f"{file} has grown: split it"
