"""The demo: from a small mock sky to a report, in minutes on two cores.

Each stage reads the files of the one before and writes its own, exactly as its command would. A stage
that is done is not done again, so a demo that was stopped continues.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.core.files import record_run
from euclidfm.core.run_folder import RunFolder
from euclidfm.ingest.config import IngestConfig
from euclidfm.model.config import ImageModality, ModelConfig
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.simulate.config import SkyConfig
from euclidfm.store import GalaxyStore, StoreInfo
from euclidfm.studies.label_efficiency import EfficiencyConfig
from euclidfm.tasks.baselines.cnn import CNNConfig
from euclidfm.workflow import steps
from euclidfm.workflow.report import write_report
from euclidfm.workflow.stages import Stages

__all__ = ["DemoConfig", "run_demo"]

_DRAWN = 18
"""Outliers that are shown with a map of the model's surprisal."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """A demo: small enough for minutes on two cores."""

    seed: int = 1
    """Everything random follows from it."""
    objects: int = 4000
    """Objects on the mock sky."""
    tiles: int = 4
    """Tiles of the mock sky."""
    size: int = 64
    """Side of the cutouts in pixels."""
    steps: int = 1000
    """Pre-training steps."""
    batch: int = 64
    """Galaxies a step. The image encoder reads all of them, the transformer three eighths."""
    width: int = 96
    """Width of the model."""
    depth: int = 6
    """Blocks of the model."""
    fractions: tuple[float, ...] = (0.05, 0.2, 1.0)
    """Label fractions of the label-efficiency study."""
    repeats: int = 3
    """Repeats of each, with other labels and another initialisation."""
    processes: int = 2
    """Processes for the mock sky."""
    real: str | None = None
    """Folder with real Euclid cutouts (FITS) to take along, or with any images that ``real_recipe`` reads."""
    real_recipe: str | None = None
    """How to read them: a shipped recipe's name, or a YAML file. Images without VIS in µJy get a model of
    their own."""


def run_demo(config: DemoConfig, out: Path) -> Path:
    """Run the demo.

    Parameters
    ----------
    config : DemoConfig
    out : path
        Folder for everything; a demo of the same config that is there is continued.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    InputError
        If `out` holds something else, or a demo of another config.
    """
    run = RunFolder(out)
    stage = Stages("demo", config, out, additions=("real", "real_recipe"))  # they change no other stage
    with record_run(out, "demo", config):
        stage("simulate", lambda: steps.make_sky(_sky(config), run.sky))
        stage("ingest", lambda: steps.make_store(_store(config, run), run.store))
        stage("pretrain", lambda: steps.train(_training(config), run.store, run.model.path))
        stage("embed", lambda: steps.embed_sets(run, _embeddings(run)))
        stage("science", lambda: _science(config, run))
        stage("discovery", lambda: _discovery(config, run))
        if config.real is not None:
            stage("real", lambda: _real(config, run))
        begun = time.monotonic()
        page = write_report(out)
        stage.note("report", time.monotonic() - begun)
    return page


def _sky(config: DemoConfig) -> SkyConfig:
    return SkyConfig(
        objects=config.objects,
        tiles=config.tiles,
        seed=config.seed,
        rarity_boost=1.0,
        processes=config.processes,
    )


def _store(config: DemoConfig, run: RunFolder) -> IngestConfig:
    return steps.ingest_settings(run.sky, config.size, seed=config.seed)


def _training(config: DemoConfig) -> PretrainConfig:
    model = steps.model_settings(
        steps.SETS[0], vis_patch=16, nisp_patch=16, width=config.width, depth=config.depth, crop=config.size
    )
    return PretrainConfig(
        model=model,
        steps=config.steps,
        batch=config.batch,
        chain_share=0.375,
        lr=2e-3,
        ema=0.998,
        seed=config.seed,
        validate_every=100,
    )


def _embeddings(run: RunFolder) -> dict[str, Path]:
    """Embedding files by the modalities that the model was given, the fullest first."""
    fullest, *fewer = steps.SETS
    return {fullest: run.embeddings, **{inputs: run.embeddings_of(inputs) for inputs in fewer}}


def _science(config: DemoConfig, run: RunFolder) -> None:
    tables = steps.read_tables(_embeddings(run))
    study = EfficiencyConfig(
        fractions=config.fractions,
        repeats=config.repeats,
        methods=(
            "probe",
            f"probe-fusion@{steps.SETS[0]}",
            "cnn",
            "booster",
            "colours-ridge",
            "knn-photometry",
        ),
        cnn=CNNConfig(size=min(config.size, 48)),
        slow_repeats=((0.0, 1),),
        workers=config.processes,
        seed=config.seed,
    )
    steps.label_efficiency_study(study, run, tables, "efficiency")
    steps.fit_probes(run, tables[steps.SETS[0]], config.seed)
    steps.stars(run, tables, config.seed)


def _discovery(config: DemoConfig, run: RunFolder) -> None:
    tables = steps.read_tables(_embeddings(run))
    surprisal = steps.surprisal_scores(run, list(tables), config.seed)
    scores = steps.discovery(run, tables, config.seed, surprisal)
    steps.surprisal_maps(run, scores, _DRAWN, config.seed)


def _real(config: DemoConfig, run: RunFolder) -> None:
    """Ingest and embed real images, by the model of the mocks if they have VIS in µJy, else by their own.

    Cutouts get the settings of the mock sky's.
    """
    source, recipe = Path(config.real or ""), config.real_recipe
    if not source.is_dir():
        msg = f"--real {source} is not a folder; name the folder that holds the real cutouts"
        raise InputError(msg)
    if recipe is None:
        folder = source / "euclid_q1" if (source / "euclid_q1").is_dir() else source
        settings = IngestConfig(source=str(folder), size=config.size, release="Q1")
    else:
        settings = IngestConfig(source=str(source), recipe=recipe, split_order=12)
    steps.make_store(settings, run.real.store, "ingest real")
    info = GalaxyStore.open(run.real.store).info
    model = run.model.path
    if "VIS" not in info.image_bands or "VIS" in info.uncalibrated:
        model = run.real.model.path
        steps.train(_own_model(config, info), run.real.store, model, "pretrain real")
    steps.embed_all(model, run.real.store, run.real.embeddings, "embed real")


def _own_model(config: DemoConfig, info: StoreInfo) -> PretrainConfig:
    """A training on images of any bands, as one modality."""
    patch = 16 if info.image_size >= 64 else 8
    crop = min(info.image_size, 2 * config.size) // patch * patch
    model = ModelConfig(
        images=(ImageModality(name="IMAGES", bands=info.image_bands, patch=patch),),
        width=config.width,
        depth=config.depth,
        heads=config.width // 32,
        crop=crop,
        objective="likelihood",
    )
    return PretrainConfig(
        model=model, steps=config.steps, batch=config.batch, lr=2e-3, seed=config.seed, validate_every=100
    )
