"""Matching positions on the sky: nearest one-to-one pairs, and duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

__all__ = ["Match", "duplicates", "match_one_to_one", "unit_vectors"]


def unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """(N, 3) Cartesian directions of positions in degrees."""
    a, d = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=1)


def _chord(arcsec: float) -> float:
    return 2 * np.sin(np.radians(arcsec / 3600) / 2)


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
    here, there = unit_vectors(ra, dec), unit_vectors(other_ra, other_dec)
    lists = cKDTree(there).query_ball_point(here, _chord(arcsec))
    first = np.repeat(np.arange(len(here)), [len(c) for c in lists])
    if not len(first):
        return Match(none, none, ambiguous)
    second = np.concatenate([np.asarray(c, np.int64) for c in lists if c])
    distance = np.linalg.norm(here[first] - there[second], axis=1)
    per_first, per_second = np.bincount(first, minlength=len(here)), np.bincount(second, minlength=len(there))
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
    pairs = cKDTree(unit_vectors(ra, dec)).query_pairs(_chord(arcsec), output_type="ndarray")
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
