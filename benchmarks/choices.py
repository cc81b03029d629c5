"""Two choices of design, made on validation galaxies: joined embeddings, and scatter in the space `shape`.

python benchmarks/choices.py --out FOLDER

The command simulates two mock skies, pre-trains two small models on each (the demo's settings, two seeds) and
compares on the validation split alone:

1. The vector of a galaxy: the means of its modalities, joined or averaged, with the SED or the images first
   in the sequence. Linear probes learn from the training galaxies.
2. Similarity search in the space `shape`, with and without the half that holds the scatter over the eight
   symmetries. Queries are validation galaxies; the catalogue holds no test galaxy.

Rows of the test split are dropped right after a store is opened. FOLDER gets the skies, the models, a JSON
file of results for each model, `choices.json` and `choices.md`. What exists is not made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm import tasks
from euclidfm.core.files import read_json, write_json, write_text
from euclidfm.core.progress import bar
from euclidfm.discover import SimilarityIndex
from euclidfm.embeddings import EmbeddingTable, embed
from euclidfm.ingest import IngestConfig
from euclidfm.metrics import bootstrap, paired_difference
from euclidfm.model import FoundationModel, ImageModality, ModelConfig
from euclidfm.pretrain import PretrainConfig
from euclidfm.simulate import SkyConfig
from euclidfm.store import GalaxyStore
from euclidfm.tasks.fit import fit_probe
from euclidfm.tasks.labels import read_labels
from euclidfm.workflow.stages import Stages
from euclidfm.workflow.steps import make_sky, make_store, train

JUDGED = {
    "photoz": ("nmad", "photo-z NMAD"),
    "mass": ("nmad", "log M* NMAD, dex"),
    "morphology": ("auc", "smooth / featured AUC"),
    "star": ("average_precision", "star average precision"),
}
FRACTIONS = {0.1: 5, 1.0: 1}
"""Share of the labelled training galaxies, and the number of random draws of so many, which are averaged."""
VARIANTS = {
    "joined, SED first": ("joined", True),
    "averaged, SED first": ("averaged", True),
    "joined, images first": ("joined", False),
    "averaged, images first": ("averaged", False),
}
REFERENCE = "joined, SED first"
"""The default, which the others are compared with."""
KINDS = ("edge_on", "merger", "ring")
NEAREST = (10, 100)
SPACES = {"with scatter": "shape", "without": "mean"}
COMPONENTS = {96: "the default", 48: "half of the width, as 96 is of the standard model's"}
"""Components of each half after whitening."""
LAYER, BRIGHT, MASKED = 4, 22.5, 0.02
"""Block, faintest VIS magnitude and largest share of masked pixels of the search, as in docs/discovery.md."""


@dataclass(frozen=True, kw_only=True)
class ChoicesConfig:
    """Size of the comparison."""

    presets: tuple[str, ...] = ("q1-like", "shallower")
    """One sky for each."""
    sky_seed: int = 101
    """Seed of the first sky; the next ones follow."""
    objects: int = 8000
    """Objects of a sky."""
    seeds: tuple[int, ...] = (0, 1)
    """Of the pre-training."""
    steps: int = 1200
    """Pre-training steps of 32 galaxies."""


def make(config: ChoicesConfig, number: int, out: Path) -> None:
    """Simulate and ingest one sky, with a large validation split."""
    preset, seed = config.presets[number], config.sky_seed + number
    make_sky(SkyConfig(objects=config.objects, seed=seed, preset=preset), out / f"sky-{preset}")
    settings = IngestConfig(
        source=str(out / f"sky-{preset}"),
        selection="everything-detected",
        split_order=12,
        split_fractions=(0.55, 0.35, 0.1),
        seed=seed,
        release="mock",
    )
    make_store(settings, out / f"store-{preset}")


def recipe(steps: int, seed: int) -> PretrainConfig:
    """The settings of `euclidfm demo`."""
    images = (
        ImageModality(name="VIS", bands=("VIS",), patch=16),
        ImageModality(name="NISP", bands=("Y", "J", "H"), patch=16),
    )
    model = ModelConfig(images=images, width=96, depth=6, heads=3, crop=64, objective="likelihood")
    return PretrainConfig(model=model, steps=steps, batch=32, lr=2e-3, seed=seed, validate_every=100)


def no_test_rows(store: GalaxyStore) -> np.ndarray:
    """Rows of the training and validation splits."""
    return np.sort(np.concatenate([store.rows("train"), store.rows("validation")]))


def embedded(model: FoundationModel, store: GalaxyStore, name: str, **how: Any) -> EmbeddingTable:
    """Embeddings of some rows of a store, none of them of the test split."""
    with bar(f"embed, {name}") as progress:
        emb = embed(model, store, progress=progress, **how)
    if (emb.split == "test").any():
        msg = "a test galaxy was embedded"
        raise AssertionError(msg)
    return emb


def combined(emb: EmbeddingTable, how: str) -> EmbeddingTable:
    """The means of the modalities joined or averaged.

    Absent modalities are filled with the mean over the training galaxies where vectors are joined, and left
    out of the average. A galaxy without any modality keeps NaN.
    """
    means = np.stack(list(emb.by_modality.values()))  # (M, N, D)
    absent = np.isnan(means).any(axis=2)
    if how == "averaged":
        weight = ~absent[..., None]
        with np.errstate(invalid="ignore"):
            vectors = np.where(weight, means, 0.0).sum(axis=0) / weight.sum(axis=0)
    else:
        usual = np.nanmean(means[:, emb.split == "train"], axis=1)
        filled = np.where(absent[..., None], usual[:, None], means)
        filled[:, absent.all(axis=0)] = np.nan
        vectors = np.concatenate(list(filled), axis=1)
    return replace(emb, vectors=vectors.astype(np.float32))


def predictions(
    task: tasks.FittableTask, emb: EmbeddingTable, labels: Any, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of linear probes on the joint vectors and the truth of the labelled validation galaxies.

    Returns
    -------
    (n, R) and (n,) arrays
        One column for each draw of labels; of a classification the probability of the second class.
    """
    here = emb.take(emb.split == "validation")
    truth, known = numbers(task, here, labels), numbers(task, emb, labels)
    usable = np.isfinite(emb.vectors).all(axis=1)
    rows = np.flatnonzero((emb.split == "train") & np.isfinite(known) & usable)
    found = []
    for draw in range(FRACTIONS[fraction]):
        order = np.random.default_rng(1000 * seed + draw).permutation(rows)[: round(fraction * len(rows))]
        seen = np.sort(np.concatenate([order, np.flatnonzero(emb.split == "validation")]))
        probe = fit_probe(task, emb.take(seen), labels, seed=seed, use=("joint",))
        p = probe.predict_array(here)
        found.append(p[:, 1] if p.ndim == 2 else p)
    out = np.stack(found, axis=1)
    good = np.isfinite(truth) & np.isfinite(out).all(axis=1)
    return out[good], truth[good]


def numbers(task: tasks.FittableTask, emb: EmbeddingTable, labels: Any) -> np.ndarray:
    """(N,) labels as numbers; NaN where there is none."""
    y = read_labels(task, emb.object_id, labels)
    return task.encode(y, task.classes) if task.kind == "classification" else y.astype(float)


def over_draws(metric: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """The metric of (..., n, R) predictions: its mean over the R draws of labels."""
    return lambda p, t: np.mean([metric(p[..., r], t) for r in range(p.shape[-1])], axis=0)


def vectors_compared(model: FoundationModel, store: GalaxyStore, seed: int) -> list[dict[str, Any]]:
    """Metric of each variant, and its paired difference from the default, on the validation galaxies."""
    labels = store.index.drop_columns(["is_star"])  # stars by the truth (`kind`), not by spectra alone
    tables = {}
    for first in (True, False):
        model.config = replace(model.config, embed_backwards=first)
        tables[first] = embedded(
            model, store, "SED first" if first else "images first", rows=no_test_rows(store)
        )
    ready = {name: combined(tables[first], how) for name, (how, first) in VARIANTS.items()}
    out = []
    for name, (metric_name, _) in JUDGED.items():
        task = tasks.get(name)
        metric = over_draws(task.metrics(len(task.classes))[metric_name])
        for fraction in FRACTIONS:
            found = {v: predictions(task, emb, labels, fraction, seed) for v, emb in ready.items()}
            default, truth = found[REFERENCE]
            for variant, (p, _) in found.items():
                own = bootstrap(metric, p, truth)
                change = paired_difference(metric, p, default, truth)
                out.append(
                    {"task": name, "metric": metric_name, "fraction": fraction, "variant": variant}
                    | {"n": len(truth), "value": own.value, "low": own.low, "high": own.high}
                    | {"change": change.value, "change_low": change.low, "change_high": change.high}
                )
    return out


def searches_compared(model: FoundationModel, store: GalaxyStore) -> list[dict[str, Any]]:
    """Share of the same kind among the nearest over the base rate, with and without the scatter."""
    fine = store.index["mag_vis"].to_numpy() < BRIGHT
    fine &= store.index["flag_masked_fraction"].to_numpy() < MASKED
    rows = np.intersect1d(no_test_rows(store), np.flatnonzero(fine))
    emb = embedded(model, store, "eight symmetries", rows=rows, symmetries=8, layer=LAYER)
    shape = emb.spaces["shape"]
    emb = replace(emb, spaces={"shape": shape, "mean": shape[:, : shape.shape[1] // 2]})
    emb = emb.take(np.isfinite(shape).all(axis=1))
    kind = emb.column_of(store.index, "subtype").astype(str)
    out = []
    for components in COMPONENTS:
        index = {
            name: SimilarityIndex(emb, space=space, scaling="whiten", components=components)
            for name, space in SPACES.items()
        }
        for k in KINDS:
            members = np.flatnonzero(kind == k)
            queries = members[emb.split[members] == "validation"]
            base = (len(members) - 1) / (len(kind) - 1)
            same = {name: kind[i.nearest(queries, max(NEAREST))[0]] == k for name, i in index.items()}
            for size in NEAREST:
                lifts = {name: found[:, :size].mean(axis=1) / base for name, found in same.items()}
                change = bootstrap(mean, lifts["with scatter"] - lifts["without"])
                out.append(
                    {"kind": k, "nearest": size, "components": components, "queries": len(queries)}
                    | {"objects": len(kind), "base_rate": base}
                    | {name: float(lift.mean()) for name, lift in lifts.items()}
                    | {"change": change.value, "change_low": change.low, "change_high": change.high}
                )
    return out


def mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=-1))


def judge(config: ChoicesConfig, preset: str, seed: int, out: Path) -> None:
    """Both comparisons for one sky and one seed, written as JSON."""
    store = GalaxyStore.open(out / f"store-{preset}")
    model = FoundationModel.load(out / f"run-{preset}-{seed}")
    result = {"searches": searches_compared(model, store), "vectors": vectors_compared(model, store, seed)}
    write_json(out / f"{preset}-{seed}.json", {"sky": preset, "seed": seed} | result)


def spread(values: list[float], digits: int) -> str:
    """Mean and scatter over the models."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.{digits}f}"


def change(row: dict[str, Any], digits: int) -> str:
    """A change with its 68% interval."""
    return f"{row['change']:+.{digits}f} [{row['change_low']:+.{digits}f}, {row['change_high']:+.{digits}f}]"


def mean_change(rows: list[dict[str, Any]], digits: int) -> str:
    """Mean change over the models."""
    return f"{np.mean([r['change'] for r in rows]):+.{digits}f}"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def tables(results: list[dict[str, Any]]) -> str:
    """The comparisons as Markdown."""
    models = [f"{r['sky']} {r['seed']}" for r in results]
    text = [f"A model is named by its sky and the seed of its pre-training: {', '.join(models)}."]
    for task, (_, title) in JUDGED.items():
        text += [f"### Vector: {title}", *vector_tables(results, models, task)]
    return "\n\n".join([*text, "### Search", *search_tables(results, models)]) + "\n"


def vector_tables(results: list[dict[str, Any]], models: list[str], task: str) -> list[str]:
    """Values and mean changes of one task; changes of each model."""
    own = {
        (model, r["fraction"], r["variant"]): r
        for model, result in zip(models, results, strict=True)
        for r in result["vectors"]
        if r["task"] == task
    }
    others = [v for v in VARIANTS if v != REFERENCE]
    values, each = [], []
    for fraction in FRACTIONS:
        for variant in VARIANTS:
            rows = [own[model, fraction, variant] for model in models]
            cell = spread([r["value"] for r in rows], 4)
            moved = "default" if variant == REFERENCE else mean_change(rows, 4)
            values.append([f"{fraction:.0%}", variant, cell, moved])
        each += [[f"{fraction:.0%}", m, *(change(own[m, fraction, v], 4) for v in others)] for m in models]
    return [
        markdown(["labels", "vector", "mean ± scatter over models", "minus the default"], values),
        "Difference from the default in each model, with 68% intervals:",
        markdown(["labels", "model", *others], each),
    ]


def search_tables(results: list[dict[str, Any]], models: list[str]) -> list[str]:
    """Lifts with and without the scatter, and their difference in each model."""
    values, each = [], []
    for components in COMPONENTS:
        for kind in KINDS:
            for size in NEAREST:
                rows = [
                    r
                    for result in results
                    for r in result["searches"]
                    if (r["kind"], r["nearest"], r["components"]) == (kind, size, components)
                ]
                name = [kind, str(size), str(components)]
                cells = [spread([r[n] for r in rows], 2) for n in ("without", "with scatter")]
                values.append([*name, *cells, mean_change(rows, 2)])
                each.append([*name, *(change(r, 2) for r in rows)])
    head = ["kind", "nearest", "components"]
    return [
        markdown([*head, "without scatter", "with scatter", "difference"], values),
        "Difference in each model, with 68% intervals:",
        markdown([*head, *models], each),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--objects", type=int, default=ChoicesConfig.objects)
    parser.add_argument("--steps", type=int, default=ChoicesConfig.steps)
    args = parser.parse_args()
    config = ChoicesConfig(objects=args.objects, steps=args.steps)
    args.out.mkdir(parents=True, exist_ok=True)
    stage = Stages("choices-state", config, args.out)
    results = []
    for number, preset in enumerate(config.presets):
        stage(f"sky {preset}", lambda n=number: make(config, n, args.out))
        for seed in config.seeds:
            store, run = args.out / f"store-{preset}", args.out / f"run-{preset}-{seed}"
            stage(
                f"pretrain {preset} {seed}",
                lambda s=seed, a=store, b=run: train(recipe(config.steps, s), a, b, b.name),
            )
            stage(f"judge {preset} {seed}", lambda p=preset, s=seed: judge(config, p, s, args.out))
            results.append(read_json(args.out / f"{preset}-{seed}.json"))
    write_json(args.out / "choices.json", {"seconds": stage.timings, "results": results})
    text = tables(results)
    write_text(args.out / "choices.md", text)
    print(text)


if __name__ == "__main__":
    main()
