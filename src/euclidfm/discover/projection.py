"""Two-dimensional maps of the embeddings (UMAP, principal components)."""

from __future__ import annotations

import warnings

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.discover.space import finite_rows, principal_components, vectors_of
from euclidfm.embeddings.table import EmbeddingTable

__all__ = ["project_map", "project_pca"]

_COMPONENTS = 50


def project_map(
    emb: EmbeddingTable,
    *,
    seed: int = 0,
    space: str = "joint",
    n_neighbors: int = 15,
    min_dist: float = 0.1,
) -> np.ndarray:
    """UMAP of the embeddings (McInnes et al. 2018), on 50 principal components; deterministic.

    Parameters
    ----------
    emb : EmbeddingTable
    seed : int
    space : str
        ``"joint"`` or a modality.
    n_neighbors : int
        A small number keeps local structure, a large one global structure.
    min_dist : float

    Returns
    -------
    (N, 2) float32
        NaN for galaxies without an embedding in this space.

    Raises
    ------
    InputError
        If umap-learn is not installed, or there are fewer than 5 galaxies.
    """
    try:
        import umap
    except ImportError:
        msg = "the map needs umap-learn; install it with `pip install euclidfm[science]`"
        raise InputError(msg) from None
    vectors = vectors_of(emb, space)
    usable = finite_rows(vectors)
    if usable.sum() < 5:
        msg = f"a map needs at least 5 galaxies with an embedding, there are {usable.sum()}"
        raise InputError(msg)
    points = principal_components(vectors[usable], _COMPONENTS)
    mapper = umap.UMAP(
        n_neighbors=min(n_neighbors, len(points) - 1),
        min_dist=min_dist,
        init="pca",
        random_state=seed,
        n_jobs=1,  # with several threads the result depends on their timing
    )
    out = np.full((len(emb), 2), np.nan, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out[usable] = mapper.fit_transform(points)
    return out


def project_pca(emb: EmbeddingTable, *, space: str = "joint") -> np.ndarray:
    """First two principal components, (N, 2) float32: the map if UMAP is not installed."""
    vectors = vectors_of(emb, space)
    usable = finite_rows(vectors)
    out = np.full((len(emb), 2), np.nan, np.float32)
    if usable.any():
        points = principal_components(vectors[usable], 2)
        out[usable, : points.shape[1]] = points
    return out
