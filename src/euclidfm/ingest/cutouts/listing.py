"""Which file belongs to which row of a table, and what is left over on either side."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.formats import Table
from euclidfm.ingest.cutouts.section import PLACEHOLDER, CutoutBand, CutoutSection

__all__ = ["Listing", "file_names", "glob_names", "inside", "listed"]

_WILD = {"*": ".*", "?": "."}


@dataclass
class Listing:
    """Files of each galaxy.

    Attributes
    ----------
    names : list of tuple of str
        Files of each row, relative to the source: one, or one a band, empty for a band without one.
    unnamed : list of str
        Files beside those of the rows that no row names.
    """

    names: list[tuple[str, ...]]
    unnamed: list[str] = field(default_factory=list)


def file_names(section: CutoutSection, table: Table, n: int) -> list[tuple[str, ...]]:
    """Names of the files of each row, made of its columns: one, or one a band."""
    pattern = str(section.files)
    per_band = "{band}" in pattern
    columns = {c: table[c] for c in section.file_columns}

    def name(i: int, band: CutoutBand | None) -> str:
        values = {c: str(v[i]) for c, v in columns.items()}
        if band is not None:
            values["band"] = band.file or band.name
        return PLACEHOLDER.sub(lambda found: values[found[1]], pattern)

    return [tuple(name(i, b) for b in (section.bands if per_band else (None,))) for i in range(n)]


def glob_names(root: Path, section: CutoutSection) -> list[tuple[str, ...]]:
    """Names of the files of each galaxy where there is no table: those that match the pattern, in order.

    Raises
    ------
    InputError
        If none does.
    """
    pattern, bands = str(section.files), section.bands
    first = pattern.replace("{band}", bands[0].file or bands[0].name)
    found = sorted(p.relative_to(root).as_posix() for p in root.glob(first) if not p.is_dir())
    if not found:
        msg = f"{root} holds no file {first!r}; correct files in the recipe, or name the folder that does"
        raise InputError(msg)
    if "{band}" not in pattern:
        return [(name,) for name in found]
    head, tail = ("".join(_WILD.get(c, re.escape(c)) for c in part) for part in pattern.split("{band}", 1))
    parts = [re.fullmatch(f"({head}){re.escape(bands[0].file or bands[0].name)}({tail})", n) for n in found]
    return [tuple(f"{m[1]}{b.file or b.name}{m[2]}" for b in bands) for m in parts if m is not None]


def listed(root: Path, names: list[tuple[str, ...]], section: CutoutSection) -> Listing:
    """Compare names with the files of their folders.

    Each folder is listed once. A file that no row names counts if its name is as the pattern of the recipe
    has it, with the ending of a named one.
    """
    alike = re.compile(".*".join(re.escape(p) for p in PLACEHOLDER.split(str(section.files))[::2]))
    folders = {os.path.dirname(name) for row in names for name in row}  # noqa: PTH120
    endings = {_ending(name) for row in names for name in row}
    there = {f"{folder}/{name}".lstrip("/") for folder in folders for name in _files(root / folder)}
    used = {name for row in names for name in row}
    kept = [tuple(name if name in there else "" for name in row) for row in names]
    return Listing(
        names=kept,
        unnamed=sorted(n for n in there - used if _ending(n) in endings and alike.fullmatch(n)),
    )


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def _files(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if not e.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def inside(root: Path, name: str) -> Path:
    """Path of a file of the source.

    Raises
    ------
    InputError
        If it lies outside, by ``..`` or by a symbolic link.
    """
    path, below = root / name, str(root)
    for part in name.split("/"):
        below = f"{below}{os.sep}{part}"
        if part == ".." or os.path.islink(below):  # noqa: PTH114
            break
    else:
        return path
    real = os.path.realpath(path)
    if not real.startswith(f"{os.path.realpath(root)}{os.sep}"):
        msg = f"{path} leads out of the folder, to {real}; copy the file into the folder"
        raise InputError(msg)
    return path
