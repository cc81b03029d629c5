"""Files: atomic writes, JSON and YAML in and out, tables, and the record of a run."""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError

__all__ = [
    "check_output",
    "plain",
    "read_json",
    "read_yaml",
    "record_run",
    "versions",
    "write_json",
    "write_table",
    "write_text",
    "write_yaml",
    "written_aside",
]


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """Write a file or a folder atomically: under a temporary name first, then renamed.

    The parent folder is made if it is missing. If the block ends well, what it wrote takes the place of
    `path`; if the block raises, what it wrote is removed and `path` stays as it was.

    Parameters
    ----------
    path : path
        Where the file or folder has to appear.

    Yields
    ------
    Path
        Temporary name in the same folder, unique to this process, with the ending of `path`. The block makes
        a file or a folder of this name.

    Examples
    --------
    >>> with written_aside("table.parquet") as aside:  # doctest: +SKIP
    ...     pq.write_table(table, aside)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".partial-{os.getpid()}-{path.name}")
    _remove(aside)
    try:
        yield aside
        _share(aside)
        if aside.is_dir():
            _remove(path)
        aside.replace(path)
    finally:
        _remove(aside)


def _share(path: Path) -> None:
    """Give files that only their owner may read, as safetensors writes them, the usual mode of new files."""
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    private = [p for p in files if p.is_file() and p.stat().st_mode & 0o777 == 0o600]
    if private:
        usual = path.with_name(f"{path.name}.mode")
        usual.touch()  # its mode follows the umask
        mode = usual.stat().st_mode & 0o777
        usual.unlink()
        for p in private:
            p.chmod(mode)


def check_output(path: str | Path, *, folder: bool, endings: Sequence[str] = ()) -> None:
    """Check, before the work begins, that a file or a folder can be written.

    Parameters
    ----------
    path : path
    folder : bool
        Whether a folder is to be written, or a file.
    endings : sequence of str
        Endings of the name that a file may have; empty for any.

    Raises
    ------
    InputError
        If the name is of another kind of file, a part of the path is a file, or writing is not permitted.
    """
    path = Path(path)
    if endings and path.suffix not in endings:
        named = " or ".join(filter(None, (", ".join(endings[:-1]), endings[-1])))
        msg = f"{path}: tables are written as {named}; choose one of these endings"
        raise InputError(msg)
    try:
        if path.exists() and path.is_dir() != folder:
            kind, wanted = ("folder", "file") if path.is_dir() else ("file", "folder")
            msg = f"{path} is a {kind}, but a {wanted} is to be written; choose another name"
            raise InputError(msg)
        place = path if folder and path.exists() else path.absolute().parent
        while not place.exists():
            place = place.parent
        if not place.is_dir():
            msg = f"{path} can't be written, because {place} is a file; choose another name"
            raise InputError(msg)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as e:
        msg = f"{path} can't be written ({e.strerror}); choose another place, or change its mode or its owner"
        raise InputError(msg) from None


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """Turn dataclasses, numpy values and paths into values that JSON can hold; NaN becomes null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON (strict: NaN and infinities become null)."""
    write_text(path, json.dumps(plain(value), indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises
    ------
    InputError
        If the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{path} does not exist"
        raise InputError(msg) from None
    except json.JSONDecodeError as e:
        msg = f"{path} is not valid JSON (line {e.lineno}: {e.msg}); it may be truncated"
        raise InputError(msg) from None


def write_yaml(path: str | Path, value: Any) -> None:
    """Write a config as YAML."""
    import yaml

    write_text(path, yaml.safe_dump(plain(value), sort_keys=False))


def read_yaml(path: str | Path) -> Any:
    """Read YAML.

    Raises
    ------
    InputError
        If the file is missing or is not YAML; the message names the line.
    """
    import yaml

    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{path} does not exist"
        raise InputError(msg) from None
    except yaml.YAMLError as e:
        msg = f"{path} is not valid YAML: {' '.join(str(e).split())}"
        raise InputError(msg) from None


def versions() -> dict[str, str]:
    """Versions of this program, of Python, and of the packages that its results depend on."""
    out = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("euclidfm", "torch", "numpy", "scikit-learn", "astropy", "pyarrow", "galsim", "lightgbm"):
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


@contextmanager
def record_run(folder: str | Path, verb: str, config: Any, *, appears: bool = False) -> Iterator[None]:
    """Record the settings, the versions, the duration and the end of a run.

    ``folder/<verb>.run.json`` is written at the end; ``folder/euclidfm.log`` is appended to.

    Parameters
    ----------
    folder : path
    verb : str
    config : dataclass or mapping
        The resolved config, seed included.
    appears : bool
        The run makes the folder itself, by renaming; until then the log lies beside it.
    """
    folder = Path(folder)
    home = folder.parent if appears else folder
    existed = home.exists()
    home.mkdir(parents=True, exist_ok=True)
    path = home / f".{folder.name}.log-{os.getpid()}" if appears else folder / "euclidfm.log"
    handler = logging.FileHandler(path, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log = logging.getLogger("euclidfm")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    begun = time.monotonic()
    log.info("%s starts, %s", verb, " ".join(f"{k} {v}" for k, v in versions().items()))
    try:
        yield
    except BaseException as e:
        log.info("%s ends after %.1f s: %s: %s", verb, time.monotonic() - begun, type(e).__name__, e)
        raise
    else:
        seconds = time.monotonic() - begun
        log.info("%s done in %.1f s", verb, seconds)
        card = {"verb": verb, "config": plain(config), "versions": versions(), "seconds": round(seconds, 2)}
        write_json(folder / f"{verb}.run.json", card)
        if appears:
            path.replace(folder / "euclidfm.log")
    finally:
        log.removeHandler(handler)
        handler.close()
        only_a_log = not existed and [p.name for p in home.iterdir()] == [path.name]
        if path.exists() and (appears or only_a_log):
            path.unlink()
        if only_a_log:
            home.rmdir()


def write_table(table: Any, path: str | Path) -> None:
    """Write an Arrow table as Parquet, CSV or FITS, by the ending of the name.

    In CSV, text that a spreadsheet would take for a formula is escaped (`core.spreadsheet`).

    Raises
    ------
    InputError
        If the ending is none of these.
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".csv", ".fits"):
        msg = f"{path}: tables are written as .parquet, .csv or .fits; choose one of these endings"
        raise InputError(msg)
    with written_aside(path) as aside:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            pq.write_table(table, aside, write_page_checksum=True)
        elif path.suffix == ".csv":
            import pyarrow.csv

            from euclidfm.core.spreadsheet import escape_table

            pyarrow.csv.write_csv(escape_table(table), aside)
        else:
            from astropy.table import Table

            Table({n: table.column(n).to_numpy() for n in table.column_names}).write(aside, format="fits")
