"""The whole road on a small mock sky: simulate, ingest, pre-train, embed, science, report.

Each stage reads the files of the one before and writes its own, exactly as its verb would. A stage
that is done is not done again, so a demo that was stopped continues.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json, record_run, write_json, write_table
from euclidfm.core.progress import bar
from euclidfm.workflow.stages import Stages
from euclidfm.workflow.steps import make_sky, make_store, train

__all__ = ["DemoConfig", "run_demo", "science_table", "write_report"]

_DRAWN = 18
"""Outliers that are shown with a map of the model's surprise."""


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
    steps: int = 1200
    """Pre-training steps."""
    batch: int = 32
    """Galaxies a step."""
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
    """Folder with real Euclid cutouts (FITS) to take along."""


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
    # real data is an addition: it does not change what was done without it
    stage = Stages("demo", config, out, additions=("real",))
    with record_run(out, "demo", config):
        stage("simulate", lambda: _simulate(config, out))
        stage("ingest", lambda: _ingest(config, out))
        stage("pretrain", lambda: _pretrain(config, out))
        stage("embed", lambda: _embed(out))
        stage("science", lambda: _science(config, out))
        stage("discovery", lambda: _discovery(config, out))
        if config.real is not None:
            stage("real", lambda: _real(config, out))
        begun = time.monotonic()
        report = write_report(out, out / "report.html")
        stage.note("report", time.monotonic() - begun)
    return report


def _simulate(config: DemoConfig, out: Path) -> None:
    from euclidfm.simulate import SkyConfig

    sky = SkyConfig(
        objects=config.objects,
        tiles=config.tiles,
        seed=config.seed,
        rarity_boost=1.0,
        processes=config.processes,
    )
    make_sky(sky, out / "sky")


def _ingest(config: DemoConfig, out: Path) -> None:
    from euclidfm.ingest import IngestConfig

    settings = IngestConfig(
        source=str(out / "sky"),
        size=config.size,
        selection="everything-detected",
        split_order=12,  # the mock sky is small: pixels of 52 arcsec
        split_fractions=(0.65, 0.1, 0.25),
        seed=config.seed,
        release="mock",
    )
    make_store(settings, out / "store")


def _pretrain(config: DemoConfig, out: Path) -> None:
    from euclidfm.model import ImageModality, ModelConfig
    from euclidfm.pretrain import PretrainConfig

    images = (
        ImageModality(name="VIS", bands=("VIS",), patch=16),
        ImageModality(name="NISP", bands=("Y", "J", "H"), patch=16),
    )
    model = ModelConfig(
        images=images,
        width=config.width,
        depth=config.depth,
        heads=config.width // 32,
        crop=config.size,
        objective="likelihood",
    )
    settings = PretrainConfig(
        model=model, steps=config.steps, batch=config.batch, lr=2e-3, seed=config.seed, validate_every=100
    )
    train(settings, out / "store", out / "run")


def _embed(out: Path) -> None:
    from euclidfm.embeddings import embed
    from euclidfm.model import FoundationModel
    from euclidfm.store import GalaxyStore

    model, store = FoundationModel.load(out / "run"), GalaxyStore.open(out / "store")
    names = model.config.modalities
    with bar("embed") as progress:
        for n in range(len(names), 0, -1):  # one checkpoint, modalities withheld
            emb = embed(model, store, modalities=names[:n], progress=progress)
            emb.write(out / (_file_of(names[:n]) if n < len(names) else "embeddings.parquet"))


def _file_of(modalities: tuple[str, ...]) -> str:
    return f"embeddings-{'+'.join(modalities)}.parquet"


def _read_embeddings(out: Path) -> dict[str, Any]:
    """Embedding tables by the modalities that the model was shown, the fullest first."""
    from euclidfm.embeddings import EmbeddingTable

    full = EmbeddingTable.read(out / "embeddings.parquet")
    tables = {"+".join(full.by_modality): full}
    for file in sorted(out.glob("embeddings-*.parquet"), key=lambda p: -len(p.name)):
        tables[file.stem.removeprefix("embeddings-")] = EmbeddingTable.read(file)
    return tables


def _science(config: DemoConfig, out: Path) -> None:
    from euclidfm import tasks
    from euclidfm.store import GalaxyStore
    from euclidfm.studies.label_efficiency import EfficiencyConfig, label_efficiency
    from euclidfm.tasks.baselines.cnn import CNNConfig
    from euclidfm.tasks.products import fit_and_write

    store, tables = GalaxyStore.open(out / "store"), _read_embeddings(out)
    folder = out / "science"
    folder.mkdir(exist_ok=True)
    study = EfficiencyConfig(
        fractions=config.fractions,
        repeats=config.repeats,
        methods=(
            "probe",
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
    with bar("label efficiency", "fits") as progress:
        label_efficiency(study, store, tables, folder / "efficiency.json", progress)
    full = next(iter(tables.values()))
    for name in ("photoz", "mass", "morphology"):
        fit_and_write(tasks.get(name), full, store.index, folder / name, seed=config.seed)
    records = []
    for emb in tables.values():
        probe = tasks.star.fit(emb, store.index, seed=config.seed)
        records += probe.evaluate(emb, store.index, against="kind")  # among all objects
    write_json(folder / "star.json", records)


def _discovery(config: DemoConfig, out: Path) -> None:
    from euclidfm.discover import (
        StudyConfig,
        discovery_study,
        store_quality,
        surprise_scores,
    )
    from euclidfm.embeddings import surprise_of, surprise_table
    from euclidfm.model import FoundationModel
    from euclidfm.store import GalaxyStore

    store, model = GalaxyStore.open(out / "store"), FoundationModel.load(out / "run")
    tables = _read_embeddings(out)
    surprise = {}
    with bar("surprise") as progress:
        for inputs in tables:
            table = surprise_table(
                model,
                store,
                modalities=tuple(inputs.split("+")),
                draws=2,
                seed=config.seed,
                progress=progress,
            )
            surprise[inputs] = surprise_scores(table)
    study = discovery_study(
        tables,
        store.index,
        StudyConfig(seed=config.seed),
        surprise=surprise,
        quality=store_quality(store),
    )
    scores = study.pop("scores")
    write_table(scores, out / "outliers.parquet")
    top = scores.sort_by("rank")["object_id"].to_pylist()[:_DRAWN]
    maps = surprise_of(model, store.read([store.row_of(i) for i in top]), seed=config.seed)
    drawn = {m.object_id: m.patches["VIS"].ravel() for m in maps if "VIS" in m.patches}
    write_json(out / "science" / "surprise.json", drawn)
    write_json(out / "science" / "search.json", study["search"])
    write_json(out / "science" / "outliers.json", study["outliers"])
    write_json(out / "science" / "active.json", study["active"])


def _real(config: DemoConfig, out: Path) -> None:
    """Real cutouts through the same ingest and the same model."""
    from euclidfm.embeddings import embed
    from euclidfm.ingest import IngestConfig, ingest
    from euclidfm.model import FoundationModel
    from euclidfm.store import GalaxyStore

    source = Path(config.real or "")
    if not source.is_dir():
        msg = f"--real {source} is not a folder; name the folder that holds the real cutouts"
        raise InputError(msg)
    folder = source / "euclid_q1" if (source / "euclid_q1").is_dir() else source
    settings = IngestConfig(source=str(folder), size=config.size, release="Q1")
    with bar("ingest real") as progress:
        ingest(settings, out / "real" / "store", progress=progress, overwrite=True)
    model = FoundationModel.load(out / "run")
    emb = embed(model, GalaxyStore.open(out / "real" / "store"))
    emb.write(out / "real" / "embeddings.parquet")


def write_report(folder: Path, out: Path) -> Path:
    """Write `out` and the JSON beside it from the results in a folder.

    Raises
    ------
    InputError
        If the folder does not exist.
    """
    from euclidfm.report import ReportInputs, build_report

    if not folder.is_dir():
        msg = f"{folder} is not a folder; give the folder of a demo"
        raise InputError(msg)
    card = read_json(folder / "demo.json") if (folder / "demo.json").exists() else {}
    inputs = ReportInputs.of_folder(folder, title="euclidfm: the road from sky files to science")
    inputs = replace(inputs, timings=card.get("timings", {}), seed=int(card.get("config", {}).get("seed", 0)))
    with bar("report", "sections") as progress:
        build_report(inputs, out, out.with_suffix(".json"), progress)
    return out


def science_table(folder: Path) -> str:
    """The science table of a demo as text: methods by label fraction, mean over repeats.

    Returns
    -------
    str
    """
    from euclidfm.core.records import summarise

    wanted = {"photoz": "nmad", "mass": "nmad", "morphology": "balanced_accuracy"}
    records = summarise(read_json(folder / "science" / "efficiency.json"))
    lines = []
    for task, metric in wanted.items():
        chosen = [r for r in records if r["task"] == task and r["metric"] == metric]
        fractions = sorted({r["fraction"] for r in chosen})
        lines.append(f"{task}: {metric} against the share of labels")
        lines.append(f"  {'method':<20}{'inputs':<18}" + "".join(f"{f:>10.0%}" for f in fractions))
        for key in sorted({(r["method"], r["inputs"]) for r in chosen}):
            cells = {r["fraction"]: r["value"] for r in chosen if (r["method"], r["inputs"]) == key}
            line = "".join(f"{cells[f]:>10.4f}" if f in cells else f"{'':>10}" for f in fractions)
            lines.append(f"  {key[0]:<20}{key[1]:<18}{line}")
    return "\n".join(lines)
