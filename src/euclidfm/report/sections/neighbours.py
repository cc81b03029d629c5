"""Nearest neighbours of random queries of known kinds."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from euclidfm.report.html import Section, caption, fixed, missing, stamp
from euclidfm.report.inputs import ReportData, Sample
from euclidfm.report.sheets.stamps import pictures
from euclidfm.store import GalaxyStore

__all__ = ["neighbour_cards", "section"]

_TITLE = "Similarity search: nearest neighbours"
_QUERIES = ("ring", "merger", "edge_on", "lens")
_NEIGHBOURS = 8


def section(data: ReportData) -> Section:
    """One row of cutouts for each kind of query."""
    mock = data.mock
    if mock.emb is None or mock.store is None:
        return missing("neighbours", _TITLE, "No store with embeddings was given.")
    if not mock.store.info.image_bands:
        return missing("neighbours", _TITLE, "The store has no images.")
    rng = np.random.default_rng(data.inputs.seed)
    rows, found = [], {}
    for kind in _QUERIES:
        row = _query(mock, kind, rng)
        if row is None:
            continue
        table = mock.index.search(object_id=int(mock.emb.object_id[row]), k=_NEIGHBOURS)
        near = table["row"].to_numpy()
        same = int((mock.kinds[near] == kind).sum())
        title = (
            f"{kind.replace('_', ' ')} <small>{same} of {len(near)} neighbours are of the same kind</small>"
        )
        cards = neighbour_cards(mock, row, near, table["similarity"].to_numpy(), kind)
        rows.append(f'<h3>{title}</h3><div class="strip">{cards}</div>')
        found[kind] = {
            "query": mock.emb.object_id[row],
            "neighbours": table["object_id"].to_pylist(),
            "similarity": table["similarity"].to_pylist(),
            "kinds": mock.kinds[near].tolist(),
        }
    if not rows:
        return missing(
            "neighbours", _TITLE, "No galaxy is known to be a ring, a merger, an edge-on or a lens."
        )
    note = (
        "Framed: the query, drawn at random from the brighter half of its kind. Beside it: its "
        f"{_NEIGHBOURS} nearest neighbours in the joint space, with their cosine similarity. Top: VIS with "
        "an asinh stretch; bottom: H, Y, VIS as red, green, blue. ✓: same kind as the query. Hatched: masked "
        "pixels."
    )
    return Section(key="neighbours", title=_TITLE, html="".join(rows) + caption(note), data=found)


def neighbour_cards(
    sample: Sample, query: int | None, near: np.ndarray, similarity: np.ndarray, kind: str = ""
) -> str:
    """Cutouts of a query (if given) and of its neighbours, VIS above colour."""
    rows = ([] if query is None else [query]) + near.tolist()
    shown = read_pictures(sample, rows)
    cards = []
    for i, (row, picture) in enumerate(zip(rows, shown, strict=True)):
        name = str(sample.kinds[row]).replace("_", " ") or str(
            sample.emb.object_id[row] if sample.emb else ""
        )
        is_query = query is not None and i == 0
        same = not is_query and kind and sample.kinds[row] == kind
        score = "query" if is_query else fixed(similarity[i - (query is not None)], 2)
        label = f"{'✓ ' if same else ''}{escape(name)}<small>{score}</small>"
        cards.append(f'<div class="card{" query" if is_query else ""}">{_pair(picture, name, label)}</div>')
    return "".join(cards)


def read_pictures(sample: Sample, rows: list[int]) -> list[dict[str, np.ndarray]]:
    """Pictures of some rows of the embeddings; empty where the store has no such galaxy."""
    store_rows = sample.store_rows[rows]
    have = np.flatnonzero(store_rows >= 0)
    out: list[dict[str, np.ndarray]] = [{} for _ in rows]
    if sample.store is not None and len(have):
        galaxies = sample.store.read(store_rows[have])
        for i, j in enumerate(have):
            out[j] = pictures(galaxies, i)
    return out


def _pair(picture: dict[str, np.ndarray], name: str, label: str) -> str:
    bands = [b for b in picture if b != "colour"]
    first = "VIS" if "VIS" in picture else (bands[0] if bands else "")
    grey = stamp(picture.get(first), f"{name}, {first}" if first else "no image")
    colour = stamp(picture.get("colour"), f"{name}, colour" if "colour" in picture else "no colour", label)
    return grey + colour


def _query(sample: Sample, kind: str, rng: np.random.Generator) -> int | None:
    """A random galaxy of a kind, among its brighter half in VIS, that has an image."""
    rows = np.flatnonzero((sample.kinds == kind) & (sample.store_rows >= 0) & sample.index.usable)
    if not len(rows) or sample.store is None:
        return None
    flux = _brightness(sample.store, sample.store_rows[rows])
    bright = rows[flux >= np.median(flux)] if np.isfinite(flux).all() else rows
    return int(rng.choice(bright))


def _brightness(store: GalaxyStore, rows: np.ndarray) -> np.ndarray:
    name = next((n for n in ("flux_VIS", *(f"flux_{b}" for b in store.info.sed_names))
                 if n in store.index.column_names), None)  # fmt: skip
    if name is None:
        return np.ones(len(rows))
    flux: Any = store.column(name)[rows].astype(float)
    return np.where(np.isfinite(flux), flux, -np.inf)
