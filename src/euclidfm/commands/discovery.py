"""Commands about finding galaxies: ``search``, ``index``, ``outliers``, ``explore``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.files import write_table
from euclidfm.discover.index import ApproximateConfig, ApproximateIndex
from euclidfm.discover.index_build import build_approximate, update_approximate
from euclidfm.discover.search import SimilarityIndex
from euclidfm.discover.selection import selected
from euclidfm.discover.space import ScalingName
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.explore.serve import ExploreConfig
from euclidfm.explore.serve import explore as serve
from euclidfm.store.reader import GalaxyStore

__all__ = ["explore", "index", "outliers", "search"]


def search(
    embeddings: Path,
    *,
    like: tuple[int, ...] = (),
    unlike: tuple[int, ...] = (),
    ra: float | None = None,
    dec: float | None = None,
    image: Path | None = None,
    run: Path | None = None,
    k: int = 10,
    space: str | None = None,
    scaling: ScalingName = "auto",
    components: int = 0,
    where: str | None = None,
    index: Path | None = None,
    out: Path | None = None,
    store: Path | None = None,
    sheet: Path | None = None,
) -> pa.Table:
    """Find the galaxies most similar to one or more examples.

    Input: embeddings; examples by object_id, by sky position, or a cutout in a FITS file (with --run, the
    model that made the embeddings). Output: a table on the screen (and in --out), and with --sheet a PNG of
    cutouts. --where keeps to a selection on the store's columns. Embeddings of `embed --symmetries 8` have
    the space shape, which is then the default; --space joint finds what is similar in colour too.

    example: euclidfm search embeddings.parquet --like '[-570040238507752998]' --k 20
    example: euclidfm search embeddings.parquet --ra 57.0 --dec -50.8 --store store/ --sheet like.png
    example: euclidfm search embeddings.parquet --image cut.fits --run run/ --store store/ --sheet like.png

    Parameters
    ----------
    embeddings : Path
        Embeddings of `euclidfm embed`.
    like : list of int
        object_id of one or more examples.
    unlike : list of int
        object_id of counter-examples.
    ra : float, optional
        Degrees: the nearest object is the example.
    dec : float, optional
        Degrees.
    image : Path, optional
        FITS cutout (extensions VIS, NIR_Y, ...) as the example.
    run : Path, optional
        Folder of `euclidfm pretrain`, to embed --image.
    k : int
        Neighbours to list.
    space : str, optional
        shape, joint, VIS, ...; default shape, else joint.
    scaling : {"auto", "standard", "whiten", "centre", "none"}
        auto: whiten for the space shape, else standard.
    components : int
        Of the scaling whiten; 0 for its default.
    where : str, optional
        Selection on columns of --store: 'mag_vis < 22'.
    index : Path, optional
        Index of `euclidfm index`, for many galaxies.
    out : Path, optional
        Table: .csv, .fits or .parquet.
    store : Path, optional
        Store of the embedded galaxies, for --sheet and --where.
    sheet : Path, optional
        PNG of the neighbours' cutouts.

    Returns
    -------
    pyarrow.Table
        Neighbours, see `SimilarityIndex.search`.

    Raises
    ------
    InputError
        If there is not exactly one kind of example, or an option lacks another that it needs.
    """
    if bool(like) + (ra is not None and dec is not None) + (image is not None) != 1:
        msg = (
            "give one kind of example: --like '[OBJECT_ID]', --ra and --dec in degrees, or --image FILE.fits"
        )
        raise InputError(msg)
    emb = EmbeddingTable.read(embeddings)
    approximate = None if index is None else ApproximateIndex.open(index)
    if space is None:
        default = "shape" if "shape" in emb.spaces else "joint"
        space = default if approximate is None else str(approximate.info["space"])
    query: dict[str, Any] = {"positives": like} if like else {"ra": ra, "dec": dec}
    if image is not None:
        query = {"vector": _embedded(image, run, emb, space)}
    allowed = None if where is None else selected(emb, _open(store, "--where"), where)
    finder = SimilarityIndex(
        emb, space=space, scaling=scaling, components=components, approximate=approximate
    )
    if approximate is not None and (drift := approximate.drift(emb.object_id[finder.usable], str(index))):
        print(f"search: {drift}", file=sys.stderr)
    table = finder.search(**query, negatives=unlike, k=k, where=allowed)
    if out is not None:
        write_table(table, out)
    _print_table(table, ("rank", "object_id", "ra", "dec", "similarity"))
    if sheet is not None:
        _draw_neighbours(_open(store, "--sheet"), like, table.column("object_id").to_pylist(), sheet)
    return table


def index(
    embeddings: Path,
    config: ApproximateConfig | None = None,
    *,
    out: Path,
    space: str = "joint",
    overwrite: bool = False,
    append: bool = False,
) -> ApproximateIndex:
    """Build an index of embeddings for searches in millions of galaxies.

    Input: embeddings. Output: a folder that `search --index` opens at once; its recall against exact search
    is measured and printed. With --append an existing index is brought up to date.

    example: euclidfm index embeddings.parquet --out index/

    Parameters
    ----------
    embeddings : Path
        Embeddings of `euclidfm embed`.
    config : ApproximateConfig, optional
    out : Path
        Folder for the index.
    space : str
        joint, shape, or a modality: VIS, ...
    overwrite : bool
        Replace an existing index.
    append : bool
        Bring an existing index up to date.
    """
    emb = EmbeddingTable.read(embeddings)
    if append and (out / "index.json").exists():
        made = update_approximate(emb, out)
    else:
        made = build_approximate(emb, out, config or ApproximateConfig(), space=space, overwrite=overwrite)
    recall = made.info["recall@10"]
    print(f"{out}: {len(made)} galaxies, recall@10 {recall:.3f} against exact search", flush=True)
    return made


def outliers(
    embeddings: Path,
    *,
    out: Path,
    store: Path | None = None,
    run: Path | None = None,
    sheet: Path | None = None,
    space: str = "joint",
    ratings: Path | None = None,
    top: int = 10,
    seed: int = 0,
) -> pa.Table:
    """Rank galaxies by how unusual they are, and show where.

    Input: embeddings; with --run and --store also the model's surprisal of each token (a model pre-trained
    with --model.objective likelihood). Output: a Parquet table with each object's score, rank and the score
    of each method; with --sheet a PNG of the top with its maps of surprisal. With --store, objects that look
    like the artefacts known there (column kind) go last. With --ratings (CSV: object_id, rating 0 to 5) the
    ranking follows the ratings.

    example: euclidfm outliers embeddings.parquet --out outliers.parquet --top 20
    example: euclidfm outliers embeddings.parquet --store store/ --run run/ --out odd.parquet --sheet odd.png

    Parameters
    ----------
    embeddings : Path
        Embeddings of `euclidfm embed`.
    out : Path
        Parquet file for the scores of all objects.
    store : Path, optional
        Store of the embedded galaxies.
    run : Path, optional
        Folder of `euclidfm pretrain`, for the model's surprisal.
    sheet : Path, optional
        PNG of the top of the ranking.
    space : str
        joint, a modality, or shape (of `embed --symmetries 8`).
    ratings : Path, optional
        CSV of ratings: object_id, rating.
    top : int
        Galaxies to print, and to draw.
    seed : int
        Seed of the scores.

    Returns
    -------
    pyarrow.Table
        What is in `out`.
    """
    from euclidfm.workflow.discovery import draw_outliers, rank_outliers

    emb = EmbeddingTable.read(embeddings)
    galaxies = _open(store, "--run") if run is not None or store is not None else None
    scores = rank_outliers(emb, store=galaxies, run=run, space=space, ratings=ratings, seed=seed)
    write_table(scores, out)
    first = scores.sort_by("rank").slice(0, top)
    _print_table(first, ("rank", "object_id", "score"))
    print(f"{out}: scores of {scores.num_rows} objects", flush=True)
    if sheet is not None:
        draw_outliers(first.column("object_id").to_pylist(), _open(store, "--sheet"), sheet, run, seed)
        print(sheet, flush=True)
    return scores


def explore(run: Path, config: ExploreConfig | None = None) -> None:
    """Look at a run in the browser: map, galaxies, neighbours, outliers, selections.

    Input: a folder of `euclidfm demo`; parts that are missing are left out and named. Output: a page served
    to this machine alone, until stopped. The map is kept in RUN/explore/, ratings go to RUN/ratings.csv.

    example: euclidfm explore demo/
    example: euclidfm explore demo/ --port 0 --browser false
    example: euclidfm explore demo/ --host 0.0.0.0 --token $(openssl rand -hex 16)

    Parameters
    ----------
    run : Path
        Folder of a run.
    config : ExploreConfig, optional
    """
    serve(run, config or ExploreConfig())


def _open(store: Path | None, option: str) -> GalaxyStore:
    if store is None:
        msg = f"{option} needs --store, the store that the embeddings were made of"
        raise InputError(msg)
    return GalaxyStore.open(store)


def _embedded(image: Path, run: Path | None, emb: EmbeddingTable, space: str) -> np.ndarray:
    from euclidfm.workflow.discovery import embed_cutout

    if run is None:
        msg = "--image needs --run, the folder of the model that made the embeddings"
        raise InputError(msg)
    return embed_cutout(image, run, emb, space)


def _draw_neighbours(store: GalaxyStore, examples: Sequence[int], found: list[int], sheet: Path) -> None:
    from euclidfm.report.sheets.stamps import contact_sheet

    titles = [f"example {i}" for i in examples] + [f"{rank}: {i}" for rank, i in enumerate(found, 1)]
    contact_sheet(store.read([store.row_of(i) for i in [*examples, *found]]), titles, sheet)
    print(sheet, flush=True)


def _print_table(table: pa.Table, columns: tuple[str, ...]) -> None:
    print("  ".join(f"{c:>20}" for c in columns), flush=True)
    for row in table.select(list(columns)).to_pylist():
        print("  ".join(f"{v:>20.6f}" if isinstance(v, float) else f"{v:>20}" for v in row.values()))
