"""Redshifts from the SEDs of real spectroscopic catalogues: pre-trained models against baselines.

For each catalogue the study ingests it, pre-trains on SEDs (those of split ``train``, without labels, and
those of mock galaxies with known redshifts), embeds, runs the label-efficiency study, and fits p(z). Every
stage writes files and is skipped if they exist.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, read_json, write_json
from euclidfm.core.progress import Progress, silent
from euclidfm.core.records import Record, read_records
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.model import FoundationModel, ModelConfig
from euclidfm.pretrain import PretrainConfig
from euclidfm.store import GalaxyStore
from euclidfm.studies.catalogues import CATALOGUES, Catalogue
from euclidfm.studies.label_efficiency import EfficiencyConfig, label_efficiency

__all__ = ["METHODS", "RealSEDConfig", "real_sed_study"]

log = logging.getLogger(__name__)

METHODS = (
    "probe",
    "probe-auto",
    "probe-mlp",
    "probe-knn",
    "probe-stack",
    "booster",
    "knn-photometry",
    "colours-ridge",
    "photometry-auto",
    "photometry-stack",
)
"""Probes of the embedding, then methods on the photometry alone."""

PREDICTED = "predicted"
"""Part of the embedding that holds the redshift and its uncertainty as the model predicts them."""

SCALAR = "z_spec"
"""Column with the redshift of mock galaxies; in pre-training it is NaN for real ones."""


def _default_pretrain() -> PretrainConfig:
    model = ModelConfig(
        images=(),
        width=64,
        depth=4,
        heads=4,
        objective="likelihood",
        likelihood="mixture",
        components=3,
    )
    return PretrainConfig(
        model=model, steps=2500, batch=256, lr=3e-3, drop_modality=0.1, drop_band=0.05, validate_every=500
    )


@dataclass(frozen=True, kw_only=True)
class RealSEDConfig:
    """Settings of the study."""

    data: str
    """Folder that holds the catalogues' folders (``zcosmos``, ``desi_bgs``, ``candels_cosmos``)."""
    catalogues: tuple[str, ...] = ("zcosmos", "desi_bgs", "candels_cosmos")
    """Catalogues; one whose folder is missing is skipped with a warning."""
    pretrain: PretrainConfig = field(default_factory=_default_pretrain)
    """Pre-training, for all catalogues but with the steps of `steps`."""
    steps: tuple[tuple[str, int], ...] = (("desi_bgs", 800), ("candels_cosmos", 800))
    """Pre-training steps of catalogues that need another number."""
    mock: bool = True
    """Also pre-train on mock galaxies, and add the redshift that the model predicts to the embedding."""
    mock_galaxies: int = 0
    """Mock galaxies per catalogue; 0 for the number in `CATALOGUES`."""
    orders: int = 4
    """Random orders of the bands over which the predicted redshift is averaged."""
    task: str = "photoz"
    methods: tuple[str, ...] = METHODS
    """Methods of the label-efficiency study."""
    fractions: tuple[float, ...] = (0.01, 0.05, 0.1, 1.0)
    """Fractions of the labels."""
    repeats: int = 10
    """Repeats, each with its own labels and initialisation."""
    slow_repeats: tuple[tuple[float, int], ...] = ((0.5, 3),)
    """Fewer repeats of the slow methods: pairs (from this fraction on, number of repeats)."""
    resamples: int = 500
    """Bootstrap samples of the test galaxies."""
    density: bool = True
    """Fit and evaluate p(z)."""
    seed: int = 0
    workers: int = 1
    """Processes of the label-efficiency study."""


def real_sed_study(config: RealSEDConfig, out: str | Path, progress: Progress = silent) -> list[Record]:
    """Run the study, or the part of it that is missing.

    Parameters
    ----------
    config : RealSEDConfig
    out : path
        A folder for each catalogue is made in it: ``store/``, ``mixed-store/``, ``run/``,
        ``embeddings.parquet``, ``efficiency.json``, ``density/`` and ``density.json``; and ``records.json``
        with the records of all.
    progress : callable, optional
        ``progress(done, total, what)`` in stages; `what` names the catalogue and the stage.

    Returns
    -------
    list of Record
        With the field `catalogue`.

    Raises
    ------
    InputError
        If no folder of a catalogue exists, a name is unknown, or `out` was made with other settings.
    """
    out = Path(out)
    chosen = _present(config)
    records: list[Record] = []
    stages = 5 if config.density else 4
    for i, (name, catalogue) in enumerate(chosen):

        def report(stage: int, what: str, i: int = i, name: str = name) -> None:
            progress(stages * i + stage, stages * len(chosen), f"{name}: {what}")

        folder = out / name
        _check_settings(config, name, folder)
        report(0, "ingest")
        store = _ingest(config, catalogue, folder)
        report(1, "pre-training")
        _pretrain(config, name, catalogue, store, folder)
        report(2, "embedding")
        emb = _embed(config, catalogue, store, folder)
        report(3, "label efficiency")
        found = label_efficiency(_efficiency(config), store, {"SED": emb}, folder / "efficiency.json")
        if config.density:
            report(4, "p(z)")
            found = [*found, *_density(config, store, emb, folder)]
        records += [{"catalogue": name, **r} for r in found]
        report(stages, "done")
    write_json(out / "records.json", records)
    return records


def _present(config: RealSEDConfig) -> list[tuple[str, Catalogue]]:
    unknown = [n for n in config.catalogues if n not in CATALOGUES]
    if unknown:
        msg = f"there is no catalogue {unknown[0]!r}; choose among {', '.join(CATALOGUES)}"
        raise InputError(msg)
    root = Path(config.data)
    here = [(n, CATALOGUES[n]) for n in config.catalogues if (root / CATALOGUES[n].folder).is_dir()]
    missing = [n for n in config.catalogues if n not in dict(here)]
    for n in missing:
        log.warning("catalogue %s is skipped: there is no folder %s", n, root / CATALOGUES[n].folder)
    if not here:
        msg = f"{root} holds none of the folders {', '.join(CATALOGUES[n].folder for n in config.catalogues)}"
        raise InputError(msg)
    return here


def _check_settings(config: RealSEDConfig, name: str, folder: Path) -> None:
    """Refuse a folder whose embeddings were made with other settings."""
    what = {
        "pretrain": asdict(config.pretrain),
        "steps": dict(config.steps).get(name, config.pretrain.steps),
        "mock": asdict(CATALOGUES[name].mock) if config.mock else None,
        "mock_galaxies": config.mock_galaxies,
        "orders": config.orders,
        "seed": config.seed,
    }
    identity = hashlib.sha256(json.dumps(plain(what), sort_keys=True).encode()).hexdigest()[:16]
    file = folder / "study.json"
    if file.exists() and read_json(file).get("identity") != identity:
        msg = f"{folder} was made with other settings; remove it or choose another folder"
        raise InputError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, {"identity": identity, **what})


def _ingest(config: RealSEDConfig, catalogue: Catalogue, folder: Path) -> GalaxyStore:
    from euclidfm.ingest import IngestConfig, ingest

    path = folder / "store"
    if not (path / "store.json").is_file():
        source = str(Path(config.data) / catalogue.folder)
        ingest(IngestConfig(source=source, recipe=catalogue.recipe, seed=config.seed), out=path)
    return GalaxyStore.open(path)


def _pretrain(
    config: RealSEDConfig, name: str, catalogue: Catalogue, store: GalaxyStore, folder: Path
) -> None:
    from euclidfm.pretrain import pretrain
    from euclidfm.studies.mock_photometry import write_mixed_store

    if (folder / "run" / "run.json").is_file():
        return
    steps = dict(config.steps).get(name, config.pretrain.steps)
    how, path = replace(config.pretrain, steps=steps, seed=config.seed), store.path
    if config.mock:
        path = folder / "mixed-store"
        if not (path / "store.json").is_file():
            mock = catalogue.mock
            if config.mock_galaxies:
                mock = replace(mock, galaxies=config.mock_galaxies)
            write_mixed_store(mock, store, path, config.seed)
        how = replace(how, model=replace(how.model, scalars=(SCALAR,)))
    pretrain(how, path, folder / "run")


def _embed(config: RealSEDConfig, catalogue: Catalogue, store: GalaxyStore, folder: Path) -> EmbeddingTable:
    from euclidfm.embeddings import embed
    from euclidfm.embeddings.predict_scalar import predict_scalar, with_part

    file = folder / "embeddings.parquet"
    if not file.is_file():
        model = FoundationModel.load(folder / "run")
        emb = only_part(embed(model, store, modalities=("SED",), batch=512), "SED")
        if config.mock:
            bands = [b for b, _ in catalogue.mock.curves]
            predicted = predict_scalar(
                model, store, SCALAR, sed_bands=bands, orders=config.orders, seed=config.seed
            )
            mean, scale = predicted.T
            redshift = np.stack([np.log1p(np.maximum(mean, -0.5)), np.log(scale)], axis=1)
            emb = with_part(emb, PREDICTED, redshift)
        emb.write(file)
    emb = EmbeddingTable.read(file)
    parts = {PREDICTED if n == "foreseen" else n: v for n, v in emb.by_modality.items()}  # the earlier name
    return replace(emb, by_modality=parts)


def only_part(emb: EmbeddingTable, name: str) -> EmbeddingTable:
    """The table with the vectors of one modality as its joint vectors."""
    return replace(emb, vectors=emb.by_modality[name], by_modality={name: emb.by_modality[name]})


def _efficiency(config: RealSEDConfig) -> EfficiencyConfig:
    return EfficiencyConfig(
        tasks=(config.task,),
        fractions=config.fractions,
        methods=config.methods,
        repeats=config.repeats,
        slow_repeats=config.slow_repeats,
        resamples=config.resamples,
        seed=config.seed,
        workers=config.workers,
    )


def _density(
    config: RealSEDConfig, store: GalaxyStore, emb: EmbeddingTable, folder: Path
) -> Sequence[Record]:
    from euclidfm.embeddings.predict_scalar import with_part
    from euclidfm.tasks.baselines.photometric import photometry_features
    from euclidfm.tasks.density.fit import fit_density

    file = folder / "density.json"
    if file.is_file():
        return read_records(file)
    rows = store.rows()
    assert (store.column("object_id")[rows] == emb.object_id).all()
    flux, error = (values[rows] for values in store.photometry())
    train = emb.split == "train"
    _, features = photometry_features((flux[train], error[train]), (flux, error))
    emb = with_part(emb, "photometry", features)
    use = ("photometry", PREDICTED) if config.mock else ("photometry", "SED")
    probe = fit_density(emb, store.index, task=config.task, seed=config.seed, use=use)
    probe.save(folder / "density")
    records = probe.evaluate(emb, store.index, resamples=config.resamples)
    write_json(file, records)
    return records
