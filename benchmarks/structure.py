"""How the code is built: sizes, settings, circles of imports, repetition.

    python benchmarks/structure.py [src/euclidfm]

Prints one line a figure for a source tree, so that two commits can be compared. Duplicates are those of
``pylint --enable=duplicate-code`` with at least six similar lines (imports, comments and docstrings left
out), if pylint is installed.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

CONFIGS = ("ModelConfig", "BlockConfig", "TokenConfig", "PretrainConfig")
"""Classes whose fields are the settings of a model and its pre-training."""
NO_SETTING = ("Fitted:", "Imported:")
"""Starts of the docstring of a field that is no setting."""


def modules(root: Path) -> dict[str, Path]:
    """Files by dotted name."""
    out = {}
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        out[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return out


def imports(name: str, file: Path, known: dict[str, Path]) -> set[str]:
    """Files that a file imports, anywhere in it; an import from a package counts as one of its submodule."""
    out = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            out |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for a in node.names:
                submodule = f"{node.module}.{a.name}"
                out.add(submodule if submodule in known else node.module)
    return {n for n in out if n in known and n != name}


def circles(root: Path, packages: bool = True) -> list[list[str]]:
    """Groups of files that import one another, directly or not (strongly connected components).

    Parameters
    ----------
    root : Path
    packages : bool
        Whether ``__init__`` files count. They re-export the modules below them, so a module that imports from
        its own package closes a circle with them.
    """
    known = modules(root)
    if not packages:
        known = {n: f for n, f in known.items() if f.name != "__init__.py"}
    edges = {n: imports(n, f, known) for n, f in known.items()}

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for target in edges[todo.pop()] - seen:
                seen.add(target)
                todo.append(target)
        return seen

    reached = {n: reach(n) for n in known}
    left, out = {n for n in known if n in reached[n]}, []
    while left:
        first = min(left)
        group = sorted(n for n in left if n in reached[first] and first in reached[n])
        out.append(group)
        left -= set(group)
    return out


def fields(root: Path) -> list[tuple[str, bool]]:
    """Fields of the configs of a model and its pre-training.

    Returns
    -------
    list of (str, bool)
        ``Class.field``, and whether a user sets it: it is not fitted, imported or another config.
    """
    found = []
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ClassDef) or node.name not in CONFIGS:
                continue
            for item, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(item, ast.AnnAssign):
                    nested = "Config" in ast.unparse(item.annotation)
                    text = after.value.value if _is_docstring(after) else ""
                    user_sets = not nested and not text.startswith(NO_SETTING)
                    found.append((f"{node.name}.{ast.unparse(item.target)}", user_sets))
    return found


def _is_docstring(node: ast.stmt | None) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def functions(root: Path, without_docstrings: bool = False) -> list[tuple[int, str]]:
    """Lines and names of all functions, the longest first."""
    rows = []
    for name, file in modules(root).items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                own = docstrings(node) if without_docstrings else 0
                rows.append((node.end_lineno - node.lineno + 1 - own, f"{name}.{node.name}"))
    return sorted(rows, reverse=True)


def lines(files: list[Path]) -> int:
    """Lines of some files."""
    return sum(len(f.read_text().splitlines()) for f in files)


def docstrings(node: ast.AST) -> int:
    """Lines of the docstrings in a piece of code."""
    found = 0
    for inner in ast.walk(node):
        for item in (
            getattr(inner, "body", None) or [] if not isinstance(inner, ast.Lambda | ast.IfExp) else []
        ):
            if _is_docstring(item) and item.end_lineno:
                found += item.end_lineno - item.lineno + 1
    return found


def duplicates(root: Path) -> str:
    """Pairs that pylint finds."""
    command = [
        sys.executable, "-m", "pylint", "--disable=all", "--enable=duplicate-code",
        "--min-similarity-lines=6", "--ignore-imports=y", "--ignore-docstrings=y", "--ignore-comments=y",
        "--ignore-signatures=y", str(root),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named pylint" in done.stderr:
        return "pylint is not installed"
    return str(len(re.findall(r"R0801", done.stdout)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=Path, default=Path("src/euclidfm"))
    root = parser.parse_args().root
    files = list(root.rglob("*.py"))
    folders = Counter(f.parent for f in files if f.name != "__init__.py")
    fullest, most = folders.most_common(1)[0]
    command_line = [
        f for f in files if f.name == "cli.py" or f.stem.endswith("verbs") or "commands" in f.parts
    ]
    longest, code = functions(root)[0], functions(root, without_docstrings=True)[0]
    help_texts = sum(docstrings(ast.parse(f.read_text())) for f in command_line)
    print(f"lines in all: {lines(files)}")
    print(f"lines of model/: {lines(list((root / 'model').rglob('*.py')))}")
    print(f"files of model/: {len(list((root / 'model').rglob('*.py')))}")
    settings = fields(root)
    print(f"fields of the configs of a model and its pre-training: {len(settings)}")
    print(f"of these a user sets: {sum(can for _, can in settings)}")
    print(f"modules in the fullest folder: {most} ({fullest})")
    print(f"circles of files, packages' __init__ left out: {len(circles(root, packages=False))}")
    print(f"circles of files, with them: {len(circles(root))}")
    print(f"lines of the command line: {lines(command_line)}, {help_texts} of them docstrings")
    print(f"longest function: {longest[0]} lines ({longest[1]})")
    print(f"longest function without its docstring: {code[0]} lines ({code[1]})")
    print(f"duplicates by pylint: {duplicates(root)}")


if __name__ == "__main__":
    main()
