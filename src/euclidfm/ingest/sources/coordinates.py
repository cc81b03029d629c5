"""Small samples by a list of coordinates: the catalogue object nearest to each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.columns import read_columns
from euclidfm.ingest.catalogue.matching import match_one_to_one, unit_vectors
from euclidfm.ingest.catalogue.mer import TileObjects
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import Funnel

__all__ = ["Targets", "keep_near", "keep_nearest", "read_targets"]


@dataclass(frozen=True)
class Targets:
    """Wanted positions.

    Attributes
    ----------
    path : Path
    ra, dec : (N,) float
        Degrees, ICRS.
    radius_arcsec : float
        Largest distance of an object.
    """

    path: Path
    ra: np.ndarray
    dec: np.ndarray
    radius_arcsec: float

    def __len__(self) -> int:
        return len(self.ra)


def read_targets(path: str | Path, radius_arcsec: float) -> Targets:
    """Positions of a table with columns ``ra`` and ``dec`` in degrees (or RIGHT_ASCENSION, ...).

    Raises
    ------
    InputError
        If the table can't be read, has no such columns, is empty, or holds no position in a row.
    """
    path = Path(path)
    table = read_columns(path, ("right_ascension", "declination"))
    try:
        ra, dec = (np.asarray(table[c], float) for c in ("right_ascension", "declination"))
    except ValueError as e:
        msg = f"{path}: ra and dec must be numbers in degrees ({e})"
        raise InputError(msg) from None
    if not len(ra):
        msg = f"{path} lists no position; give at least one row of ra and dec"
        raise InputError(msg)
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90)))
    if len(bad):
        msg = f"{path}: row {bad[0] + 1} (ra {ra[bad[0]]}, dec {dec[bad[0]]}) is not on the sky in degrees"
        raise InputError(msg)
    return Targets(path, ra, dec, radius_arcsec)


def keep_near(targets: Targets, objects: TileObjects) -> None:
    """Drop the objects of a tile that are near no target."""
    from scipy.spatial import cKDTree

    chord = 2 * np.sin(np.radians(targets.radius_arcsec / 3600) / 2)
    if len(objects):
        tree = cKDTree(unit_vectors(targets.ra, targets.dec))
        distance, _ = tree.query(unit_vectors(objects.ra, objects.dec))
        objects.keep(distance <= chord)


def keep_nearest(
    targets: Targets, tiles: Sequence[TileObjects], funnel: Funnel, quarantine: Quarantine
) -> dict[str, int]:
    """Keep one object a target, nearest pairs first; targets without one go to quarantine.

    Returns
    -------
    dict
        Numbers of targets, of those with an object, and of those with several to choose from.
    """
    ra, dec = (np.concatenate([getattr(t, c) for t in tiles]) for c in ("ra", "dec"))
    match = match_one_to_one(targets.ra, targets.dec, ra, dec, targets.radius_arcsec)
    chosen = np.zeros(len(ra), bool)
    chosen[match.second] = True
    start = 0
    for t in tiles:
        n = len(t)
        t.keep(chosen[start : start + n])
        start += n
    for i in np.setdiff1d(np.arange(len(targets)), match.first):
        quarantine.add(
            f'no selected object within {targets.radius_arcsec:g}" of this position of the list',
            file=str(targets.path),
            ra=float(targets.ra[i]),
            dec=float(targets.dec[i]),
        )
    funnel.count("nearest to a listed position", int(chosen.sum()))
    return {
        "targets": len(targets),
        "matched": len(match.first),
        "ambiguous": int(match.ambiguous[match.first].sum()),
    }
