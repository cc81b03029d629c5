"""Verbs of the command line about discovery: what they declare and what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.progress import bar

__all__ = [
    "INDEX",
    "OUTLIERS",
    "SEARCH",
    "add_index",
    "add_outliers",
    "add_search",
    "index",
    "outliers",
    "search",
]


def _print_table(table: Any, columns: tuple[str, ...]) -> None:
    print("  ".join(f"{c:>20}" for c in columns), flush=True)
    for row in table.select(list(columns)).to_pylist():
        print("  ".join(f"{v:>20.6f}" if isinstance(v, float) else f"{v:>20}" for v in row.values()))


# search --------------------------------------------------------------------------------------

SEARCH = """Find the galaxies most like one or more examples.

Input: embeddings; examples by object_id, by sky position, or a cutout in a FITS file (with --run, the model
that made the embeddings). Output: a table on the screen (and in --out), and with --sheet a PNG of cutouts.
--where keeps to a selection on the store's columns. Embeddings of `embed --turns 8` have the space shape, and
are searched in it; --space joint finds what is alike in colour too.

example: euclidfm search embeddings.parquet --like '[-570040238507752998]' --k 20
example: euclidfm search embeddings.parquet --ra 57.0 --dec -50.8 --store store/ --sheet like.png
example: euclidfm search embeddings.parquet --image cut.fits --run run/ --store store/ --where 'mag_vis<22'"""


def add_search(parser: Any) -> None:
    """Arguments of ``search``."""
    from euclidfm.discover.space import ScalingName

    parser.add_argument("embeddings", type=str, help="embeddings of `euclidfm embed`")
    parser.add_argument("--like", type=list[int], default=[], help="object_id of one or more examples")
    parser.add_argument("--unlike", type=list[int], default=[], help="object_id of counter-examples")
    parser.add_argument(
        "--ra", type=float | None, default=None, help="degrees: the nearest object is the example"
    )
    parser.add_argument("--dec", type=float | None, default=None, help="degrees")
    parser.add_argument(
        "--image", type=str | None, default=None, help="FITS cutout (extensions VIS, NIR_Y, ...) as example"
    )
    parser.add_argument("--run", type=str | None, default=None, help="run folder, to embed --image")
    parser.add_argument("--k", type=int, default=10, help="neighbours to list")
    parser.add_argument(
        "--space", type=str | None, default=None, help="shape, joint, VIS, ...; default shape, else joint"
    )
    parser.add_argument(
        "--scaling", type=ScalingName, default="auto", help="whiten for the space shape, else standard"
    )
    parser.add_argument("--components", type=int, default=0, help="of the scaling whiten; 0 for its default")
    parser.add_argument(
        "--where", type=str | None, default=None, help="selection on columns of --store: 'mag_vis < 22'"
    )
    parser.add_argument("--index", type=str | None, default=None, help="index of `euclidfm index`, if large")
    parser.add_argument("--out", type=str | None, default=None, help="table: .csv, .fits or .parquet")
    parser.add_argument("--store", type=str | None, default=None, help="store, for --sheet and --where")
    parser.add_argument("--sheet", type=str | None, default=None, help="PNG of the neighbours' cutouts")


def search(args: Any) -> None:
    """Run ``search``."""
    from euclidfm.core.files import write_table
    from euclidfm.discover import ApproximateIndex, SimilarityIndex
    from euclidfm.embeddings import EmbeddingTable

    emb = EmbeddingTable.read(args.embeddings)
    approximate = None if args.index is None else ApproximateIndex.open(args.index)
    if args.space is None:
        args.space = "shape" if "shape" in emb.spaces else "joint"
        args.space = args.space if approximate is None else str(approximate.info["space"])
    query = _query(args, emb)
    where = None if args.where is None else _selected(emb, _store(args, "--where"), args.where)
    finder = SimilarityIndex(
        emb, space=args.space, scaling=args.scaling, components=args.components, approximate=approximate
    )
    table = finder.search(**query, k=args.k, where=where)
    if args.out:
        write_table(table, args.out)
    _print_table(table, ("rank", "object_id", "ra", "dec", "similarity"))
    if args.sheet:
        ids = [int(i) for i in table.column("object_id").to_pylist()]
        titles = [f"example {i}" for i in args.like] + [f"{r}: {i}" for r, i in enumerate(ids, 1)]
        _sheet(_store(args, "--sheet"), [*args.like, *ids], titles, args.sheet)


def _query(args: Any, emb: Any) -> dict[str, Any]:
    """What `SimilarityIndex.search` is asked for."""
    position = args.ra is not None and args.dec is not None
    if bool(args.like) + position + (args.image is not None) != 1:
        msg = (
            "give one kind of example: --like '[OBJECT_ID]', --ra and --dec in degrees, or --image FILE.fits"
        )
        raise InputError(msg)
    query: dict[str, Any] = {"negatives": args.unlike}
    if args.like:
        return query | {"positives": args.like}
    if position:
        return query | {"ra": args.ra, "dec": args.dec}
    return query | {"vector": _embedded_image(args, emb)}


def _embedded_image(args: Any, emb: Any) -> np.ndarray:
    """Embedding of one cutout by the model that made the catalogue."""
    import tempfile

    from euclidfm.discover.space import vectors_of
    from euclidfm.embeddings import embed
    from euclidfm.ingest import IngestConfig, ingest
    from euclidfm.model import FoundationModel
    from euclidfm.store import GalaxyStore

    if not args.run:
        msg = "--image needs --run, the run folder of the model that made the embeddings"
        raise InputError(msg)
    model = FoundationModel.load(args.run)
    if emb.info.get("model") not in (None, model.identity()):
        msg = f"{args.embeddings} was made by model {emb.info['model']}, --run {args.run} holds another one"
        raise InputError(msg)
    with tempfile.TemporaryDirectory() as folder:
        cutout = Path(folder) / "cutouts" / Path(args.image).name
        cutout.parent.mkdir()
        if not Path(args.image).is_file():
            msg = f"--image {args.image} is not a file"
            raise InputError(msg)
        cutout.symlink_to(Path(args.image).resolve())
        size = model.config.crop
        store = Path(folder) / "store"
        ingest(IngestConfig(source=str(cutout.parent), size=size), store)
        how = {k: emb.info[k] for k in ("layer", "turns", "modalities") if k in emb.info}
        made = embed(model, GalaxyStore.open(store), **how)
    if len(made) != 1:
        msg = f"--image {args.image} holds no usable cutout of at least {size} px"
        raise InputError(msg)
    return np.asarray(vectors_of(made, args.space)[0])


def _store(args: Any, option: str) -> Any:
    from euclidfm.store import GalaxyStore

    if not args.store:
        msg = f"{option} needs --store, the store that the embeddings were made of"
        raise InputError(msg)
    return GalaxyStore.open(args.store)


def _selected(emb: Any, store: Any, expression: str) -> np.ndarray:
    """(N,) bool: the galaxies of the embeddings that a selection keeps."""
    from euclidfm.core.expressions import evaluate, names_in

    columns = {}
    for name in names_in(expression):
        if name not in store.index.column_names:
            msg = f"store {store.path} has no column {name!r} for --where; see `euclidfm info {store.path}`"
            raise InputError(msg)
        columns[name] = emb.column_of(store.index, name)
    return np.asarray(evaluate(expression, columns), bool)


def _sheet(store: Any, ids: list[int], titles: list[str], out: str) -> None:
    from euclidfm.report.sheets.stamps import contact_sheet

    contact_sheet(store.read([store.row_of(i) for i in ids]), titles, out)
    print(out, flush=True)


# index ---------------------------------------------------------------------------------------

INDEX = """Build an index of embeddings for searches in millions of galaxies.

Input: embeddings. Output: a folder that `search --index` opens at once; its recall against exact search is
measured and printed. With --append an index that is there is brought up to date.

example: euclidfm index embeddings.parquet --out index/"""


def add_index(parser: Any) -> None:
    """Arguments of ``index``."""
    from euclidfm.discover import ApproximateConfig

    parser.add_argument("embeddings", type=str, help="embeddings of `euclidfm embed`")
    parser.add_argument("--out", type=str, required=True, help="folder for the index")
    parser.add_argument("--space", type=str, default="joint", help="joint, shape, or a modality: VIS, ...")
    parser.add_argument("--overwrite", type=bool, default=False, help="replace an index that is there")
    parser.add_argument("--append", type=bool, default=False, help="bring an index that is there up to date")
    parser.add_class_arguments(ApproximateConfig, as_group=False)


def index(args: Any) -> None:
    """Run ``index``."""
    from dataclasses import fields

    from euclidfm.core.files import read_json
    from euclidfm.discover import ApproximateConfig, build_approximate, update_approximate
    from euclidfm.embeddings import EmbeddingTable

    emb = EmbeddingTable.read(args.embeddings)
    if args.append and (Path(args.out) / "index.json").exists():
        made = update_approximate(emb, args.out)
    else:
        config = ApproximateConfig(**{f.name: getattr(args, f.name) for f in fields(ApproximateConfig)})
        made = build_approximate(emb, args.out, config, space=args.space, overwrite=args.overwrite)
    card = read_json(Path(args.out) / "index.json")
    print(
        f"{args.out}: {len(made)} galaxies, recall@10 {card['recall@10']:.3f} against exact search",
        flush=True,
    )


# outliers ------------------------------------------------------------------------------------

OUTLIERS = """Rank galaxies by how unusual they are, and show where.

Input: embeddings; with --run and --store also the model's surprise at each token (a model pre-trained with
--model.objective likelihood). Output: a Parquet table with each object's score, rank and the score of each
method; with --sheet a PNG of the top with its maps of surprise. With --store, objects that look like the
artefacts known there (column kind) go last. With --ratings (CSV: object_id, rating 0 to 5) the ranking
follows what was rated.

example: euclidfm outliers embeddings.parquet --out outliers.parquet --top 20
example: euclidfm outliers embeddings.parquet --store store/ --run run/ --out odd.parquet --sheet odd.png"""


def add_outliers(parser: Any) -> None:
    """Arguments of ``outliers``."""
    parser.add_argument("embeddings", type=str, help="embeddings of `euclidfm embed`")
    parser.add_argument("--out", type=str, required=True, help="Parquet file for the scores of all objects")
    parser.add_argument("--store", type=str | None, default=None, help="store that the embeddings are of")
    parser.add_argument("--run", type=str | None, default=None, help="run folder, for the model's surprise")
    parser.add_argument("--sheet", type=str | None, default=None, help="PNG of the top of the ranking")
    parser.add_argument(
        "--space", type=str, default="joint", help="joint, a modality, or shape (of `embed --turns 8`)"
    )
    parser.add_argument("--ratings", type=str | None, default=None, help="CSV of ratings: object_id, rating")
    parser.add_argument("--top", type=int, default=10, help="how many to print, and to draw")
    parser.add_argument("--seed", type=int, default=0)


def outliers(args: Any) -> None:
    """Run ``outliers``."""
    from euclidfm.core.files import write_table
    from euclidfm.discover import outlier_scores, read_ratings, rerank, surprise_scores
    from euclidfm.embeddings import EmbeddingTable, surprise_table
    from euclidfm.model import FoundationModel

    emb = EmbeddingTable.read(args.embeddings)
    store = None if args.store is None else _store(args, "--store")
    model = None if args.run is None else FoundationModel.load(args.run)
    extra = {}
    if model is not None:
        store = _store(args, "--run")
        with bar("surprise") as progress:
            told = surprise_scores(
                surprise_table(
                    model, store, modalities=tuple(emb.by_modality), seed=args.seed, progress=progress
                )
            )
        extra = {n: emb.column_of({"object_id": store.column("object_id"), n: v}, n) for n, v in told.items()}
    scores = outlier_scores(emb, seed=args.seed, space=args.space, extra=extra)
    if store is not None:
        scores = _artefacts_last(scores, emb, store, args.seed)
    if args.ratings:
        scores = rerank(emb, scores, read_ratings(args.ratings), space=args.space)
    write_table(scores, args.out)
    top = scores.sort_by("rank").slice(0, args.top)
    _print_table(top, ("rank", "object_id", "score"))
    print(f"{args.out}: scores of {scores.num_rows} objects", flush=True)
    if args.sheet:
        _oddities(_store(args, "--sheet"), top, model, args)


def _oddities(store: Any, top: Any, model: Any, args: Any) -> None:
    """Draw the top of the ranking, with its maps of surprise if there is a model."""
    from euclidfm.embeddings import surprise_of
    from euclidfm.report.sheets.oddities import oddity_sheet

    ids = top.column("object_id").to_pylist()
    galaxies = store.read([store.row_of(i) for i in ids])
    waves = store.info.wavelengths_nm
    maps = None if model is None else surprise_of(model, galaxies, seed=args.seed, wavelengths_nm=waves)
    titles = [f"{rank}: {i}" for rank, i in enumerate(ids, 1)]
    oddity_sheet(galaxies, titles, args.sheet, maps)
    print(args.sheet, flush=True)


def _artefacts_last(scores: Any, emb: Any, store: Any, seed: int) -> Any:
    """The ranking with likely artefacts behind, where the store knows some of both sorts."""
    from euclidfm.discover import artefact_score, screened, store_quality

    if "kind" not in store.index.column_names:
        return scores
    kind = emb.column_of(store.index, "kind").astype(str)
    known = np.where(kind == "", np.nan, kind == "artefact")
    if not 2 <= np.nansum(known) <= len(kind) - 2:
        return scores
    quality = None
    if store.info.image_bands:
        with bar("quality") as progress:
            numbers = store_quality(store, progress=progress)
        ids = store.column("object_id")
        quality = np.stack(
            [emb.column_of({"object_id": ids, "q": column}, "q") for column in numbers.T], axis=1
        )
    return screened(scores, artefact_score(emb, known, quality=quality, seed=seed))
