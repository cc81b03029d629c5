"""Classes of real galaxies from pictures: a model pre-trained on them without labels, against baselines.

The study ingests the pictures, pre-trains on those of split ``train`` without labels, embeds, runs the
label-efficiency study on the classes of Galaxy Zoo 1, and evaluates searches and the outlier ranking. Every
stage writes files and is skipped if they exist.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, read_json, write_json
from euclidfm.core.progress import Progress, silent
from euclidfm.core.records import Record, make_record, read_records
from euclidfm.discover.artefacts import artefact_score, screened
from euclidfm.discover.evaluate import similarity_purity
from euclidfm.discover.outliers import outlier_scores
from euclidfm.discover.quality import store_quality
from euclidfm.discover.space import finite_rows
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.metrics import bootstrap_all
from euclidfm.metrics.classes import area_under_roc
from euclidfm.metrics.points import Metric
from euclidfm.metrics.ranking import recall_at_k
from euclidfm.model import ImageModality, ModelConfig
from euclidfm.pretrain import PretrainConfig
from euclidfm.store import GalaxyStore
from euclidfm.studies.label_efficiency import EfficiencyConfig, label_efficiency
from euclidfm.tasks.baselines.cnn import CNNConfig
from euclidfm.tasks.registry import gz1_kinds

__all__ = ["METHODS", "RealImageConfig", "real_image_study"]

METHODS = (
    "probe", "cnn", "resnet", "pixels-pca", "apertures-ridge", "apertures-booster", "morphology-booster",
)  # fmt: skip
"""The probe of the embedding, networks on pixels, their components, and measured numbers alone."""

BANDS = ("sdss_i", "sdss_r", "sdss_g")
TASK = "gz1"
ARTEFACT = "dont_know"
FIRST = 0.05
"""Fraction of the test galaxies, from the top of the outlier ranking, in which a kind is counted."""


def _default_pretrain() -> PretrainConfig:
    model = ModelConfig(
        images=(ImageModality(name="IMAGE", bands=BANDS, patch=8),),
        sed=False,
        crop=48,
        objective="likelihood",
    )
    return PretrainConfig(model=model, steps=300, batch=32, lr=1.5e-3, validate_every=100)


@dataclass(frozen=True, kw_only=True)
class RealImageConfig:
    """Settings of the study."""

    data: str
    """Folder of the pictures with their table, as the recipe describes it."""
    recipe: str = "sdss-gz1"
    """Recipe of ingest. Its bands must be those of the model."""
    size: int = 48
    """Side of the stored cutouts, pixels."""
    rebin: int = 5
    """Pixels of a picture that are joined each way: 263 px become 52, of which 48 are stored."""
    pretrain: PretrainConfig = field(default_factory=_default_pretrain)
    methods: tuple[str, ...] = METHODS
    """Methods of the label-efficiency study."""
    fractions: tuple[float, ...] = (0.01, 0.05, 0.1, 1.0)
    """Fractions of the labels."""
    repeats: int = 10
    """Repeats, each with its own labels and initialisation."""
    slow_repeats: tuple[tuple[float, int], ...] = ((0.0, 10), (0.1, 5), (1.0, 1))
    """Fewer repeats of the slow methods: pairs (from this fraction on, number of repeats)."""
    resamples: int = 500
    """Bootstrap samples of the test galaxies."""
    seed: int = 0
    workers: int = 1
    """Processes of the label-efficiency study."""


def real_image_study(config: RealImageConfig, out: str | Path, progress: Progress = silent) -> list[Record]:
    """Run the study, or the part of it that is missing.

    Parameters
    ----------
    config : RealImageConfig
    out : path
        Folder for ``store/``, ``run/``, ``embeddings.parquet``, ``efficiency.json``, ``discovery.json`` and
        ``records.json``, which holds all records.
    progress : callable, optional
        ``progress(done, total, what)`` in stages.

    Returns
    -------
    list of Record

    Raises
    ------
    InputError
        If the pictures can't be ingested, or `out` was made with other settings.
    """
    out = Path(out)
    _check_settings(config, out)
    progress(0, 5, "ingest")
    store = _ingest(config, out)
    progress(1, 5, "pre-training")
    _pretrain(config, store, out)
    progress(2, 5, "embedding")
    emb = _embed(store, out)
    progress(3, 5, "searches and outliers")
    found = _discovery(config, store, emb, out)
    progress(4, 5, "label efficiency")
    found = [*label_efficiency(_efficiency(config), store, emb, out / "efficiency.json"), *found]
    write_json(out / "records.json", found)
    progress(5, 5, "done")
    return found


def _check_settings(config: RealImageConfig, out: Path) -> None:
    """Refuse a folder whose embeddings were made with other settings."""
    what = {k: v for k, v in asdict(config).items() if k in ("recipe", "size", "rebin", "pretrain", "seed")}
    identity = hashlib.sha256(json.dumps(plain(what), sort_keys=True).encode()).hexdigest()[:16]
    file = out / "study.json"
    if file.exists() and read_json(file).get("identity") != identity:
        msg = f"{out} was made with other settings; remove it or choose another folder"
        raise InputError(msg)
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, {"identity": identity, **what})


def _ingest(config: RealImageConfig, out: Path) -> GalaxyStore:
    from euclidfm.ingest import IngestConfig, ingest

    path = out / "store"
    if not (path / "store.json").is_file():
        settings = IngestConfig(
            source=config.data,
            recipe=config.recipe,
            size=config.size,
            rebin=config.rebin,
            split_fractions=(0.65, 0.1, 0.25),
            seed=config.seed,
        )
        ingest(settings, out=path)
    return GalaxyStore.open(path)


def _pretrain(config: RealImageConfig, store: GalaxyStore, out: Path) -> None:
    from euclidfm.pretrain import pretrain

    if not (out / "run" / "run.json").is_file():
        pretrain(replace(config.pretrain, seed=config.seed), store.path, out / "run")


def _embed(store: GalaxyStore, out: Path) -> EmbeddingTable:
    from euclidfm.embeddings import embed
    from euclidfm.model import FoundationModel

    file = out / "embeddings.parquet"
    if not file.is_file():
        embed(FoundationModel.load(out / "run"), store).write(file)
    return EmbeddingTable.read(file)


def _efficiency(config: RealImageConfig) -> EfficiencyConfig:
    return EfficiencyConfig(
        tasks=(TASK,),
        fractions=config.fractions,
        methods=config.methods,
        repeats=config.repeats,
        slow_repeats=config.slow_repeats,
        image_inputs=("+".join(config.pretrain.model.image_bands),),
        cnn=CNNConfig(),
        resamples=config.resamples,
        seed=config.seed,
        workers=config.workers,
    )


def _discovery(config: RealImageConfig, store: GalaxyStore, emb: EmbeddingTable, out: Path) -> list[Record]:
    """Records of searches among all galaxies, and of the outlier ranking of the test galaxies."""
    file = out / "discovery.json"
    if not file.is_file():
        kind = gz1_kinds(emb.column_of(store.index, "gz1_class_name"), unsure=ARTEFACT)
        wanted = np.where(np.isin(kind, ("merger", "edge_on")), kind, "")
        queries = replace(emb, columns={})
        found = similarity_purity(queries, wanted, seed=config.seed, metrics=("purity", "ndcg"))
        write_json(file, [*found, *_outliers(config, store, emb, kind)])
    return read_records(file)


def _outliers(
    config: RealImageConfig, store: GalaxyStore, emb: EmbeddingTable, kind: np.ndarray
) -> list[Record]:
    """Where each kind stands in the ranking, as it is and with likely artefacts last.

    The artefact classifier learns from the galaxies outside the test split.
    """
    test = (emb.split == "test") & finite_rows(emb.vectors)
    known = np.where((kind == "") | (emb.split == "test"), np.nan, (kind == ARTEFACT).astype(float))
    quality = store_quality(store)
    scores = outlier_scores(emb.take(test), seed=config.seed)
    rankings = {"outliers": scores}
    if np.nansum(known) >= 2:
        probability = artefact_score(emb, known, quality=quality, seed=config.seed)
        rankings["outliers, artefacts last"] = screened(scores, probability[test])
    records: list[Record] = []
    for method, table in rankings.items():
        for name in (ARTEFACT, "merger", "edge_on", "spiral", "smooth"):
            records += _standing(config, method, table, name, kind[test] == name)
    return records


def _standing(
    config: RealImageConfig, method: str, scores: pa.Table, name: str, members: np.ndarray
) -> list[Record]:
    """Area under the ROC curve of a kind in a ranking (0.5: anywhere), and its share in the first places."""
    if not members.any():
        return []
    first = max(1, round(FIRST * len(members)))
    metrics: dict[str, Metric] = {
        "auc": area_under_roc,
        f"recall@{FIRST:g}": partial(recall_at_k, k=first),
    }
    place = -scores.column("rank").to_numpy(zero_copy_only=False).astype(float)
    found = bootstrap_all(metrics, place, members.astype(float), resamples=config.resamples)
    return [
        make_record(
            task="outliers",
            method=method,
            inputs="joint",
            fraction=None,
            n_test=len(members),
            seed=config.seed,
            metric=metric,
            value=i.value,
            low=i.low,
            high=i.high,
            kind=name,
            members=int(members.sum()),
        )
        for metric, i in found.items()
    ]
