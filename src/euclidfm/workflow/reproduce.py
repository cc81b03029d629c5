"""The reference work's claims, one command: a mock sky, a model, every study, a verdict on each.

Every stage reads the files of the ones before and writes its own; one that is done is not done again.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json, record_run, write_json, write_table
from euclidfm.core.progress import bar
from euclidfm.workflow.claims import judge
from euclidfm.workflow.other_skies import OTHER_SKIES, generalise, other_sky
from euclidfm.workflow.scales import ReproduceConfig
from euclidfm.workflow.stages import Stages
from euclidfm.workflow.steps import make_sky, make_store, train

__all__ = ["SETS", "reproduce"]

SETS = ("VIS+NISP+SED", "VIS+NISP", "VIS")
"""What the model is shown, the fullest first."""
PROBES = ("probe", "probe-stack@VIS+NISP+SED", "probe-mlp", "probe-knn@VIS+NISP+SED")
BASELINES = (
    "cnn",
    "resnet@VIS+NISP",
    "pixels-pca@VIS+NISP",
    "booster",
    "colours-ridge",
    "knn-photometry",
    "photometry-auto",
    "photometry-stack",
)


def reproduce(config: ReproduceConfig, out: Path) -> Path:
    """Run what is missing of a reproduction and write its report.

    Parameters
    ----------
    config : ReproduceConfig
    out : path
        Folder for everything; a reproduction of the same config that is there is continued.

    Returns
    -------
    Path
        Of ``report.html``; the verdicts are in ``claims.json`` beside it.

    Raises
    ------
    InputError
        If `out` holds something else, or a reproduction of another config.
    """
    stage = Stages("reproduce", config, out, additions=("real", "processes"))
    with record_run(out, "reproduce", config):
        stage("simulate", lambda: _simulate(config, out))
        stage("ingest", lambda: _ingest(config, out))
        stage("pretrain", lambda: _pretrain(config, out))
        stage("embed", lambda: _embed(out))
        stage("baselines", lambda: _efficiency(config, out, "baselines", BASELINES))
        stage("probes", lambda: _efficiency(config, out, "probes", PROBES))
        stage("densities", lambda: _densities(config, out))
        stage("discovery", lambda: _discovery(config, out))
        for preset in OTHER_SKIES:
            stage(f"sky {preset}", partial(other_sky, config, out, preset))
        stage("generalise", lambda: write_json(out / "science" / "transfer.json", generalise(config, out)))
        for inputs in SETS[1:]:
            stage(f"separate {inputs}", partial(_separate, config, out, inputs))
        stage("modality", lambda: _modality(config, out))
        if config.real is not None:
            stage("real", lambda: _real(config, out))
        begun = time.monotonic()
        report = write_report(out)
        stage.note("report", time.monotonic() - begun)
    return report


def _simulate(config: ReproduceConfig, out: Path) -> None:
    from euclidfm.simulate import SkyConfig

    sky = SkyConfig(
        galaxies=config.galaxies,
        seed=config.seed,
        rarity_boost=config.rarity_boost,
        processes=config.processes,
    )
    make_sky(sky, out / "sky")


def _ingest(config: ReproduceConfig, out: Path) -> None:
    from euclidfm.ingest import IngestConfig

    settings = IngestConfig(
        source=str(out / "sky"),
        size=config.size,
        selection="everything-detected",
        split_order=12,  # the mock sky is small: pixels of 52 arcsec
        split_fractions=(0.65, 0.1, 0.25),
        release="mock",
    )
    make_store(settings, out / "store")


def _pretrain(config: ReproduceConfig, out: Path, inputs: str = SETS[0], folder: str = "run") -> None:
    from euclidfm.model import ImageModality, ModelConfig
    from euclidfm.pretrain import PretrainConfig

    images = (
        ImageModality(name="VIS", bands=("VIS",), patch=config.vis_patch),
        ImageModality(name="NISP", bands=("Y", "J", "H"), patch=config.nisp_patch),
    )
    model = ModelConfig(
        images=tuple(i for i in images if i.name in inputs.split("+")),
        sed="SED" in inputs.split("+"),
        width=config.width,
        depth=config.depth,
        heads=config.width // 32,
        crop=config.size,
        objective="likelihood",
    )
    settings = PretrainConfig(
        model=model,
        steps=config.steps if inputs == SETS[0] else config.separate_steps,
        batch=config.batch,
        lr=config.learning_rate,
        random_order="patches",
        validate_every=250,
        checkpoint_every=250,
        seed=config.seed,
    )
    train(settings, out / "store", out / folder, f"pretrain {inputs}")


def _embed(out: Path) -> None:
    from euclidfm.embeddings import embed
    from euclidfm.model import FoundationModel
    from euclidfm.store import GalaxyStore

    model, store = FoundationModel.load(out / "run"), GalaxyStore.open(out / "store")
    (out / "embeddings").mkdir(exist_ok=True)
    for inputs in SETS:  # one checkpoint, modalities withheld
        file = out / "embeddings" / f"{inputs}.parquet"
        if not file.exists():
            with bar(f"embed {inputs}") as progress:
                embed(model, store, modalities=inputs.split("+"), progress=progress).write(file)


def _tables(out: Path) -> dict:
    from euclidfm.embeddings import EmbeddingTable

    return {name: EmbeddingTable.read(out / "embeddings" / f"{name}.parquet") for name in SETS}


def _efficiency(config: ReproduceConfig, out: Path, name: str, methods: tuple[str, ...]) -> None:
    from euclidfm.store import GalaxyStore
    from euclidfm.studies.label_efficiency import EfficiencyConfig, label_efficiency
    from euclidfm.tasks.baselines.cnn import CNNConfig

    study = EfficiencyConfig(
        fractions=config.fractions,
        repeats=config.repeats,
        slow_repeats=config.slow_repeats,
        methods=methods,
        image_inputs=("VIS", "VIS+NISP"),
        cnn=CNNConfig(size=min(config.size, config.cnn_size)),
        workers=config.processes,
        seed=config.seed,
    )
    with bar(name, "fits") as progress:
        label_efficiency(
            study, GalaxyStore.open(out / "store"), _tables(out), out / "science" / f"{name}.json", progress
        )


def _densities(config: ReproduceConfig, out: Path) -> None:
    """Probes and densities of the fullest embeddings, as the catalogue's user would fit them."""
    from euclidfm import tasks
    from euclidfm.store import GalaxyStore
    from euclidfm.tasks.products import density_and_write, fit_and_write

    store, full = GalaxyStore.open(out / "store"), _tables(out)[SETS[0]]
    for name in ("photoz", "mass", "morphology"):
        fit_and_write(tasks.get(name), full, store.index, out / "science" / name, seed=config.seed)
    density_and_write(tasks.photoz, full, store.index, out / "science" / "photoz", seed=config.seed)


def _discovery(config: ReproduceConfig, out: Path) -> None:
    from euclidfm.discover import StudyConfig, discovery_study, store_quality
    from euclidfm.store import GalaxyStore

    store = GalaxyStore.open(out / "store")
    study = discovery_study(
        _tables(out), store.index, StudyConfig(seed=config.seed), quality=store_quality(store)
    )
    write_table(study.pop("scores"), out / "outliers.parquet")
    for name in ("search", "outliers", "active"):
        write_json(out / "science" / f"{name}.json", study[name])


def _separate(config: ReproduceConfig, out: Path, inputs: str) -> None:
    from euclidfm.embeddings import embed
    from euclidfm.model import FoundationModel
    from euclidfm.store import GalaxyStore

    folder = out / "separate" / inputs
    folder.mkdir(parents=True, exist_ok=True)
    _pretrain(config, out, inputs, f"separate/{inputs}/run")
    with bar(f"embed {inputs}") as progress:
        emb = embed(FoundationModel.load(folder / "run"), GalaxyStore.open(out / "store"), progress=progress)
    emb.write(folder / "embeddings.parquet")


def _modality(config: ReproduceConfig, out: Path) -> None:
    """Stars (by the truth, among all objects) and edge-ons, from one checkpoint and from separate ones."""
    from euclidfm.embeddings import EmbeddingTable
    from euclidfm.store import GalaxyStore
    from euclidfm.studies.modality import modality_study

    index = GalaxyStore.open(out / "store").index
    labels = index.drop_columns([c for c in ("is_star",) if c in index.column_names])
    together = {k: _tables(out)[k] for k in reversed(SETS)}
    alone = {k: EmbeddingTable.read(out / "separate" / k / "embeddings.parquet") for k in reversed(SETS[1:])}
    records = []
    for model, tables in (("one checkpoint", together), ("separate models", alone)):
        found = modality_study(tables, labels, tasks=("star", "edge_on"), seed=config.seed)
        records += [{**r, "model": model} for r in found]
    write_json(out / "science" / "modality.json", records)


def _real(config: ReproduceConfig, out: Path) -> None:
    from euclidfm.studies import RealSEDConfig, real_sed_study

    folder = Path(config.real or "")
    if not folder.is_dir():
        msg = f"--real {folder} is not a folder; name the one that holds the real catalogues"
        raise InputError(msg)
    # its own seed: the split on whose training galaxies the study's choices were made
    study = RealSEDConfig(data=str(folder), workers=config.processes)
    with bar("real catalogues", "stages") as progress:
        records = real_sed_study(study, out / "real", progress)
    write_json(out / "science" / "real.json", records)


def write_report(out: Path, html: Path | None = None) -> Path:
    """Write ``claims.json``, the page (default ``report.html``) and its JSON from what is in the folder."""
    from euclidfm.report import ReportInputs, build_report
    from euclidfm.report.build import REPRODUCTION

    card, science = read_json(out / "reproduce.json"), out / "science"
    write_json(out / "claims.json", judge(out))
    parts = [science / f"{name}.json" for name in ("probes", "baselines")]
    write_json(science / "efficiency.json", [r for p in parts if p.exists() for r in read_json(p)])
    inputs = ReportInputs.of_folder(
        out,
        title=f"euclidfm: the reference work's claims, {card['config']['scale']} scale",
        embeddings=out / "embeddings" / f"{SETS[0]}.parquet",
        timings=card["timings"],
        seed=card["config"]["seed"],
    )
    page = html or out / "report.html"
    with bar("report", "sections") as progress:
        build_report(inputs, page, page.with_suffix(".json"), progress, REPRODUCTION)
    return page
