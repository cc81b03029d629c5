"""Discovery with the model at hand: a cutout file as the example of a search, and outliers with surprisal."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.progress import bar
from euclidfm.discover.artefacts import artefacts_last
from euclidfm.discover.outliers import outlier_scores
from euclidfm.discover.ratings import read_ratings, rerank
from euclidfm.discover.space import vectors_of
from euclidfm.discover.surprisal import surprise_scores
from euclidfm.embeddings.extract import embed
from euclidfm.embeddings.surprisal import surprise_of, surprise_table
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.pipeline import ingest
from euclidfm.model.foundation import FoundationModel
from euclidfm.report.sheets.outliers import outlier_sheet
from euclidfm.store.reader import GalaxyStore

__all__ = ["draw_outliers", "embed_cutout", "rank_outliers"]


def embed_cutout(image: Path, run: Path, emb: EmbeddingTable, space: str = "joint") -> np.ndarray:
    """Embed one cutout file in the same way as the galaxies of a table.

    Parameters
    ----------
    image : Path
        FITS file with the extensions VIS, NIR_Y, ... (see ``docs/sky-files.md``).
    run : Path
        Folder of the model that made `emb`.
    emb : EmbeddingTable
        Its layer, symmetries and modalities are used.
    space : str
        Space of the table, see `euclidfm.discover.space.vectors_of`.

    Returns
    -------
    (D,) float32
        Vector for `SimilarityIndex.search`.

    Raises
    ------
    InputError
        If another model made `emb`, or the file is missing or holds no usable cutout.
    """
    model = FoundationModel.load(run)
    if emb.info.get("model") not in (None, model.identity()):
        msg = f"the embeddings were made by model {emb.info['model']}, {run} holds model {model.identity()}"
        raise InputError(msg)
    if not image.is_file():
        msg = f"--image {image} is not a file"
        raise InputError(msg)
    size = model.config.crop
    with tempfile.TemporaryDirectory() as folder:
        cutouts, store = Path(folder) / "cutouts", Path(folder) / "store"
        cutouts.mkdir()
        (cutouts / image.name).symlink_to(image.resolve())
        try:
            ingest(IngestConfig(source=str(cutouts), size=size), store)
        except InputError as e:  # the folder is ours: the message names the user's file
            told = str(e).replace(f"{cutouts / image.name}", str(image)).replace(str(cutouts), str(image))
            raise InputError(told) from None
        how = {k: emb.info[k] for k in ("layer", "symmetries", "modalities") if k in emb.info}
        made = embed(model, GalaxyStore.open(store), **how)
    if len(made) != 1:
        msg = f"--image {image} holds no usable cutout of at least {size} px"
        raise InputError(msg)
    return np.asarray(vectors_of(made, space)[0])


def rank_outliers(
    emb: EmbeddingTable,
    *,
    store: GalaxyStore | None = None,
    run: Path | None = None,
    space: str = "joint",
    ratings: Path | None = None,
    seed: int = 0,
) -> pa.Table:
    """Rank galaxies by how unusual they are.

    Parameters
    ----------
    emb : EmbeddingTable
    store : GalaxyStore, optional
        Of the same galaxies. Objects that look like its known artefacts go last.
    run : Path, optional
        With `store`: folder of a model with a likelihood, whose surprisal of each token joins the scores.
    space : str
        ``"joint"``, a modality, or ``"shape"``.
    ratings : Path, optional
        CSV of `euclidfm.discover.add_rating`; the ranking then follows the ratings.
    seed : int

    Returns
    -------
    pyarrow.Table
        object_id, score, rank and the score of each method, in the order of `emb`.

    Raises
    ------
    InputError
        If `run` is given without `store`, or its model has no likelihood.
    """
    extra = {}
    if run is not None:
        if store is None:
            msg = "--run needs --store, the store that the embeddings were made of"
            raise InputError(msg)
        model = FoundationModel.load(run)
        with bar("surprise") as progress:
            table = surprise_table(
                model, store, modalities=tuple(emb.by_modality), seed=seed, progress=progress
            )
        ids = store.column("object_id")
        extra = {n: emb.column_of({"object_id": ids, n: v}, n) for n, v in surprise_scores(table).items()}
    scores = outlier_scores(emb, seed=seed, space=space, extra=extra)
    if store is not None:
        with bar("quality") as progress:
            scores = artefacts_last(scores, emb, store, seed, progress)
    if ratings is not None:
        scores = rerank(emb, scores, _ratings_of(emb, ratings), space=space)
    return scores


def _ratings_of(emb: EmbeddingTable, path: Path) -> dict[int, float]:
    """Ratings of a file that must be there; says how many are of other galaxies."""
    if not path.exists():
        msg = f"{path} does not exist; give the file of ratings (columns object_id and rating)"
        raise InputError(msg)
    ratings = read_ratings(path)
    known = int(np.isin(np.array(list(ratings), np.int64), emb.object_id).sum())
    if known < len(ratings) or not ratings:
        about = f"{known} of {len(ratings)} rated objects are among these galaxies; the others change nothing"
        print(f"ratings: {path}: {about}", file=sys.stderr)
    return ratings


def draw_outliers(
    ids: list[int], store: GalaxyStore, sheet: Path, run: Path | None = None, seed: int = 0
) -> None:
    """Draw galaxies with their SEDs and, with a model, the maps of its surprisal.

    Parameters
    ----------
    ids : list of int
        object_id, the most unusual first.
    store : GalaxyStore
    sheet : Path
        PNG to write.
    run : Path, optional
        Folder of a model with a likelihood.
    seed : int
    """
    galaxies = store.read([store.row_of(i) for i in ids])
    maps: Any = None
    if run is not None:
        model = FoundationModel.load(run)
        maps = surprise_of(model, galaxies, seed=seed, wavelengths_nm=store.info.wavelengths_nm)
    outlier_sheet(galaxies, [f"{rank}: {i}" for rank, i in enumerate(ids, 1)], sheet, maps)
