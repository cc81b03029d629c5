"""Galaxies of an embedding table that a selection on the columns of their store keeps."""

from __future__ import annotations

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.expressions import evaluate, names_in
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.store.reader import GalaxyStore

__all__ = ["selected"]


def selected(emb: EmbeddingTable, store: GalaxyStore, expression: str) -> np.ndarray:
    """Evaluate a selection for every embedded galaxy.

    Parameters
    ----------
    emb : EmbeddingTable
    store : GalaxyStore
        Of the same galaxies.
    expression : str
        Condition on columns of the store, such as ``"mag_vis < 22"`` (see `euclidfm.core.expressions`).

    Returns
    -------
    (N,) bool
        True for the galaxies that are kept.

    Raises
    ------
    InputError
        If the store has no column of a name in the expression, or the expression is not valid.
    """
    columns = {}
    for name in names_in(expression):
        if name not in store.index.column_names:
            msg = f"store {store.path} has no column {name!r} for --where; see `euclidfm info {store.path}`"
            raise InputError(msg)
        columns[name] = emb.column_of(store.index, name)
    return np.asarray(evaluate(expression, columns), bool)
