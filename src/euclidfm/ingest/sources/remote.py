"""Skies that lie elsewhere: which files a tile has, and copies of them.

Catalogues are always copied to a cache folder of the same layout. A tile's mosaics are copied
whole, or read piece by piece where only few objects are wanted (`choose`): a mosaic of 1.5 GB is
read many times over by thousands of cutouts, but hardly touched by ten. What the cache holds with
the right size is not copied again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.ingest.sources.tiles import BandFiles, TileFiles, bands_of, mosaic_of
from euclidfm.ingest.sources.urls import Place, RemoteFile, copy_file, is_remote, open_system, short

__all__ = ["LAZY_OBJECTS", "Q1_BUCKET", "choose", "is_remote", "mirror", "remote_bands"]

Q1_BUCKET = "s3://nasa-irsa-euclid-q1/q1"
"""The public copy of Q1 at IRSA, read without an account."""

LAZY_OBJECTS = 200
"""Objects of a tile up to which ``fetch: auto`` reads pieces of its mosaics instead of copying them."""

_CATALOGUE = re.compile(r"FINAL-(MORPH-)?CAT_.*\.(fits|parquet|csv)$")


def mirror(
    source: str,
    cache: str | Path,
    tiles: Sequence[int],
    bands: Iterable[str],
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Copy the catalogues of some tiles of a remote sky, and the mosaics of the given bands.

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
    files: list[RemoteFile] = []
    for tile in tiles:
        files += _catalogues(source, int(tile), options)
        files += _mosaics(source, int(tile), wanted, options)
    fetch(files, cache, progress)
    return cache


def remote_bands(
    source: str, tile: int, bands: Iterable[str], cache: Path, options: Mapping[str, Any] | None = None
) -> dict[str, BandFiles]:
    """Mosaics of a tile of a remote sky; those that the cache holds whole are the cache's."""
    files = _mosaics(source, tile, frozenset(bands), options)
    return bands_of(tile, [_held(f, cache) or f for f in files])


def choose(
    tile: TileFiles,
    objects: int,
    cache: Path,
    how: Literal["auto", "copy", "lazy"],
    progress: Progress | None = None,
) -> TileFiles:
    """The tile with its remote mosaics copied, or left where they are to be read in pieces.

    Parameters
    ----------
    tile : TileFiles
    objects : int
        Selected objects of the tile.
    cache : path
    how : {"auto", "copy", "lazy"}
        ``auto`` reads in pieces for at most `LAZY_OBJECTS` objects.
    progress : callable, optional
    """
    planes = [p for b in tile.bands.values() for p in (b.image, b.rms, b.flag)]
    away = [p for p in planes if isinstance(p, RemoteFile)]
    if not away or objects == 0 or how == "lazy" or (how == "auto" and objects <= LAZY_OBJECTS):
        return tile
    here = dict(zip([f.url for f in away], fetch(away, cache, progress), strict=True))

    def held(p: Place) -> Place:
        return here[p.url] if isinstance(p, RemoteFile) else p

    bands = {
        name: BandFiles(held(b.image), b.rms and held(b.rms), b.flag and held(b.flag))
        for name, b in tile.bands.items()
    }
    return replace(tile, bands=bands)


def fetch(files: Sequence[RemoteFile], cache: Path, progress: Progress | None = None) -> list[Path]:
    """Copy files to their places in the cache; what is there with the right size is not copied again."""
    files = [f if f.size is not None else _sized(f) for f in files]
    total = sum(f.size or 0 for f in files)
    report, done, out = progress or silent, 0, []
    for f in files:
        here = cache / f.place
        if _held(f, cache) is None:
            system, path = open_system(f.url, f.options)
            copy_file(system, path, f.url, here, f.size)
        done += f.size or here.stat().st_size
        report(done // 1_000_000, max(total, done) // 1_000_000, here.name)
        out.append(here)
    return out


def _sized(file: RemoteFile) -> RemoteFile:
    system, path = open_system(file.url, file.options)
    try:
        size = system.size(path)
    except FileNotFoundError:
        msg = f"{file} does not exist; check the address"
        raise InputError(msg) from None
    except Exception as e:
        msg = f"{file} can't be reached ({type(e).__name__}: {short(e)}); check the network"
        raise InputError(msg) from e
    return replace(file, size=size)


def _held(file: RemoteFile, cache: Path) -> Path | None:
    """The copy of a file, if there is a whole one; a web server's list of files has no sizes."""
    here = cache / file.place
    if not here.exists():
        return None
    size = file.size if file.size is not None else _sized(file).size
    return here if here.stat().st_size == size else None


def _catalogues(source: str, tile: int, options: Mapping[str, Any] | None) -> list[RemoteFile]:
    """Catalogues of a tile, and the sky's table of spectra."""
    _list(source, "", options, needed=True)
    folder = f"catalogs/MER_FINAL_CATALOG/{tile}"
    out = [f for f in _list(source, folder, options, needed=True) if _CATALOGUE.search(f.place)]
    if not out:
        msg = f"{source}/{folder} holds no EUC_MER_FINAL-CAT catalogue; check --tiles"
        raise InputError(msg)
    return out + [f for f in _list(source, "catalogs", options) if f.place == "catalogs/spectroscopy.fits"]


def _mosaics(
    source: str, tile: int, bands: frozenset[str], options: Mapping[str, Any] | None
) -> list[RemoteFile]:
    """The wanted bands' mosaics, RMS and flag maps of a tile."""
    out: list[RemoteFile] = []
    for camera in _folders(source, f"MER/{tile}", options) if bands else []:
        for file in _list(source, f"MER/{tile}/{camera}", options):
            found = mosaic_of(file.name)
            if found is not None and found[1] == tile and found[0] in bands:
                out.append(file)
    return out


def _entries(
    source: str, folder: str, options: Mapping[str, Any] | None, needed: bool
) -> list[dict[str, Any]]:
    system, root = open_system(source, options)
    try:
        return list(system.ls(f"{root}/{folder}".rstrip("/"), detail=True))
    except FileNotFoundError:
        if not needed:
            return []
        msg = f"{source.rstrip('/')}/{folder} does not exist; check the address and --tiles"
        raise InputError(msg) from None
    except Exception as e:
        msg = f"{source} can't be listed ({type(e).__name__}: {short(e)}); check the address and the network"
        raise InputError(msg) from e


def _name(entry: Mapping[str, Any]) -> str:
    return Path(str(entry["name"]).rstrip("/")).name


def _list(
    source: str, folder: str, options: Mapping[str, Any] | None, needed: bool = False
) -> list[RemoteFile]:
    """Files of a folder, by name."""
    root = source.rstrip("/")
    found = [
        RemoteFile(f"{root}/{place}", place, e.get("size"), options or {})
        for e in _entries(source, folder, options, needed)
        if e.get("type") != "directory"
        for place in [f"{folder}/{_name(e)}".lstrip("/")]
    ]
    return sorted(found, key=lambda f: f.place)


def _folders(source: str, folder: str, options: Mapping[str, Any] | None) -> list[str]:
    entries = _entries(source, folder, options, needed=False)
    return sorted(_name(e) for e in entries if e.get("type") == "directory")
