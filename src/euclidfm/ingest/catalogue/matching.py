"""Positions on the sky: separations, nearest one-to-one pairs, and duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

__all__ = [
    "Match",
    "chord",
    "duplicates",
    "first_of_each",
    "match_one_to_one",
    "on_sky",
    "separation_deg",
    "unit_vectors",
]


Degrees = np.ndarray | float


def unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """(N, 3) Cartesian directions of positions in degrees."""
    a, d = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)


def chord(arcsec: float) -> float:
    """Length of the chord of the unit sphere that an angle spans."""
    return float(2 * np.sin(np.radians(arcsec / 3600) / 2))


def separation_deg(ra: Degrees, dec: Degrees, other_ra: Degrees, other_dec: Degrees) -> np.ndarray:
    """Angles between positions in degrees, pair by pair, or of many to one; (N,) array."""
    one = unit_vectors(np.atleast_1d(ra), np.atleast_1d(dec))
    other = unit_vectors(np.atleast_1d(other_ra), np.atleast_1d(other_dec))
    return np.asarray(np.degrees(2 * np.arcsin(np.linalg.norm(one - other, axis=1) / 2)))


def on_sky(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Positions that are numbers on the sky, in degrees; (N,) bool."""
    with np.errstate(invalid="ignore"):
        return np.asarray((ra >= 0) & (ra <= 360) & (dec >= -90) & (dec <= 90))


def first_of_each(ids: np.ndarray) -> np.ndarray:
    """Rows whose id does not occur earlier; (N,) bool."""
    first = np.zeros(len(ids), bool)
    first[np.unique(ids, return_index=True)[1]] = True
    return first


@dataclass(frozen=True)
class Match:
    """Pairs of two lists of positions.

    Attributes
    ----------
    first, second : (M,) int
        Rows of the pairs; each row occurs once at most.
    ambiguous : (N,) bool
        Rows of the first list that had more than one candidate, or whose candidate had.
    """

    first: np.ndarray
    second: np.ndarray
    ambiguous: np.ndarray


def match_one_to_one(
    ra: np.ndarray, dec: np.ndarray, other_ra: np.ndarray, other_dec: np.ndarray, arcsec: float
) -> Match:
    """Pair positions within a radius, nearest pairs first, each used once.

    Parameters
    ----------
    ra, dec : (N,) degrees
    other_ra, other_dec : (K,) degrees
    arcsec : float
    """
    ambiguous = np.zeros(len(ra), bool)
    none = np.zeros(0, np.int64)
    if not len(ra) or not len(other_ra):
        return Match(none, none, ambiguous)
    one, other = unit_vectors(ra, dec), unit_vectors(other_ra, other_dec)
    lists = cKDTree(other).query_ball_point(one, chord(arcsec))
    first = np.repeat(np.arange(len(one)), [len(c) for c in lists])
    if not len(first):
        return Match(none, none, ambiguous)
    second = np.concatenate([np.asarray(c, np.int64) for c in lists if c])
    distance = np.linalg.norm(one[first] - other[second], axis=1)
    per_first, per_second = np.bincount(first, minlength=len(one)), np.bincount(second, minlength=len(other))
    ambiguous[first[(per_first[first] > 1) | (per_second[second] > 1)]] = True
    used_first, used_second, pairs = set(), set(), []
    for k in np.lexsort((second, first, distance)).tolist():
        i, j = int(first[k]), int(second[k])
        if i not in used_first and j not in used_second:
            used_first.add(i)
            used_second.add(j)
            pairs.append((i, j))
    pairs.sort()
    chosen = np.array(pairs, np.int64).reshape(-1, 2)
    return Match(chosen[:, 0], chosen[:, 1], ambiguous)


def duplicates(
    object_id: np.ndarray,
    ra: np.ndarray,
    dec: np.ndarray,
    group: np.ndarray,
    distance: np.ndarray,
    arcsec: float,
) -> np.ndarray:
    """Copies of an object in other groups (overlapping tiles), by id or by position.

    Parameters
    ----------
    object_id : (N,) int64
    ra, dec : (N,) degrees
    group : (N,) int
        Tile of each row; neighbours within one tile are never duplicates.
    distance : (N,) float
        Of the copies, the one with the smallest is kept (distance from its tile's centre).
    arcsec : float

    Returns
    -------
    (N,) bool
        True for the copies to drop.
    """
    drop = np.zeros(len(ra), bool)
    if len(np.unique(group)) < 2:
        return drop
    pairs = cKDTree(unit_vectors(ra, dec)).query_pairs(chord(arcsec), output_type="ndarray")
    by_id = np.argsort(object_id, kind="stable")
    same = np.flatnonzero(object_id[by_id][1:] == object_id[by_id][:-1])
    pairs = np.concatenate([pairs, np.stack([by_id[same], by_id[same + 1]], axis=1)]).astype(np.int64)
    pairs = pairs[group[pairs[:, 0]] != group[pairs[:, 1]]]
    rank = np.empty(len(ra), np.int64)
    rank[np.lexsort((group, distance))] = np.arange(len(ra))
    better_first = rank[pairs[:, 0]] < rank[pairs[:, 1]]
    better, worse = np.where(better_first, pairs.T, pairs.T[::-1])
    for k in np.argsort(rank[better], kind="stable"):
        if not drop[better[k]]:
            drop[worse[k]] = True
    return drop
