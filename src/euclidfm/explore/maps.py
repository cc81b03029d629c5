"""Coordinates of the galaxies on the map.

They are computed once and cached in a Parquet file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from euclidfm.core.files import write_table
from euclidfm.core.progress import Progress, silent
from euclidfm.discover.projection import project_map, project_pca
from euclidfm.embeddings.table import EmbeddingTable

__all__ = ["MapKind", "map_of", "sky_plane"]

MapKind = Literal["auto", "umap", "pca"]

_UMAP_UP_TO = 100_000
"""Largest number of galaxies for which UMAP takes minutes, not hours, on one core."""


def map_of(
    emb: EmbeddingTable, cache: Path, kind: MapKind = "auto", progress: Progress = silent
) -> tuple[np.ndarray, str]:
    """Read the coordinates of the galaxies from the cache, or compute them.

    Parameters
    ----------
    emb : EmbeddingTable
    cache : path
        Parquet file with the map. Other embeddings or another method replace it.
    kind : {"auto", "umap", "pca"}
        Method. ``auto`` uses UMAP if it is installed and there are at most 100 000 galaxies, and else PCA.
    progress : callable, optional

    Returns
    -------
    (N, 2) float32
        NaN for galaxies without an embedding.
    str
        The method: ``"umap"`` or ``"pca"``.
    """
    if kind == "auto":
        small = 5 <= len(emb) <= _UMAP_UP_TO
        kind = "umap" if small and importlib.util.find_spec("umap") else "pca"
    identity = {"kind": kind, "embeddings": _identity(emb)}
    kept = _read(cache, identity)
    if kept is not None and len(kept) == len(emb):
        progress(len(emb), len(emb), "read from the cache")
        return kept, kind
    progress(0, len(emb), kind)
    points = project_map(emb) if kind == "umap" else project_pca(emb)
    if not np.isfinite(points).any():  # UMAP of equal vectors is empty
        points = project_pca(emb)
    table = pa.table({"object_id": emb.object_id, "map_x": points[:, 0], "map_y": points[:, 1]})
    write_table(table.replace_schema_metadata({"euclidfm": json.dumps(identity)}), cache)
    progress(len(emb), len(emb), kind)
    return points, kind


def _identity(emb: EmbeddingTable) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(emb.object_id).tobytes())
    digest.update(np.ascontiguousarray(emb.vectors[:: max(1, len(emb) // 1000)]).tobytes())
    return digest.hexdigest()


def _read(cache: Path, identity: dict[str, str]) -> np.ndarray | None:
    if not cache.is_file():
        return None
    try:
        table = pq.read_table(cache, page_checksum_verification=True)
        if json.loads((table.schema.metadata or {}).get(b"euclidfm", b"{}")) != identity:
            return None
        return np.stack([table.column(n).to_numpy() for n in ("map_x", "map_y")], axis=1)
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return None  # a damaged cache is computed again


def sky_plane(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Project positions to a plane with east to the left, for the sky view.

    Parameters
    ----------
    ra, dec : (N,) array, degrees

    Returns
    -------
    (N, 2) float32
        Degrees from the centre. x grows to the west and is multiplied by the cosine of the centre's dec.
    dict
        ``ra`` and ``dec`` of the centre and ``shrink``, the cosine of dec. The axes are labelled with them.
    """
    known = np.isfinite(ra) & np.isfinite(dec)
    if not known.any():
        return np.full((len(ra), 2), np.nan, np.float32), {"ra": 0.0, "dec": 0.0, "shrink": 1.0}
    angle = np.radians(ra[known])
    ra0 = float(np.degrees(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean())) % 360.0)
    dec0 = float(np.median(dec[known]))
    shrink = float(np.cos(np.radians(dec0)))
    offset = (ra - ra0 + 180.0) % 360.0 - 180.0
    return np.stack([-offset * shrink, dec - dec0], axis=1).astype(np.float32), {
        "ra": ra0,
        "dec": dec0,
        "shrink": shrink,
    }
