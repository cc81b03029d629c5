"""Verbs about science and whole jobs: what they declare and what they do."""

from __future__ import annotations

import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from euclidfm.core.errors import InputError
from euclidfm.core.files import record_run
from euclidfm.core.progress import bar

__all__ = [
    "DEMO",
    "FINETUNE",
    "PROBE",
    "REPORT",
    "REPRODUCE",
    "add_demo",
    "add_finetune",
    "add_probe",
    "add_report",
    "add_reproduce",
    "demo",
    "finetune",
    "probe",
    "report",
    "reproduce",
]

PROBE = """Fit a small head on embeddings and evaluate it on the test split.

Input: embeddings and the store with the labels. Output: a folder with the probe (safetensors + JSON), its
predictions for every object and its metrics with bootstrap intervals. With --density true also p(z),
recalibrated, with intervals: pz.parquet, and pz.hdf5 for qp and RAIL.

example: euclidfm probe embeddings.parquet --store store/ --task photoz --out science/photoz"""

FINETUNE = """Train the upper blocks of a model on the labels of a task, together with a linear head.

Input: a run folder and a store with labels. Output: a folder with the tuned model (model.json +
model.safetensors, which `embed` reads), its head as a probe, predictions for every object, and metrics on the
test split beside those of the linear probe of the model as it was (metrics.json).

example: euclidfm finetune run/ store/ --task photoz --out tuned/
example: euclidfm finetune run/ store/ --task mass --adapt lora --modalities '[VIS, NISP]' --out tuned/"""

REPORT = """Write report.html and report.json from a folder of results.

Input: a folder as `euclidfm demo` or `euclidfm reproduce` leaves it, finished or not; parts that are missing
are left out and named. Output: one self-contained page and the same numbers as JSON.

example: euclidfm report demo/"""

DEMO = """Do everything on a small mock sky: simulate, ingest, pre-train, embed, science, report.

Output: a folder with every product, report.html and report.json. Stages that are done are not done again.
With --real, the Euclid cutouts found in that folder are embedded and shown too.

example: euclidfm demo --out demo --seed 1"""

REPRODUCE = """Test the reference work's claims on a mock sky: every study, every baseline, a verdict on each.

Output: a folder with every product, report.html, and claims.json with the verdicts. Stages and fits that are
done are not done again, so that a run may be stopped and continued. Scales: quick (minutes), standard
(hours on two cores), full (100 000 galaxies; a GPU).

example: euclidfm reproduce --scale quick --out reproduction"""


def add_probe(parser: Any) -> None:
    """Arguments of ``probe``."""
    parser.add_argument("embeddings", type=str, help="embeddings of `euclidfm embed`")
    parser.add_argument("--store", type=str, required=True, help="store that holds the labels")
    parser.add_argument("--task", type=str, default="photoz", help="photoz, mass, morphology, edge_on, ...")
    parser.add_argument("--head", type=str, default="auto", help="auto, linear, mlp or knn")
    parser.add_argument(
        "--out", type=str, required=True, help="folder for the probe, predictions and metrics"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the head")
    parser.add_argument(
        "--density", type=bool, default=False, help="also p(z): pz.parquet, and pz.hdf5 for qp and RAIL"
    )


def probe(args: Namespace) -> None:
    """Run ``probe``."""
    from euclidfm import tasks
    from euclidfm.embeddings import EmbeddingTable
    from euclidfm.store import GalaxyStore
    from euclidfm.tasks.products import density_and_write, fit_and_write

    out, store = Path(args.out), GalaxyStore.open(args.store)
    emb = EmbeddingTable.read(args.embeddings)
    task = tasks.get(args.task)
    with record_run(out, "probe", args.as_dict()):
        records = fit_and_write(task, emb, store.index, out, head=args.head, seed=args.seed)
        if args.density:
            records += density_and_write(task, emb, store.index, out, seed=args.seed)
    for r in records:
        print(f"{r['metric']:<24}{r['value']:>10.4f}   [{r['low']:.4f}, {r['high']:.4f}]   n = {r['n_test']}")
    print(f"{out}: probe, predictions.parquet, metrics.json, bins.json")


def add_finetune(parser: Any) -> None:
    """Arguments of ``finetune``."""
    from euclidfm.tasks.finetune.train import FineTuneConfig

    parser.add_argument("run", type=str, help="run folder of `euclidfm pretrain`")
    parser.add_argument("store", type=str, help="store with the galaxies and their labels")
    parser.add_argument("--task", type=str, default="photoz", help="photoz, mass, morphology, edge_on, ...")
    parser.add_argument("--out", type=str, required=True, help="folder for the model, its head and metrics")
    parser.add_argument("--modalities", type=list[str] | None, default=None, help="only these; default all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    parser.add_class_arguments(FineTuneConfig, as_group=False)


def finetune(args: Any) -> None:
    """Run ``finetune``."""
    from euclidfm import tasks
    from euclidfm.model import FoundationModel
    from euclidfm.store import GalaxyStore
    from euclidfm.tasks.finetune.run import tune_and_write
    from euclidfm.tasks.finetune.train import FineTuneConfig

    model, store, out = FoundationModel.load(args.run), GalaxyStore.open(args.store), Path(args.out)
    if out.resolve() == Path(args.run).resolve():
        msg = f"{out} holds the model to start from; choose another folder for the tuned one"
        raise InputError(msg)
    config = FineTuneConfig(**{f.name: getattr(args, f.name) for f in fields(FineTuneConfig)})
    with bar("finetune", "galaxies and steps") as progress, record_run(out, "finetune", args.as_dict()):
        records = tune_and_write(
            tasks.get(args.task), model, store, out, config, args.modalities or (), args.seed, progress
        )
    for r in records:
        print(f"{r['method']:<16}{r['metric']:<24}{r['value']:>10.4f}   [{r['low']:.4f}, {r['high']:.4f}]")
    print(f"{out}: model, probe, predictions.parquet, metrics.json", flush=True)


def add_report(parser: Any) -> None:
    """Arguments of ``report``."""
    parser.add_argument("folder", type=str, help="folder of `euclidfm demo`, or one laid out like it")
    parser.add_argument("--out", type=str | None, default=None, help="HTML file; default report.html in it")


def report(args: Namespace) -> None:
    """Run ``report``."""
    if (Path(args.folder) / "reproduce.json").exists():
        from euclidfm.workflow.reproduce import write_report as write_reproduction

        print(write_reproduction(Path(args.folder), Path(args.out) if args.out else None))
        return
    from euclidfm.workflow.demo import write_report

    out = Path(args.out) if args.out else Path(args.folder) / "report.html"
    print(write_report(Path(args.folder), out))


def add_demo(parser: Any) -> None:
    """Arguments of ``demo``."""
    from euclidfm.workflow.demo import DemoConfig

    parser.add_argument("--out", type=str, default="demo", help="folder for everything")
    parser.add_class_arguments(DemoConfig, as_group=False)


def demo(args: Namespace) -> None:
    """Run ``demo``."""
    from euclidfm.workflow.demo import DemoConfig, run_demo, science_table

    begun = time.monotonic()
    report = run_demo(
        DemoConfig(**{f.name: getattr(args, f.name) for f in fields(DemoConfig)}), Path(args.out)
    )
    print(science_table(Path(args.out)))
    print(f"demo: done in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(f"report: {report}")


def add_reproduce(parser: Any) -> None:
    """Arguments of ``reproduce``."""
    parser.add_argument("--scale", type=str, default="standard", help="quick, standard or full")
    parser.add_argument("--out", type=str, default="reproduction", help="folder for everything")
    parser.add_argument("--seed", type=int, default=1, help="everything random follows from it")
    parser.add_argument(
        "--real", type=str | None, default=None, help="folder with real spectroscopic catalogues, SED only"
    )
    parser.add_argument("--processes", type=int, default=2, help="processes that share skies and fits")


def reproduce(args: Namespace) -> None:
    """Run ``reproduce``."""
    from euclidfm.core.files import read_json
    from euclidfm.workflow.reproduce import reproduce as run
    from euclidfm.workflow.scales import scale

    begun = time.monotonic()
    out = Path(args.out)
    report = run(scale(args.scale, seed=args.seed, processes=args.processes, real=args.real), out)
    for c in read_json(out / "claims.json"):
        print(f"({c['key']}) {c['text']}")
        print(f"    {c['measure']}: {c['value']:.4g} [{c['low']:.4g}, {c['high']:.4g}]: {c['verdict']}")
    print(f"reproduce: done in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(f"report: {report}")
