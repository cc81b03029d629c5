"""The list of outliers, whose ranking uses the ratings of the user."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.ids import match_ids
from euclidfm.discover.ratings import RATINGS, add_rating, read_ratings, rerank
from euclidfm.explore.run import RunData

__all__ = ["outlier_list", "rate"]

_RERANKED = 20_000
"""Number of galaxies at the top of the ranking that are ranked again with ratings."""

VERDICTS = {"boring": RATINGS[0], "interesting": RATINGS[1]}
"""Rating that each of the two buttons of the page gives."""


def rate(run: RunData, row: int, verdict: str) -> None:
    """Append a verdict on a galaxy to the ratings of the run.

    Raises
    ------
    InputError
        If the verdict is neither ``interesting`` nor ``boring``.
    """
    if verdict not in VERDICTS:
        msg = f"a verdict is {' or '.join(VERDICTS)}, not {verdict[:40]!r}"
        raise InputError(msg)
    with run.lock:
        add_rating(run.ratings_file, int(run.ids[row]), VERDICTS[verdict], "explore")


def outlier_list(run: RunData, top: int) -> list[dict[str, Any]]:
    """List the first `top` outliers. The ranking takes the ratings into account.

    Returns
    -------
    list of dict
        The keys are ``rank``, ``id``, ``row``, ``score``, ``outlier_score`` and ``rating`` (None = not
        rated). The list is empty if the run has no outliers.
    """
    if run.outliers is None or "score" not in run.outliers.column_names:
        return []
    table, ratings = _candidates(run.outliers), read_ratings(run.ratings_file)
    rows = match_ids(table.column("object_id").to_numpy(), run.ids)
    table, rows = table.filter(pa.array(rows >= 0)), rows[rows >= 0]
    if run.emb is not None and ratings and len(rows) > 2:
        table = rerank(run.emb.take(rows), table, ratings)
    score = table.column("score").to_numpy()
    before = table.column("outlier_score" if "outlier_score" in table.column_names else "score").to_numpy()
    out = []
    order = np.argsort(-np.where(np.isfinite(score), score, -np.inf), kind="stable")[:top]
    for rank, i in enumerate(order, 1):
        object_id = int(run.ids[rows[i]])
        shown = {"rank": rank, "id": str(object_id), "row": int(rows[i]), "rating": ratings.get(object_id)}
        out.append(shown | {"score": _short(score[i]), "outlier_score": _short(before[i])})
    return out


def _candidates(table: pa.Table) -> pa.Table:
    if table.num_rows <= _RERANKED:
        return table
    score = table.column("score").to_numpy()
    best = np.argsort(-np.where(np.isfinite(score), score, -np.inf), kind="stable")[:_RERANKED]
    return table.take(np.sort(best))


def _short(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
