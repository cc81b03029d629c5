"""Skies that lie elsewhere: object storage, web servers, anything that ``fsspec`` reaches.

The files of the wanted tiles are copied to a cache folder of the same layout, whole, one after
the other; ingest then reads the copy. A mosaic is read many times over by its thousands of
cutouts, so a tile is copied once rather than read piecewise. What is in the cache with the right
size is not copied again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from euclidfm.errors import InputError
from euclidfm.ingest.tiles import mosaic_of
from euclidfm.progress import Progress, silent

__all__ = ["Q1_BUCKET", "is_remote", "mirror"]

Q1_BUCKET = "s3://nasa-irsa-euclid-q1/q1"
"""The public copy of Q1 at IRSA, read without an account."""

_CHUNK = 1 << 22
_CATALOGUE = re.compile(r"FINAL-(MORPH-)?CAT_.*\.(fits|parquet|csv)$")


@dataclass(frozen=True)
class _File:
    """One file: its place under the sky's root, and its size in bytes (None if unknown)."""

    place: str
    size: int | None


def is_remote(source: str) -> bool:
    """Whether a source is a URL rather than a path."""
    return "://" in source and not source.startswith("file://")


def mirror(
    source: str,
    cache: str | Path,
    tiles: Sequence[int],
    bands: Iterable[str],
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Copy the files of some tiles of a remote sky.

    Parameters
    ----------
    source : str
        URL of the folder that holds ``MER/`` and ``catalogs/``, such as `Q1_BUCKET`.
    cache : path
        Folder for the copy; it gets the same layout.
    tiles : sequence of int
        Tiles to copy; a survey is not copied by accident, so none is an error.
    bands : iterable of str
        Bands whose mosaics are wanted.
    options : mapping, optional
        Options of the ``fsspec`` file system; ``s3://`` is read anonymously unless they say otherwise.
    progress : callable, optional
        ``progress(done, total, what)`` in megabytes.

    Returns
    -------
    Path
        `cache`.

    Raises
    ------
    InputError
        If the place can't be reached, a tile is not there, or a file does not arrive whole.
    """
    cache, wanted = Path(cache), frozenset(bands)
    if not tiles:
        msg = f"{source} is remote: say which tiles to fetch, e.g. --tiles '[102018211]'"
        raise InputError(msg)
    system, root = _open(source, options or {})
    files = [f for tile in tiles for f in _files_of(system, root, source, int(tile), wanted)]
    total = sum(f.size or 0 for f in files)
    report, done = progress or silent, 0
    for f in files:
        here = cache / f.place
        if not (f.size is not None and here.exists() and here.stat().st_size == f.size):
            _copy(system, f"{root}/{f.place}", f"{source.rstrip('/')}/{f.place}", here, f.size)
        done += f.size or here.stat().st_size
        report(done // 1_000_000, max(total, done) // 1_000_000, here.name)
    return cache


def _open(source: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as e:
        msg = f"{source}: reading remote files needs fsspec and s3fs: pip install 'euclidfm[remote]'"
        raise InputError(msg) from e
    options = {"anon": True, **options} if source.startswith("s3://") else dict(options)
    try:
        system, root = fsspec.core.url_to_fs(source, **options)
    except (ImportError, ValueError) as e:
        msg = f"{source} can't be opened: {e}; pip install 'euclidfm[remote]' or another address"
        raise InputError(msg) from e
    return system, str(root).rstrip("/")


def _files_of(system: Any, root: str, source: str, tile: int, bands: frozenset[str]) -> list[_File]:
    """Catalogues and the wanted bands' mosaics, RMS and flag maps of a tile."""
    out: list[_File] = []
    _list(system, root, source, "", needed=True)
    for entry in _list(system, root, source, f"catalogs/MER_FINAL_CATALOG/{tile}", needed=True):
        if _CATALOGUE.search(entry.place):
            out.append(entry)
    if not out:
        msg = (
            f"{source}/catalogs/MER_FINAL_CATALOG/{tile} holds no EUC_MER_FINAL-CAT catalogue; check --tiles"
        )
        raise InputError(msg)
    for camera in _folders(system, root, source, f"MER/{tile}"):
        for entry in _list(system, root, source, f"MER/{tile}/{camera}"):
            found = mosaic_of(Path(entry.place).name)
            if found is not None and found[1] == tile and found[0] in bands:
                out.append(entry)
    for name in ("catalogs/spectroscopy.fits",):
        out += [e for e in _list(system, root, source, "catalogs") if e.place == name]
    return out


def _entries(system: Any, root: str, source: str, folder: str, needed: bool) -> list[dict[str, Any]]:
    place = f"{root}/{folder}".rstrip("/")
    try:
        return list(system.ls(place, detail=True))
    except FileNotFoundError:
        if not needed:
            return []
        msg = f"{source.rstrip('/')}/{folder} does not exist; check the address and --tiles"
        raise InputError(msg) from None
    except Exception as e:
        msg = f"{source} can't be listed ({type(e).__name__}: {_short(e)}); check the address and the network"
        raise InputError(msg) from e


def _list(system: Any, root: str, source: str, folder: str, needed: bool = False) -> list[_File]:
    """Files of a folder, by name."""
    found = [
        _File(f"{folder}/{Path(str(e['name']).rstrip('/')).name}".lstrip("/"), e.get("size"))
        for e in _entries(system, root, source, folder, needed)
        if e.get("type") != "directory"
    ]
    return sorted(found, key=lambda f: f.place)


def _folders(system: Any, root: str, source: str, folder: str) -> list[str]:
    entries = _entries(system, root, source, folder, needed=False)
    return sorted(Path(str(e["name"]).rstrip("/")).name for e in entries if e.get("type") == "directory")


def _copy(system: Any, remote: str, url: str, here: Path, size: int | None) -> None:
    """Copy one file aside, check its size, give it its name."""
    here.parent.mkdir(parents=True, exist_ok=True)
    aside = here.with_name(f".{here.name}.partial-{os.getpid()}")
    try:
        with aside.open("wb") as out:
            _stream(system, remote, url, out.write)
        got = aside.stat().st_size
        if size is not None and got != size:
            msg = f"{url} arrived with {got} of {size} bytes; run the same command again to fetch the rest"
            raise InputError(msg)
        aside.replace(here)
    finally:
        aside.unlink(missing_ok=True)


def _stream(system: Any, remote: str, url: str, write: Callable[[bytes], Any]) -> None:
    try:
        with system.open(remote, "rb", block_size=_CHUNK) as source:
            while chunk := source.read(_CHUNK):
                write(chunk)
    except InputError:
        raise
    except OSError as e:
        if e.errno is not None and not isinstance(e, (FileNotFoundError, ConnectionError)):
            raise  # the disk's own trouble, which ingest explains
        msg = f"{url} broke off ({_short(e)}); run the same command again to go on"
        raise InputError(msg) from e
    except Exception as e:
        msg = f"{url} broke off ({type(e).__name__}: {_short(e)}); run the same command again to go on"
        raise InputError(msg) from e


def _short(e: Exception) -> str:
    return " ".join(str(e).split())[:120]
