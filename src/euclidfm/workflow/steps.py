"""The stages of the way from a sky to a report, each once; `demo` and `reproduce` are lists of them.

Every stage reads files, writes files and keeps a record of its settings. Each imports what it needs, so that
simulating a sky does not load PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from euclidfm.core.files import record_run, write_json, write_table
from euclidfm.core.progress import bar
from euclidfm.core.run_folder import RunFolder

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from euclidfm.embeddings.table import EmbeddingTable
    from euclidfm.ingest.config import IngestConfig
    from euclidfm.model.config import ModelConfig
    from euclidfm.model.foundation import FoundationModel
    from euclidfm.pretrain.config import PretrainConfig
    from euclidfm.simulate.config import SkyConfig
    from euclidfm.studies.label_efficiency import EfficiencyConfig

__all__ = [
    "SETS",
    "TASKS",
    "discovery",
    "embed_all",
    "embed_sets",
    "fit_probes",
    "ingest_settings",
    "label_efficiency_study",
    "make_sky",
    "make_store",
    "model_settings",
    "read_tables",
    "stars",
    "surprisal_maps",
    "surprisal_scores",
    "train",
    "training_pictures",
]

SETS = ("VIS+NISP+SED", "VIS+NISP", "VIS")
"""Sets of modalities that the model is given, the fullest first."""
TASKS = ("photoz", "mass", "morphology")
"""Tasks whose probes are kept with their predictions."""

Tables = Mapping[str, "EmbeddingTable"]


# from the sky to a model ---------------------------------------------------------------------------


def make_sky(sky: SkyConfig, out: Path, title: str = "simulate") -> dict[str, Any]:
    """Simulate a sky into a folder; returns the counts of objects and the files."""
    from euclidfm.simulate.sky import simulate_sky

    with bar(title, "objects") as progress, record_run(out, "simulate", sky):
        return simulate_sky(sky, out, progress)


def ingest_settings(sky: Path, size: int, **changes: Any) -> IngestConfig:
    """Settings for the store of a mock sky: all objects, cutouts of `size` pixels, some settings changed."""
    from euclidfm.ingest.config import IngestConfig

    settings: dict[str, Any] = {
        "selection": "everything-detected",
        "split_order": 12,  # the mock sky is small: pixels of 52 arcsec
        "split_fractions": (0.65, 0.1, 0.25),
        "release": "mock",
    }
    return IngestConfig(source=str(sky), size=size, **(settings | changes))


def make_store(
    settings: IngestConfig, out: Path, title: str = "ingest", overwrite: bool = True
) -> dict[str, Any]:
    """Ingest into a folder; returns the summary of `euclidfm.ingest.ingest`."""
    from euclidfm.ingest.pipeline import ingest

    with bar(title) as progress, record_run(out, "ingest", settings, appears=True):
        return ingest(settings, out, progress=progress, overwrite=overwrite)


def model_settings(
    inputs: str, *, vis_patch: int, nisp_patch: int, width: int, depth: int, crop: int
) -> ModelConfig:
    """A model of some modalities (``"VIS+NISP+SED"``) with a likelihood and heads of 32 dimensions.

    A model without SED is the reference work's, so it has no image encoder.
    """
    from euclidfm.model.config import ImageModality, ModelConfig

    images = (
        ImageModality(name="VIS", bands=("VIS",), patch=vis_patch),
        ImageModality(name="NISP", bands=("Y", "J", "H"), patch=nisp_patch),
    )
    return ModelConfig(
        images=tuple(i for i in images if i.name in inputs.split("+")),
        sed="SED" in inputs.split("+"),
        width=width,
        depth=depth,
        heads=width // 32,
        crop=crop,
        image_encoder=16 if "SED" in inputs.split("+") else 0,
        objective="likelihood",
    )


def train(
    settings: PretrainConfig, store: Path, out: Path, title: str = "pretrain", pictures: bool = False
) -> FoundationModel:
    """Pre-train into a folder; a training of the same settings that is there is continued.

    With `pictures`, predictions for some validation galaxies are drawn at each validation.
    """
    from euclidfm.pretrain.train import pretrain

    with bar(title) as progress, record_run(out, "pretrain", settings):
        return pretrain(settings, store, out, progress, training_pictures(store) if pictures else None)


def training_pictures(store_path: Path, count: int = 6) -> Callable[[FoundationModel, Path], None]:
    """Make the function that draws a model's predictions for galaxies of a store.

    Parameters
    ----------
    store_path : path
    count : int
        Galaxies on a picture: the first ones of the validation split (else of the store).

    Returns
    -------
    callable
        Takes a model and the PNG to write.
    """
    from dataclasses import replace

    from euclidfm.generate.preview import predict_tokens
    from euclidfm.report.sheets.generated import generation_sheet
    from euclidfm.store.reader import GalaxyStore

    store = GalaxyStore.open(store_path)
    validation = store.rows("validation")
    rows = (validation if len(validation) else store.rows())[:count]

    def picture(model: FoundationModel, path: Path) -> None:
        measured, predicted = predict_tokens(model, store, rows)
        nothing = replace(measured, images={}, masks={})
        generation_sheet(nothing, measured, predicted, path, name="predicted")

    return picture


# embeddings ----------------------------------------------------------------------------------------


def embed_sets(run: RunFolder, files: Mapping[str, Path]) -> None:
    """Embed the store once for each set of modalities (``"VIS+NISP"``) into a file; skip existing ones."""
    from euclidfm.embeddings.extract import embed
    from euclidfm.model.foundation import FoundationModel
    from euclidfm.store.reader import GalaxyStore

    model, store = FoundationModel.load(run.model.path), GalaxyStore.open(run.store)
    for inputs, file in files.items():
        if not file.exists():
            with bar(f"embed {inputs}") as progress:
                embed(model, store, modalities=inputs.split("+"), progress=progress).write(file)


def embed_all(model: Path, store: Path, out: Path, title: str) -> None:
    """Embed a store with all modalities of a model."""
    from euclidfm.embeddings.extract import embed
    from euclidfm.model.foundation import FoundationModel
    from euclidfm.store.reader import GalaxyStore

    with bar(title) as progress:
        embed(FoundationModel.load(model), GalaxyStore.open(store), progress=progress).write(out)


def read_tables(files: Mapping[str, Path]) -> dict[str, EmbeddingTable]:
    """Embedding tables by their sets of modalities."""
    from euclidfm.embeddings.table import EmbeddingTable

    return {inputs: EmbeddingTable.read(file) for inputs, file in files.items()}


# science -------------------------------------------------------------------------------------------


def label_efficiency_study(settings: EfficiencyConfig, run: RunFolder, tables: Tables, name: str) -> None:
    """Fit all methods with shares of the labels into ``science/<name>.json``; existing fits are kept."""
    from euclidfm.store.reader import GalaxyStore
    from euclidfm.studies.label_efficiency import label_efficiency

    with bar(name, "fits") as progress:
        label_efficiency(settings, GalaxyStore.open(run.store), tables, run.records(name), progress)


def fit_probes(run: RunFolder, emb: EmbeddingTable, seed: int, densities: Sequence[str] = ()) -> None:
    """Fit the probes of `TASKS` and the densities of some of them, with predictions for every galaxy."""
    from euclidfm import tasks
    from euclidfm.store.reader import GalaxyStore
    from euclidfm.tasks.products import density_and_write, fit_and_write

    labels = GalaxyStore.open(run.store).index
    for name in TASKS:
        fit_and_write(tasks.get(name), emb, labels, run.probe(name).path, seed=seed)
    for name in densities:
        density_and_write(tasks.get(name), emb, labels, run.probe(name).path, seed=seed)


def stars(run: RunFolder, tables: Tables, seed: int) -> None:
    """Separate stars from everything else, by the true kinds, for each set of modalities."""
    from euclidfm import tasks
    from euclidfm.store.reader import GalaxyStore

    labels = GalaxyStore.open(run.store).index
    records: list[Any] = []
    for emb in tables.values():
        probe = tasks.star.fit(emb, labels, seed=seed)
        records += probe.evaluate(emb, labels, against="kind")
    write_json(run.records("star"), records)


# discovery -----------------------------------------------------------------------------------------


def surprisal_scores(run: RunFolder, sets: Sequence[str], seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Scores of the model's surprisal for each set of modalities, in the order of the store."""
    from euclidfm.discover.surprisal import surprise_scores
    from euclidfm.embeddings.surprisal import surprise_table
    from euclidfm.model.foundation import FoundationModel
    from euclidfm.store.reader import GalaxyStore

    model, store = FoundationModel.load(run.model.path), GalaxyStore.open(run.store)
    out = {}
    with bar("surprise") as progress:
        for inputs in sets:
            modalities = tuple(inputs.split("+"))
            table = surprise_table(model, store, modalities=modalities, draws=2, seed=seed, progress=progress)
            out[inputs] = surprise_scores(table)
    return out


def discovery(
    run: RunFolder, tables: Tables, seed: int, surprisal: dict[str, dict[str, np.ndarray]] | None = None
) -> pa.Table:
    """Judge searches, outliers and active finding on the known kinds; write and return the outlier scores."""
    from euclidfm.discover.quality import store_quality
    from euclidfm.store.reader import GalaxyStore
    from euclidfm.studies.discovery import StudyConfig, discovery_study

    store = GalaxyStore.open(run.store)
    study = discovery_study(
        dict(tables), store.index, StudyConfig(seed=seed), surprise=surprisal, quality=store_quality(store)
    )
    scores = study.pop("scores")
    write_table(scores, run.outliers)
    for name, records in study.items():
        write_json(run.records(name), records)
    return scores


def surprisal_maps(run: RunFolder, scores: pa.Table, count: int, seed: int) -> None:
    """Write the surprisal of each VIS patch of the first `count` outliers."""
    from euclidfm.embeddings.surprisal import surprise_of
    from euclidfm.model.foundation import FoundationModel
    from euclidfm.store.reader import GalaxyStore

    model, store = FoundationModel.load(run.model.path), GalaxyStore.open(run.store)
    top = scores.sort_by("rank")["object_id"].to_pylist()[:count]
    maps = surprise_of(model, store.read([store.row_of(i) for i in top]), seed=seed)
    drawn = {m.object_id: m.patches["VIS"].ravel() for m in maps if "VIS" in m.patches}
    write_json(run.records("surprise"), drawn)
