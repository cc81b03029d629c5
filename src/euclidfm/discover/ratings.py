"""Active learning: ratings by a person change the outlier ranking.

The ranking is the posterior mean of a Gaussian process over the embedding, whose *prior mean* is the
outlier score: an object far from all rated ones keeps its score, one close to a rated object follows
the rating. Ratings are kept in a CSV file.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from euclidfm.core.cells import as_ids
from euclidfm.core.errors import InputError
from euclidfm.core.files import write_text
from euclidfm.core.ids import match_ids
from euclidfm.core.spreadsheet import escape_text
from euclidfm.discover.outliers import rank_column, rank_fraction
from euclidfm.discover.space import finite_rows, fit_scaling, vectors_of
from euclidfm.embeddings.table import EmbeddingTable

__all__ = ["ActiveConfig", "add_rating", "read_ratings", "rerank", "simulate_user"]

RATINGS = (0.0, 5.0)
"""Smallest rating (boring) and largest (interesting)."""


@dataclass(frozen=True, kw_only=True)
class ActiveConfig:
    """Settings of the Gaussian process."""

    reach: float = 0.35
    """Length scale: the kernel falls to 1/e where one minus the cosine equals this."""
    noise: float = 0.2
    """Standard deviation of a rating, on a scale from 0 to 1."""
    trust: float = 0.3
    """Weight of the outlier score (0 to 1) in the prior mean, in units of the prior standard deviation of
    the ratings."""


def read_ratings(path: str | Path) -> dict[int, float]:
    """Latest rating of each object from a CSV file with columns object_id, rating, rater, time."""
    path = Path(path)
    if not path.exists():
        return {}
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    out = {}
    reader = csv.reader(text.splitlines(), skipinitialspace=True)
    names = [n.strip().lower() for n in next(reader, [])]
    if not {"object_id", "rating"} <= set(names):
        msg = f"{path} has no columns object_id and rating; its first line is {', '.join(names) or 'empty'}"
        raise InputError(msg)
    for cells in reader:
        if not cells:
            continue
        row = dict(zip(names, (c.strip() for c in cells), strict=False))
        try:
            object_id = as_ids(path, "object_id", np.array([row["object_id"]], object))[0]
            out[int(object_id)] = _valid(float(row["rating"]))
        except (KeyError, ValueError, InputError):
            msg = (
                f"{path} line {reader.line_num} needs an object_id (a whole number) and a rating from 0 to 5"
            )
            raise InputError(msg) from None
    return out


def add_rating(path: str | Path, object_id: int, rating: float, rater: str = "") -> None:
    """Append a rating (0 boring to 5 interesting) to a CSV file, with the time in UTC."""
    path = Path(path)
    old = path.read_text(encoding="utf-8") if path.exists() else "object_id,rating,rater,time\n"
    time = datetime.now(UTC).isoformat(timespec="seconds")
    name = escape_text(pa.array([rater.replace('"', "'")]))[0].as_py()
    write_text(path, f'{old}{int(object_id)},{_valid(float(rating)):g},"{name}",{time}\n')


def rerank(
    emb: EmbeddingTable,
    scores: pa.Table,
    ratings: Mapping[int, float],
    config: ActiveConfig | None = None,
    *,
    space: str = "joint",
) -> pa.Table:
    """The outlier table, ranked again with ratings.

    Parameters
    ----------
    emb : EmbeddingTable
    scores : pyarrow.Table
        Of `outlier_scores` (or `screened`), in the order of `emb`.
    ratings : dict of object_id to rating (0 to 5)
    config : ActiveConfig, optional
    space : str

    Returns
    -------
    pyarrow.Table
        object_id, score (0 to 1), rank, outlier_score (the input), rating (NaN = not rated).
    """
    if scores.column("object_id").to_pylist() != emb.object_id.tolist():
        msg = "the outlier scores are not of these embeddings, or not in their order"
        raise InputError(msg)
    rows = match_ids(np.array(list(ratings), np.int64), emb.object_id)
    rated = rows[rows >= 0].tolist()
    values = np.array(list(ratings.values()), float)[rows >= 0] / RATINGS[1]
    prior = scores.column("score").to_numpy()
    score = _Process(emb, prior, config or ActiveConfig(), space).mean(rated, values)
    shown = np.full(len(score), np.nan)
    shown[rated] = values * RATINGS[1]
    return pa.table(
        {
            "object_id": pa.array(emb.object_id, pa.int64()),
            "score": pa.array(rank_fraction(score)),
            "rank": rank_column(score),
            "outlier_score": pa.array(prior),
            "rating": pa.array(shown),
        }
    )


def simulate_user(
    emb: EmbeddingTable,
    scores: pa.Table,
    is_rare: np.ndarray,
    *,
    looks: int = 200,
    batch: int = 10,
    config: ActiveConfig | None = None,
    space: str = "joint",
) -> dict[str, np.ndarray]:
    """Number of rarities that a simulated user finds who inspects the ranking from its top, in batches.

    Parameters
    ----------
    emb, scores : as in `rerank`
    is_rare : (N,) bool
        Objects that the user rates 5; all others are rated 0.
    looks : int
        Number of objects inspected.
    batch : int
        Number of objects inspected between two rankings.
    config, space : as in `rerank`

    Returns
    -------
    dict
        ``looked_at`` (looks,) and, for ``active``, ``unrated`` (the outlier ranking) and
        ``random`` (expected), the number of rarities found so far.
    """
    prior = scores.column("score").to_numpy()
    rare = np.asarray(is_rare, bool)
    usable = np.isfinite(prior)
    looks = min(looks, int(usable.sum()))
    process = _Process(emb, prior, config or ActiveConfig(), space)
    seen: list[int] = []
    while len(seen) < looks:
        score = process.mean(seen, rare[seen].astype(float))
        score = np.where(usable, score, -np.inf)
        score[seen] = -np.inf
        seen += np.argsort(-score, kind="stable")[: min(batch, looks - len(seen))].tolist()
    unrated = np.argsort(-np.where(usable, prior, -np.inf), kind="stable")[:looks]
    looked_at = np.arange(1, looks + 1)
    return {
        "looked_at": looked_at,
        "active": np.cumsum(rare[seen]),
        "unrated": np.cumsum(rare[unrated]),
        "random": looked_at * float(rare[usable].mean()),
    }


class _Process:
    """Gaussian process over the directions of the scaled embeddings, the outlier score its prior mean."""

    def __init__(self, emb: EmbeddingTable, prior: np.ndarray, config: ActiveConfig, space: str) -> None:
        vectors = vectors_of(emb, space)
        self.config, self.prior = config, np.asarray(prior, float)
        self.usable = finite_rows(vectors) & np.isfinite(self.prior)
        self.units = fit_scaling(vectors[self.usable], "auto", space=space).unit(np.nan_to_num(vectors))

    def mean(self, rated: list[int], values: np.ndarray) -> np.ndarray:
        """Posterior mean at every object, in units of `trust`; NaN without an embedding."""
        out = np.where(self.usable, self.prior, np.nan)
        keep = [i for i, r in enumerate(rated) if self.usable[r]]
        if not keep:
            return out
        at = np.array(rated)[keep]
        covariance = self._kernel(self.units[at], self.units[at])
        covariance[np.diag_indices(len(at))] += self.config.noise**2
        weight = np.linalg.solve(covariance, np.asarray(values)[keep] / self.config.trust - self.prior[at])
        return out + self._kernel(self.units, self.units[at]) @ weight

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp((a @ b.T - 1.0) / self.config.reach).astype(np.float64)


def _valid(rating: float) -> float:
    if not RATINGS[0] <= rating <= RATINGS[1]:
        msg = f"a rating is from 0 to 5, got {rating:g}"
        raise InputError(msg)
    return rating
