"""Commands about labels and estimates: ``probe``, ``finetune``, ``predict``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from euclidfm import tasks
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json, record_run
from euclidfm.core.progress import bar
from euclidfm.core.records import Record
from euclidfm.core.run_folder import ProbeFolder
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.model.foundation import FoundationModel
from euclidfm.predict.run import predict as write_catalogue
from euclidfm.store.reader import GalaxyStore
from euclidfm.tasks.finetune.run import tune_and_write
from euclidfm.tasks.finetune.train import FineTuneConfig
from euclidfm.tasks.heads.make import FUSION
from euclidfm.tasks.products import density_and_write, fit_and_write

__all__ = ["finetune", "predict", "probe"]


def probe(
    embeddings: Path,
    *,
    store: Path,
    task: str = "photoz",
    head: str = FUSION,
    inputs: list[str] | None = None,
    teach: bool = True,
    out: Path,
    seed: int = 0,
    density: bool = False,
) -> list[Record]:
    """Fit a small head on embeddings and evaluate it on the test split.

    Input: embeddings and the store with the labels. Output: a folder with the probe (safetensors + JSON), its
    predictions for every object and its metrics with bootstrap intervals. With --density true also p(z),
    recalibrated, with intervals: pz.parquet, and pz.hdf5 for qp and RAIL.

    Without options the probe combines blocks of numbers: photometry, measured numbers, vectors of the model.
    A block is used if it lowers the left-out error by more than a standard error. The table of what was tried
    is printed and stands in probe.json.

    example: euclidfm probe embeddings.parquet --store store/ --task photoz --out science/photoz
    example: euclidfm probe embeddings.parquet --store store/ --task mass --inputs '[VIS+NISP]' --out mass/

    Parameters
    ----------
    embeddings : Path
        Embeddings of `euclidfm embed`.
    store : Path
        Store that holds the labels.
    task : str
        photoz, mass, morphology, edge_on, ...
    head : str
        fusion, auto, linear, mlp or knn.
    inputs : list of str, optional
        Blocks that may be used: photometry, measured, images, modalities (VIS, VIS+NISP, SED); default all.
        The other heads read their vectors side by side.
    teach : bool
        Let photometry teach a probe whose inputs hold none, if that lowers its left-out error: it labels the
        training galaxies without a label.
    out : Path
        Folder for the probe, predictions and metrics.
    seed : int
        Seed of the head.
    density : bool
        Also p(z): pz.parquet, and pz.hdf5 for qp and RAIL.

    Returns
    -------
    list of Record
        Metrics on the test split.
    """
    labels, emb, chosen = GalaxyStore.open(store).index, EmbeddingTable.read(embeddings), tasks.get(task)
    settings = {"embeddings": embeddings, "store": store, "task": task, "head": head, "out": out}
    use = tuple(inputs or ("auto",))
    settings |= {"inputs": inputs, "teach": teach, "seed": seed, "density": density}
    with record_run(out, "probe", settings):
        records = fit_and_write(chosen, emb, labels, out, head=head, seed=seed, use=use, teach=teach)
        if density:
            records += density_and_write(chosen, emb, labels, out, seed=seed)
    info = read_json(ProbeFolder(out).card)["info"]
    _print_blocks(info.get("blocks", []))
    if lesson := info.get("taught"):
        change = f"left-out error {lesson['error']:.5f}, {lesson['error_without']:.5f} without"
        print(f"taught by photometry: {'yes' if lesson['used'] else 'no'} ({change})")
    for r in records:
        print(f"{r['metric']:<24}{r['value']:>10.4f}   [{r['low']:.4f}, {r['high']:.4f}]   n = {r['n_test']}")
    print(f"{out}: probe, predictions.parquet, metrics.json, bins.json", flush=True)
    return records


def _print_blocks(rows: list[dict[str, Any]]) -> None:
    """Table of the blocks of a fusion: what each changed, and whether it is used."""
    if rows:
        print(f"{'block':<24}{'weight':>8}{'error with':>14}{'without':>12}{'± of change':>14}   used")
    for r in rows:
        numbers = f"{r['error']:>14.5f}{r['error_without']:>12.5f}{r['standard_error']:>14.5f}"
        print(f"{r['term']:<24}{r['weight']:>8g}{numbers}   {'yes' if r['used'] else 'no'}")


def finetune(
    run: Path,
    store: Path,
    config: FineTuneConfig | None = None,
    *,
    task: str = "photoz",
    out: Path,
    modalities: list[str] | None = None,
    seed: int = 0,
) -> list[Record]:
    """Train the upper blocks of a model on the labels of a task, together with a linear head.

    Input: the folder of a model and a store with labels. Output: a folder with the tuned model (model.json +
    model.safetensors, which `embed` reads), its head as a probe, predictions for every object, and metrics on
    the test split beside those of the linear probe of the original model (metrics.json).

    example: euclidfm finetune run/ store/ --task photoz --out tuned/
    example: euclidfm finetune run/ store/ --task mass --adapt lora --modalities '[VIS, NISP]' --out tuned/

    Parameters
    ----------
    run : Path
        Folder of `euclidfm pretrain`.
    store : Path
        Store with the galaxies and their labels.
    config : FineTuneConfig, optional
    task : str
        photoz, mass, morphology, edge_on, ...
    out : Path
        Folder for the model, its head and metrics.
    modalities : list of str, optional
        Only these; default all.
    seed : int
        Seed of the training.

    Returns
    -------
    list of Record
        Metrics on the test split, before and after.

    Raises
    ------
    InputError
        If `out` is the folder of the original model.
    """
    model, galaxies = FoundationModel.load(run), GalaxyStore.open(store)
    if out.resolve() == run.resolve():
        msg = f"{out} holds the model to start from; choose another folder for the tuned one"
        raise InputError(msg)
    config, chosen = config or FineTuneConfig(), tasks.get(task)
    settings = {"run": run, "store": store, "task": task, "out": out, "modalities": modalities, "seed": seed}
    settings |= asdict(config)
    with bar("finetune", "galaxies and steps") as progress, record_run(out, "finetune", settings):
        records = tune_and_write(chosen, model, galaxies, out, config, modalities or (), seed, progress)
    for r in records:
        print(f"{r['method']:<16}{r['metric']:<24}{r['value']:>10.4f}   [{r['low']:.4f}, {r['high']:.4f}]")
    print(f"{out}: model, probe, predictions.parquet, metrics.json", flush=True)
    return records


def predict(
    run: Path,
    store: Path,
    probes: list[str],
    *,
    out: list[str],
    pdf: bool = False,
    extrapolation: float = 99.0,
    split: str | None = None,
    batch: int = 128,
) -> int:
    """Write a catalogue for science: the estimates of fitted probes for every galaxy of a store.

    Input: the folder of a model, any store (labels are not needed, any modality may be absent) and one or
    more folders of `euclidfm probe` (or a folder of such folders). Output: a table with positions,
    estimates, intervals, class probabilities, the modalities used, and flags for galaxies unlike those that
    the probe was trained on. Parquet or FITS by the ending of --out, or both; units, UCDs, model and data
    versions are inside. The memory that is needed does not grow with the number of galaxies.

    example: euclidfm predict run/ store/ science/photoz science/mass --out catalogue.parquet
    example: euclidfm predict run/ store/ science/ --out catalogue.parquet catalogue.fits --pdf true

    Parameters
    ----------
    run : Path
        Folder of `euclidfm pretrain`.
    store : Path
        Store with the galaxies.
    probes : list of str
        Folders of `euclidfm probe`, or folders of such folders.
    out : list of str
        Catalogue: .parquet or .fits, or both.
    pdf : bool
        Also full densities, where there are any.
    extrapolation : float
        Percentile of the training galaxies' own distances beyond which a galaxy is flagged.
    split : str, optional
        Only train, validation or test.
    batch : int
        Galaxies embedded at a time.

    Returns
    -------
    int
        Rows written.
    """
    model, galaxies = FoundationModel.load(run), GalaxyStore.open(store)
    with bar("predict") as progress:
        rows = write_catalogue(
            model, galaxies, probes, out, pdf=pdf, extrapolation=extrapolation, split=split, batch=batch,
            progress=progress,
        )  # fmt: skip
    print(f"{', '.join(out)}: {rows} galaxies", flush=True)
    return rows
