"""A sky in a local folder: which tiles it holds, and the files of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.ingest.tiles import CATALOGUE, CATALOGUES, MORPHOLOGY, BandFiles, TileFiles, bands_of

__all__ = ["find_mosaics", "find_tiles", "is_sky_folder"]


def is_sky_folder(path: Path) -> bool:
    """Whether a folder has the layout of docs/sky-files.md."""
    return path.is_dir() and (path / CATALOGUES).is_dir()


def find_tiles(sky: Path, only: Sequence[int] = ()) -> list[TileFiles]:
    """Tiles of a sky folder, by number; all of them, or those of `only`.

    Raises
    ------
    InputError
        If there is no tile with a photometry catalogue, or two files are the same product.
    """
    catalogues = sky / CATALOGUES
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


def find_mosaics(sky: Path, tile: int) -> dict[str, BandFiles]:
    """Mosaics of a tile of a sky folder, by band."""
    folder = next((sky / "MER" / n for n in _listing(sky / "MER") if n.isdigit() and int(n) == tile), None)
    cameras = [] if folder is None else [folder / c for c in _listing(folder)]
    return bands_of(tile, [c / name for c in cameras for name in _listing(c)])


def _tile(sky: Path, catalogues: Path, number: int) -> TileFiles:
    folder = next(catalogues / n for n in _listing(catalogues) if n.isdigit() and int(n) == number)
    catalogue = _one(folder, CATALOGUE)
    if catalogue is None:
        msg = f"{folder} holds no photometry catalogue EUC_MER_FINAL-CAT_*.fits"
        raise InputError(msg)
    return TileFiles(
        tile=number,
        catalogue=catalogue,
        morphology=_one(folder, MORPHOLOGY),
        bands=find_mosaics(sky, number),
    )


def _one(folder: Path, pattern: re.Pattern[str]) -> Path | None:
    found = [folder / n for n in _listing(folder) if pattern.search(n)]
    if len(found) > 1:
        msg = f"{found[0]} and {found[1]} are both the same product of one tile; remove one"
        raise InputError(msg)
    return found[0] if found else None


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError:
        msg = f"{folder} can't be listed: permission denied; give yourself read permission (chmod u+rx)"
        raise InputError(msg) from None
