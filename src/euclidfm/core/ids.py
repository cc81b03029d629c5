"""Matching of object ids between tables."""

from __future__ import annotations

import numpy as np

from euclidfm.core.errors import InputError

__all__ = ["match_ids"]


def match_ids(ids: np.ndarray, among: np.ndarray, *, unique_in: str = "") -> np.ndarray:
    """Row of each id in another table.

    Parameters
    ----------
    ids : (N,) array of int
        Ids to look up, in any order; one may be given more than once.
    among : (M,) array of int
        Ids of the table that is searched, in any order.
    unique_in : str
        Name of the searched table. If it is given, an id that stands there twice is an error.

    Returns
    -------
    (N,) array of int64
        Row in `among`, -1 for an id that is not there. Of an id that stands twice in `among`, the first row;
        but two equal arrays match row by row (catalogues of several releases may repeat an id).

    Raises
    ------
    InputError
        If `unique_in` is given and an id stands twice in `among`.
    """
    ids, among = np.asarray(ids), np.asarray(among)
    order = np.argsort(among, kind="stable")
    ranked = among[order]
    repeated = ranked[1:][ranked[1:] == ranked[:-1]]
    if unique_in and len(repeated):
        msg = f"object_id {repeated[0]} stands more than once in {unique_in}; keep one row for each object"
        raise InputError(msg)
    if np.array_equal(ids, among):
        return np.arange(len(ids))
    if not len(among):
        return np.full(len(ids), -1, np.int64)
    place = np.minimum(np.searchsorted(ranked, ids), len(among) - 1)
    return np.asarray(np.where(ranked[place] == ids, order[place], -1))
