"""Finding the files of a sky: which tiles there are, and each tile's mosaics and catalogues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from euclidfm.core.bands import BANDS
from euclidfm.core.errors import InputError
from euclidfm.ingest.sources.urls import Place

__all__ = [
    "BandFiles",
    "TileFiles",
    "bands_of",
    "find_mosaics",
    "find_tiles",
    "mosaic_of",
    "spectroscopy_file",
]

_MOSAIC = re.compile(
    r"^EUC_MER_(?:BGSUB-)?MOSAIC-(?P<band>[A-Z0-9-]+?)(?:-(?P<kind>RMS|FLAG))?_TILE(?P<tile>\d+)-.*\.fits(\.gz|\.fz)?$"
)
_BAND_OF = {b.mosaic: b.name for b in BANDS.values() if b.mosaic}


@dataclass(frozen=True)
class BandFiles:
    """Files of one band of one tile; None where there is no such file."""

    image: Place
    rms: Place | None = None
    flag: Place | None = None


@dataclass(frozen=True)
class TileFiles:
    """Files of one tile."""

    tile: int
    catalogue: Path | str
    """Photometry catalogue, or the URL of the service that its rows are from."""
    morphology: Path | None = None
    bands: dict[str, BandFiles] = field(default_factory=dict)


def mosaic_of(name: str) -> tuple[str, int, str] | None:
    """Band, tile and kind (``image``, ``RMS``, ``FLAG``) by a mosaic's file name; None for others."""
    m = _MOSAIC.match(name)
    if m is None or m["band"] not in _BAND_OF:
        return None
    return _BAND_OF[m["band"]], int(m["tile"]), m["kind"] or "image"


def find_tiles(sky: Path, only: Sequence[int] = ()) -> list[TileFiles]:
    """Tiles of a sky folder, by number; all of them, or those of `only`.

    Raises
    ------
    InputError
        If there is no tile with a photometry catalogue, or two files claim the same place.
    """
    catalogues = sky / "catalogs" / "MER_FINAL_CATALOG"
    numbers = sorted(int(n) for n in _listing(catalogues) if n.isdigit())
    absent = sorted(set(only) - set(numbers))
    if absent:
        msg = f"{sky} holds no tile {absent[0]}; it has {', '.join(map(str, numbers[:5])) or 'none'}"
        raise InputError(msg)
    tiles = [_tile(sky, catalogues, n) for n in (sorted(only) or numbers)]
    if not tiles:
        msg = (
            f"{sky} holds no tile: expected {catalogues}/<tile>/EUC_MER_FINAL-CAT_*.fits (docs/sky-files.md)"
        )
        raise InputError(msg)
    without = sorted(n for n in _listing(sky / "MER") if n.isdigit() and int(n) not in numbers)
    if without:
        msg = (
            f"tile {without[0]} has mosaics but no folder {catalogues / without[0]}; add its catalogue or "
            "remove it"
        )
        raise InputError(msg)
    return tiles


def spectroscopy_file(sky: Path) -> Path | None:
    """The sky's own table of redshifts and masses, if there is one."""
    path = sky / "catalogs" / "spectroscopy.fits"
    return path if path.exists() else None


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError:
        msg = f"{folder} can't be listed: permission denied; give yourself read permission (chmod u+rx)"
        raise InputError(msg) from None


def _one(folder: Path, pattern: str) -> Path | None:
    found = [folder / n for n in _listing(folder) if re.search(pattern, n)]
    if len(found) > 1:
        msg = f"{found[0]} and {found[1]} are both the same product of one tile; remove one"
        raise InputError(msg)
    return found[0] if found else None


def _tile(sky: Path, catalogues: Path, number: int) -> TileFiles:
    folder = next(catalogues / n for n in _listing(catalogues) if n.isdigit() and int(n) == number)
    catalogue = _one(folder, r"FINAL-CAT_.*\.(fits|parquet|csv)$")
    if catalogue is None:
        msg = f"{folder} holds no photometry catalogue EUC_MER_FINAL-CAT_*.fits"
        raise InputError(msg)
    return TileFiles(
        tile=number,
        catalogue=catalogue,
        morphology=_one(folder, r"FINAL-MORPH-CAT_.*\.(fits|parquet|csv)$"),
        bands=find_mosaics(sky, number),
    )


def find_mosaics(sky: Path, tile: int) -> dict[str, BandFiles]:
    """Mosaics of a tile of a sky folder, by band."""
    folder = next((sky / "MER" / n for n in _listing(sky / "MER") if n.isdigit() and int(n) == tile), None)
    cameras = [] if folder is None else [folder / c for c in _listing(folder)]
    return bands_of(tile, [c / name for c in cameras for name in _listing(c)])


def bands_of(tile: int, files: Iterable[Place]) -> dict[str, BandFiles]:
    """Files by band: ``<tile>/<camera>/EUC_MER_*MOSAIC-<band>[-RMS|-FLAG]_TILE<tile>-*``.

    Raises
    ------
    InputError
        If two files claim the same place.
    """
    known: dict[tuple[str, str], Place] = {}
    for path in files:
        found = mosaic_of(path.name)
        if found is None or found[1] != tile:
            continue
        key = (found[0], found[2])
        if key in known:
            msg = f"{known[key]} and {path} are both the same product of one tile; remove one"
            raise InputError(msg)
        known[key] = path
    return {
        b: BandFiles(path, known.get((b, "RMS")), known.get((b, "FLAG")))
        for (b, kind), path in known.items()
        if kind == "image"
    }
