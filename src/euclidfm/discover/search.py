"""Similarity search: nearest neighbours by the cosine between scaled embeddings.

`euclidfm.discover.space` scales the embeddings. The search is exact (a matrix product by numpy or by
FAISS), or takes candidates from an index on disk (`euclidfm.discover.index`) and ranks them exactly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from astropy.coordinates import angular_separation

from euclidfm.core.errors import InputError
from euclidfm.discover.index import ApproximateIndex, load_faiss
from euclidfm.discover.space import ScalingName, finite_rows, fit_scaling, vectors_of
from euclidfm.embeddings.table import EmbeddingTable

__all__ = ["SimilarityIndex"]

Engine = Literal["auto", "numpy", "faiss"]

_FAISS_FROM = 50_000
_MORE = 4
"""Candidates requested from an approximate index, as a multiple of k; they are then ranked exactly."""


class SimilarityIndex:
    """Exact nearest neighbours by cosine similarity.

    Parameters
    ----------
    emb : EmbeddingTable
    space : str
        ``"joint"``, the name of a modality, or a further space of the table: ``"shape"``.
    scaling : {"auto", "standard", "whiten", "centre", "none"}
        See `euclidfm.discover.space`.
    components : int
        Components of ``whiten``; 0 for the default.
    engine : {"auto", "numpy", "faiss"}
        ``auto`` takes FAISS from 50 000 galaxies on, if it is installed.
    approximate : ApproximateIndex, optional
        An index of the same embeddings, for millions of galaxies; `scaling` is then the index's.

    Raises
    ------
    InputError
        If the index is of another space or of another model's embeddings.

    Examples
    --------
    >>> SimilarityIndex(emb).search(object_id=-525436331123456789, k=10)  # doctest: +SKIP
    """

    def __init__(
        self,
        emb: EmbeddingTable,
        *,
        space: str = "joint",
        scaling: ScalingName = "auto",
        components: int = 0,
        engine: Engine = "auto",
        approximate: ApproximateIndex | None = None,
    ) -> None:
        self.emb = emb
        self.space = space
        self.approximate = approximate
        self.vectors = vectors_of(emb, space)
        self.usable = finite_rows(self.vectors)
        """(N,) bool: galaxies that have an embedding in this space."""
        if approximate is None:
            self.scaling = fit_scaling(self.vectors, scaling, space=space, components=components)
        else:
            _same_space(approximate, emb, space)
            self.scaling = approximate.scaling
        self.engine = engine if engine != "auto" else ("faiss" if len(emb) >= _FAISS_FROM else "numpy")
        exact = approximate is None and self.engine == "faiss"
        self._flat = _faiss_index(self.units, required=engine == "faiss") if exact else None

    @cached_property
    def units(self) -> np.ndarray:
        """(N, P) float32: scaled vectors of length one, zero where there is no embedding."""
        return self._units(np.arange(len(self.emb)))

    def _units(self, rows: np.ndarray) -> np.ndarray:
        usable = self.usable[rows]
        units = self.scaling.unit(np.where(usable[:, None], self.vectors[rows], 0.0))
        units[~usable] = 0.0
        return np.asarray(units)

    def __len__(self) -> int:
        return int(self.usable.sum())

    def search(
        self,
        *,
        object_id: int | None = None,
        positives: Sequence[int] = (),
        negatives: Sequence[int] = (),
        ra: float | None = None,
        dec: float | None = None,
        within_arcsec: float = 10.0,
        vector: np.ndarray | None = None,
        k: int = 10,
        where: np.ndarray | None = None,
        negative_weight: float = 0.5,
    ) -> pa.Table:
        """The k galaxies most similar to a query, without the galaxies of the query itself.

        Give one of `object_id`, `positives`, `ra` and `dec`, or `vector`; `negatives` is optional.

        Parameters
        ----------
        object_id : int, optional
        positives, negatives : sequence of int
            Ids of examples and counter-examples: the query is the mean direction of the positives
            minus `negative_weight` times that of the negatives.
        ra, dec : float, optional
            Degrees; the example is the nearest galaxy, which must be `within_arcsec`.
        vector : (D,) array, optional
            An embedding by the same model, in the same space.
        k : int
        where : (N,) bool, optional
            Galaxies that may be returned (a cut in magnitude, redshift, flags).
        negative_weight : float

        Returns
        -------
        pyarrow.Table
            rank (from 1), object_id, ra, dec [deg], similarity (-1 to 1), row. Fewer
            than k rows if there are no more galaxies. The metadata hold the query.
        """
        given = [object_id is not None, len(positives) > 0, ra is not None or dec is not None]
        if sum(given) + (vector is not None) != 1:
            msg = "give exactly one of object_id, positives, ra and dec, or vector"
            raise InputError(msg)
        query: dict[str, Any] = {"space": self.space}
        if object_id is not None:
            positives = [object_id]
        if ra is not None or dec is not None:
            row, separation = self._nearest_on_sky(ra, dec, within_arcsec)
            positives = [int(self.emb.object_id[row])]
            query["separation_arcsec"] = round(separation, 3)
        counter_examples = [self._row(i) for i in negatives]
        examples = [self._row(i) for i in positives]
        if vector is not None:
            direction = self._unit_of(vector)
        else:
            direction = self._units(np.array(examples)).mean(axis=0)
            query["positives"] = [int(i) for i in positives]
        if counter_examples:
            direction = direction - negative_weight * self._units(np.array(counter_examples)).mean(axis=0)
            query["negatives"] = [int(i) for i in negatives]
        allowed = self._allowed(where)
        allowed[examples + counter_examples] = False
        rows, similarity = self._rank(direction / max(float(np.linalg.norm(direction)), 1e-12), k, allowed)
        return _result(self.emb, rows, similarity, query)

    def nearest(self, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Neighbours of many galaxies at once.

        Parameters
        ----------
        rows : (Q,) array of int
            Rows of the table that have an embedding.
        k : int

        Returns
        -------
        rows : (Q, k') int64
            Nearest first, without the galaxy itself; k' = k or all others if there are fewer.
        similarity : (Q, k') float32
        """
        rows = np.asarray(rows, np.int64)
        k = min(k, len(self) - 1)
        found = np.empty((len(rows), max(k, 0)), np.int64)
        similarity = np.empty(found.shape, np.float32)
        if k < 1:
            return found, similarity
        for block in (slice(start, start + 1024) for start in range(0, len(rows), 1024)):
            cosines = self.units[rows[block]] @ self.units.T
            cosines[:, ~self.usable] = -np.inf
            cosines[np.arange(len(cosines)), rows[block]] = -np.inf
            best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
            best.sort(axis=1)  # ties in order of row
            value = np.take_along_axis(cosines, best, axis=1)
            order = np.argsort(-value, axis=1, kind="stable")
            found[block] = np.take_along_axis(best, order, axis=1)
            similarity[block] = np.take_along_axis(value, order, axis=1)
        return found, similarity

    def _row(self, object_id: int) -> int:
        rows = np.flatnonzero(self.emb.object_id == int(object_id))
        if not len(rows):
            msg = f"object {object_id} is not among the {len(self.emb)} galaxies of the embeddings"
            raise InputError(msg)
        if not self.usable[rows[0]]:
            msg = f"object {object_id} has no embedding in space {self.space!r}; choose another space"
            raise InputError(msg)
        return int(rows[0])

    def _unit_of(self, vector: np.ndarray) -> np.ndarray:
        vector = np.asarray(vector, np.float32).reshape(1, -1)
        if vector.shape[1] != len(self.scaling.mean) or not np.isfinite(vector).all():
            msg = f"the query vector must be {len(self.scaling.mean)} finite numbers"
            raise InputError(msg)
        return np.asarray(self.scaling.unit(vector)[0])

    def _nearest_on_sky(self, ra: float | None, dec: float | None, within: float) -> tuple[int, float]:
        if ra is None or dec is None:
            msg = "a position needs both ra and dec, in degrees"
            raise InputError(msg)
        here = np.radians([self.emb.ra, self.emb.dec])
        separation = np.degrees(angular_separation(*here, *np.radians([ra, dec]))) * 3600.0
        separation = np.where(self.usable, separation, np.inf)
        row = int(np.argmin(separation))
        if separation[row] > within:
            nearest = f"the nearest is {separation[row]:.1f} arcsec away"
            msg = f"no galaxy within {within:g} arcsec of ({ra:g}, {dec:g}); {nearest}"
            raise InputError(msg)
        return row, float(separation[row])

    def _allowed(self, where: np.ndarray | None) -> np.ndarray:
        if where is None:
            return self.usable.copy()
        where = np.asarray(where)
        if where.dtype != bool or where.shape != self.usable.shape:
            msg = f"`where` must be {len(self.usable)} booleans, one a galaxy of the embeddings"
            raise InputError(msg)
        return self.usable & where

    def _rank(self, direction: np.ndarray, k: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        candidates = np.flatnonzero(allowed)
        if self.approximate is not None and min(k, len(candidates)) > 0:
            wanted = min(k, len(candidates))
            candidates = self._candidates(self.approximate, direction, wanted, allowed)
        k = min(k, len(candidates))
        if k < 1:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if self._flat is not None:
            import faiss

            chosen: Any = faiss.SearchParameters  # its signature is made at run time
            chosen = chosen(sel=faiss.IDSelectorBatch(candidates))
            similarity, rows = self._flat.search(direction[None].astype(np.float32), k, params=chosen)
            return rows[0], similarity[0]
        units = self.units[candidates] if self.approximate is None else self._units(candidates)
        cosines = units @ direction
        best = np.sort(np.argpartition(-cosines, k - 1)[:k])
        best = best[np.argsort(-cosines[best], kind="stable")]
        return candidates[best], cosines[best]

    def _candidates(
        self, index: ApproximateIndex, direction: np.ndarray, k: int, allowed: np.ndarray
    ) -> np.ndarray:
        """Rows of the candidates that the approximate index returns, in order."""
        where = None if allowed[self.usable].all() else np.isin(index.ids, self.emb.object_id[allowed])
        ids, similarity = index.search_units(direction[None], _MORE * k, where)
        found = np.isin(self.emb.object_id, ids[0][np.isfinite(similarity[0])])
        return np.flatnonzero(found & allowed)


def _same_space(index: ApproximateIndex, emb: EmbeddingTable, space: str) -> None:
    """Raise InputError if the index is of another space or model."""
    if index.info["space"] != space or index.info["model"].get("model") != emb.info.get("model"):
        msg = (
            f"the index is of space {index.info['space']!r} and model {index.info['model'].get('model')}, "
            f"the search of {space!r} and {emb.info.get('model')}; build it again with `euclidfm index`"
        )
        raise InputError(msg)


def _faiss_index(units: np.ndarray, required: bool) -> Any:
    try:
        faiss = load_faiss()
    except InputError:
        if required:
            raise
        return None
    index = faiss.IndexFlatIP(units.shape[1])
    index.add(np.ascontiguousarray(units))
    return index


def _result(emb: EmbeddingTable, rows: np.ndarray, similarity: np.ndarray, query: dict[str, Any]) -> pa.Table:
    table = pa.table(
        {
            "rank": pa.array(np.arange(1, len(rows) + 1), pa.int64()),
            "object_id": pa.array(emb.object_id[rows], pa.int64()),
            "ra": pa.array(emb.ra[rows], pa.float64()),
            "dec": pa.array(emb.dec[rows], pa.float64()),
            "similarity": pa.array(np.clip(similarity, -1.0, 1.0), pa.float32()),
            "row": pa.array(rows, pa.int64()),
        }
    )
    return table.replace_schema_metadata({"euclidfm": json.dumps(query)})
