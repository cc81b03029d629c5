"""The reference work's claims: a mock sky, a model, every study, and a verdict on each.

Every stage reads the files of the ones before and writes its own; one that is done is not done again.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.core.files import record_run, write_json
from euclidfm.core.progress import bar
from euclidfm.core.run_folder import RunFolder
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.simulate.config import SkyConfig
from euclidfm.store.reader import GalaxyStore
from euclidfm.studies.label_efficiency import EfficiencyConfig
from euclidfm.studies.modality import modality_study
from euclidfm.studies.real_seds import RealSEDConfig, real_sed_study
from euclidfm.tasks.baselines.cnn import CNNConfig
from euclidfm.workflow import steps
from euclidfm.workflow.other_skies import OTHER_SKIES, generalise, make_other_sky
from euclidfm.workflow.report import write_report
from euclidfm.workflow.scales import ReproduceConfig
from euclidfm.workflow.stages import Stages

__all__ = ["reproduce"]

ALL, *FEWER = steps.SETS
PROBES = ("probe", "probe-stack@VIS+NISP+SED", "probe-mlp", "probe-knn@VIS+NISP+SED")
BASELINES = (
    "cnn",
    "resnet@VIS+NISP",
    "pixels-pca@VIS+NISP",
    "apertures-ridge@VIS+NISP",
    "apertures-booster@VIS+NISP",
    "morphology-booster@VIS",
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
    run = RunFolder(out)
    stage = Stages("reproduce", config, out, additions=("real", "processes"))
    with record_run(out, "reproduce", config):
        stage("simulate", lambda: steps.make_sky(_sky(config), run.sky))
        stage("ingest", lambda: steps.make_store(steps.ingest_settings(run.sky, config.size), run.store))
        stage("pretrain", lambda: _train(config, run, ALL))
        stage("embed", lambda: steps.embed_sets(run, _embeddings(run)))
        stage("baselines", lambda: _efficiency(config, run, "baselines", BASELINES))
        stage("probes", lambda: _efficiency(config, run, "probes", PROBES))
        stage("densities", lambda: steps.fit_probes(run, _tables(run)[ALL], config.seed, ["photoz"]))
        stage("discovery", lambda: steps.discovery(run, _tables(run), config.seed))
        for preset in OTHER_SKIES:
            stage(f"sky {preset}", partial(make_other_sky, config, run, preset))
        stage("generalise", lambda: write_json(run.records("transfer"), generalise(config, run)))
        for inputs in FEWER:
            stage(f"separate {inputs}", partial(_separate, config, run, inputs))
        stage("modality", lambda: _modality(config, run))
        if config.real is not None:
            stage("real", lambda: _real(config, run))
        begun = time.monotonic()
        page = write_report(out)
        stage.note("report", time.monotonic() - begun)
    return page


def _sky(config: ReproduceConfig) -> SkyConfig:
    return SkyConfig(
        galaxies=config.galaxies,
        seed=config.seed,
        rarity_boost=config.rarity_boost,
        processes=config.processes,
    )


def _train(config: ReproduceConfig, run: RunFolder, inputs: str) -> None:
    """Pre-train on some modalities; a model of fewer than all lies in a folder of its own."""
    whole = inputs == ALL
    settings = PretrainConfig(
        model=steps.model_settings(
            inputs,
            vis_patch=config.vis_patch,
            nisp_patch=config.nisp_patch,
            width=config.width,
            depth=config.depth,
            crop=config.size,
        ),
        steps=config.steps if whole else config.separate_steps,
        batch=config.batch if whole else config.batch // 4,  # the transformer reads as many in both
        chain_share=0.25 if whole else 1.0,
        lr=config.learning_rate,
        ema=0.998,
        random_order="patches",
        validate_every=250,
        checkpoint_every=250,
        seed=config.seed,
    )
    out = run.model if inputs == ALL else run.separate(inputs).model
    steps.train(settings, run.store, out.path, f"pretrain {inputs}")


def _embeddings(run: RunFolder) -> dict[str, Path]:
    return {inputs: run.study_embeddings(inputs) for inputs in steps.SETS}


def _tables(run: RunFolder) -> steps.Tables:
    return steps.read_tables(_embeddings(run))


def _efficiency(config: ReproduceConfig, run: RunFolder, name: str, methods: tuple[str, ...]) -> None:
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
    steps.label_efficiency_study(study, run, _tables(run), name)


def _separate(config: ReproduceConfig, run: RunFolder, inputs: str) -> None:
    """Train and embed without the other modalities."""
    _train(config, run, inputs)
    folder = run.separate(inputs)
    steps.embed_all(folder.model.path, run.store, folder.embeddings, f"embed {inputs}")


def _modality(config: ReproduceConfig, run: RunFolder) -> None:
    """Stars (by the truth, among all objects) and edge-ons, from one checkpoint and from separate ones."""
    index = GalaxyStore.open(run.store).index
    labels = index.drop_columns([c for c in ("is_star",) if c in index.column_names])
    together = steps.read_tables({k: run.study_embeddings(k) for k in reversed(steps.SETS)})
    alone = steps.read_tables({k: run.separate(k).embeddings for k in reversed(FEWER)})
    records = []
    for model, tables in (("one checkpoint", together), ("separate models", alone)):
        found = modality_study(tables, labels, tasks=("star", "edge_on"), seed=config.seed)
        records += [{**r, "model": model} for r in found]
    write_json(run.records("modality"), records)


def _real(config: ReproduceConfig, run: RunFolder) -> None:
    folder = Path(config.real or "")
    if not folder.is_dir():
        msg = f"--real {folder} is not a folder; name the one that holds the real catalogues"
        raise InputError(msg)
    # its own seed: the study's choices were made on the training galaxies of this split
    study = RealSEDConfig(data=str(folder), workers=config.processes)
    with bar("real catalogues", "stages") as progress:
        records = real_sed_study(study, run.real.path, progress)
    write_json(run.records("real"), records)
