"""Files of a tile: their names in the MER products, and which file is which."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from euclidfm.core.bands import BANDS
from euclidfm.core.errors import InputError
from euclidfm.ingest.files import Place

__all__ = [
    "CATALOGUE",
    "CATALOGUES",
    "MORPHOLOGY",
    "SPECTROSCOPY",
    "BandFiles",
    "SkyTile",
    "TileFiles",
    "bands_of",
    "mosaic_of",
]

CATALOGUES = "catalogs/MER_FINAL_CATALOG"
"""Folder of the tiles' catalogues in a sky folder."""

SPECTROSCOPY = "catalogs/spectroscopy.fits"
"""Table of redshifts and masses in a sky folder."""

CATALOGUE = re.compile(r"FINAL-CAT_.*\.(fits|parquet|csv)$")
MORPHOLOGY = re.compile(r"FINAL-MORPH-CAT_.*\.(fits|parquet|csv)$")

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

    @property
    def planes(self) -> list[Place]:
        """Images, RMS and flag maps of all bands."""
        return [p for b in self.bands.values() for p in (b.image, b.rms, b.flag) if p is not None]


@dataclass(frozen=True)
class SkyTile:
    """A tile that a source found: its files, and what the source knows about it already."""

    files: TileFiles
    rows: dict[str, np.ndarray] | None = None
    """Catalogue columns by canonical name; None if they are in `files`."""
    centre: np.ndarray | None = None
    """Direction of the tile's centre, (3,); None if it is unknown."""


def mosaic_of(name: str) -> tuple[str, int, str] | None:
    """Band, tile and kind (``image``, ``RMS``, ``FLAG``) by a mosaic's file name; None for other files."""
    m = _MOSAIC.match(name)
    if m is None or m["band"] not in _BAND_OF:
        return None
    return _BAND_OF[m["band"]], int(m["tile"]), m["kind"] or "image"


def bands_of(tile: int, files: Iterable[Place]) -> dict[str, BandFiles]:
    """Files of a tile by band: ``EUC_MER_*MOSAIC-<band>[-RMS|-FLAG]_TILE<tile>-*``.

    Raises
    ------
    InputError
        If two files are the same product.
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
