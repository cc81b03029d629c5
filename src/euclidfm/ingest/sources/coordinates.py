"""A list of wanted positions, and the catalogue object nearest to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.columns import read_columns
from euclidfm.ingest.catalogue.matching import chord, match_one_to_one, on_sky, unit_vectors
from euclidfm.ingest.catalogue.objects import TileObjects
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import CutFlow

__all__ = ["Targets", "keep_nearest", "read_targets", "targets_near"]


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

    def near(self, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        """Positions (degrees) that are within the radius of any target; (N,) bool."""
        from scipy.spatial import cKDTree

        if not len(ra):
            return np.zeros(0, bool)
        distance, _ = cKDTree(unit_vectors(self.ra, self.dec)).query(unit_vectors(ra, dec))
        return np.asarray(distance <= chord(self.radius_arcsec))


def read_targets(path: str | Path, radius_arcsec: float) -> Targets:
    """Positions of a table with columns ``ra`` and ``dec`` in degrees (or RIGHT_ASCENSION, ...).

    Raises
    ------
    InputError
        If the table can't be read, has no such columns, is empty, or a row is not on the sky.
    """
    path = Path(path)
    remedy = "name the columns of positions ra and dec, in degrees"
    table = read_columns(path, ("right_ascension", "declination"), remedy=remedy)
    ra, dec = (table[c] for c in ("right_ascension", "declination"))
    if not len(ra):
        msg = f"{path} lists no position; give at least one row of ra and dec"
        raise InputError(msg)
    bad = np.flatnonzero(~on_sky(ra, dec))
    if len(bad):
        msg = f"{path}: row {bad[0] + 1} (ra {ra[bad[0]]}, dec {dec[bad[0]]}) is not on the sky in degrees"
        raise InputError(msg)
    return Targets(path, ra, dec, radius_arcsec)


def targets_near(targets: Targets, ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Targets that have an object within the radius; (N,) bool."""
    from scipy.spatial import cKDTree

    if not len(ra):
        return np.zeros(len(targets), bool)
    distance, _ = cKDTree(unit_vectors(ra, dec)).query(unit_vectors(targets.ra, targets.dec))
    return np.asarray(distance <= chord(targets.radius_arcsec))


def keep_nearest(
    targets: Targets, tiles: Sequence[TileObjects], cut_flow: CutFlow, quarantine: Quarantine
) -> dict[str, int]:
    """Keep one object for each target, nearest pairs first; targets without one go to quarantine.

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
    near = targets_near(targets, ra, dec)
    for i in np.setdiff1d(np.arange(len(targets)), match.first):
        quarantine.add(
            "another position of the list is nearer to the object here, or repeats this one"
            if near[i]
            else f'no selected object within {targets.radius_arcsec:g}" of this position of the list',
            file=str(targets.path),
            ra=float(targets.ra[i]),
            dec=float(targets.dec[i]),
        )
    cut_flow.count("nearest to a listed position", int(chosen.sum()))
    return {
        "targets": len(targets),
        "matched": len(match.first),
        "ambiguous": int(match.ambiguous[match.first].sum()),
    }
