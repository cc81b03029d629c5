"""A sky behind a URL: which files its tiles have, and copies of them in a cache folder.

Catalogues are always copied. A tile's mosaics are copied, or read in pieces where few objects are wanted
(`fetch_mosaics`): thousands of cutouts read a mosaic of 1.5 GB many times over, ten cutouts hardly touch
it. A file that the cache holds with the right size is not copied again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.ingest.files import Place, RemoteFile, copy_file, open_system, short
from euclidfm.ingest.tiles import (
    CATALOGUE,
    CATALOGUES,
    MORPHOLOGY,
    SPECTROSCOPY,
    BandFiles,
    TileFiles,
    bands_of,
    mosaic_of,
)

__all__ = ["LAZY_OBJECTS", "fetch_mosaics", "mirror", "remote_bands"]

LAZY_OBJECTS = 200
"""Objects of a tile up to which ``fetch: auto`` reads pieces of its mosaics instead of copying them."""

Options = Mapping[str, Any]
"""Options of an ``fsspec`` file system."""


def mirror(
    source: str,
    cache: Path,
    tiles: Sequence[int],
    bands: Iterable[str],
    options: Options,
    progress: Progress | None = None,
) -> None:
    """Copy the catalogues of some tiles, and the mosaics of some bands, to a cache of the same layout.

    Parameters
    ----------
    source : str
        URL of the folder that holds ``MER/`` and ``catalogs/``, such as ``s3://nasa-irsa-euclid-q1/q1``.
    cache : Path
    tiles : sequence of int
        Tiles to copy. None is an error, so that a whole survey is not copied by accident.
    bands : iterable of str
        Bands whose mosaics are copied.
    options : mapping
        Options of the file system; ``s3://`` is read anonymously unless they say otherwise.
    progress : callable, optional
        ``progress(done, total, what)`` in megabytes.

    Raises
    ------
    InputError
        If the URL can't be reached, a tile is not there, or a file does not arrive complete.
    """
    if not tiles:
        msg = f"{source} is remote: say which tiles to fetch, e.g. --tiles '[102018211]'"
        raise InputError(msg)
    wanted = frozenset(bands)
    files: list[RemoteFile] = []
    for tile in tiles:
        files += _catalogues(source, int(tile), options)
        files += _mosaics(source, int(tile), wanted, options)
    _fetch(files, cache, progress)


def remote_bands(
    source: str, tile: int, bands: Iterable[str], cache: Path, options: Options
) -> dict[str, BandFiles]:
    """Mosaics of a tile of a remote sky, by band; a file that the cache holds is the cached one."""
    files = _mosaics(source, tile, frozenset(bands), options)
    return bands_of(tile, [_cached(f, cache) or f for f in files])


def fetch_mosaics(
    tile: TileFiles,
    objects: int,
    cache: Path,
    how: Literal["auto", "copy", "lazy"],
    progress: Progress | None = None,
) -> TileFiles:
    """Copy the remote mosaics of a tile, or leave them where they are to be read in pieces.

    Parameters
    ----------
    tile : TileFiles
    objects : int
        Selected objects of the tile.
    cache : Path
    how : {"auto", "copy", "lazy"}
        ``auto`` reads in pieces for at most `LAZY_OBJECTS` objects.
    progress : callable, optional
    """
    away = [p for p in tile.planes if isinstance(p, RemoteFile)]
    if not away or objects == 0 or how == "lazy" or (how == "auto" and objects <= LAZY_OBJECTS):
        return tile
    copies = dict(zip([f.url for f in away], _fetch(away, cache, progress), strict=True))

    def copy_of(p: Place) -> Place:
        return copies[p.url] if isinstance(p, RemoteFile) else p

    bands = {
        name: BandFiles(copy_of(b.image), b.rms and copy_of(b.rms), b.flag and copy_of(b.flag))
        for name, b in tile.bands.items()
    }
    return replace(tile, bands=bands)


def _fetch(files: Sequence[RemoteFile], cache: Path, progress: Progress | None = None) -> list[Path]:
    """Copy files to the cache, unless it holds them with the right size; returns the copies."""
    files = [f if f.size is not None else _sized(f) for f in files]
    total = sum(f.size or 0 for f in files)
    report, done, out = progress or silent, 0, []
    for f in files:
        copy = cache / f.place
        if _cached(f, cache) is None:
            system, path = open_system(f.url, f.options)
            copy_file(system, path, f.url, copy, f.size)
        done += f.size or copy.stat().st_size
        report(done // 1_000_000, max(total, done) // 1_000_000, copy.name)
        out.append(copy)
    return out


def _sized(file: RemoteFile) -> RemoteFile:
    """The file with its size, which a web server's listing does not give."""
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


def _cached(file: RemoteFile, cache: Path) -> Path | None:
    """The copy of a file, if the cache holds one of the right size."""
    copy = cache / file.place
    if not copy.exists():
        return None
    size = file.size if file.size is not None else _sized(file).size
    return copy if copy.stat().st_size == size else None


def _catalogues(source: str, tile: int, options: Options) -> list[RemoteFile]:
    """Catalogues of a tile, and the sky's table of spectra."""
    _list(source, "", options, needed=True)
    folder = f"{CATALOGUES}/{tile}"
    listed = _list(source, folder, options, needed=True)
    out = [f for f in listed if CATALOGUE.search(f.place) or MORPHOLOGY.search(f.place)]
    if not out:
        msg = f"{source}/{folder} holds no EUC_MER_FINAL-CAT catalogue; check --tiles"
        raise InputError(msg)
    return out + [f for f in _list(source, "catalogs", options) if f.place == SPECTROSCOPY]


def _mosaics(source: str, tile: int, bands: frozenset[str], options: Options) -> list[RemoteFile]:
    """Mosaics, RMS and flag maps of the wanted bands of a tile."""
    out: list[RemoteFile] = []
    for camera in _folders(source, f"MER/{tile}", options) if bands else []:
        for file in _list(source, f"MER/{tile}/{camera}", options):
            found = mosaic_of(file.name)
            if found is not None and found[1] == tile and found[0] in bands:
                out.append(file)
    return out


def _entries(source: str, folder: str, options: Options, needed: bool) -> list[dict[str, Any]]:
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


def _list(source: str, folder: str, options: Options, needed: bool = False) -> list[RemoteFile]:
    """Files of a folder, by name."""
    root = source.rstrip("/")
    found = [
        RemoteFile(f"{root}/{place}", place, e.get("size"), options)
        for e in _entries(source, folder, options, needed)
        if e.get("type") != "directory"
        for place in [f"{folder}/{_name(e)}".lstrip("/")]
    ]
    return sorted(found, key=lambda f: f.place)


def _folders(source: str, folder: str, options: Options) -> list[str]:
    entries = _entries(source, folder, options, needed=False)
    return sorted(_name(e) for e in entries if e.get("type") == "directory")
