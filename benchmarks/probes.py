"""Which head should `probe` use? Heads compared on galaxies that are not in the test split.

    python benchmarks/probes.py STORE EMBEDDINGS.parquet [--fractions 0.01 0.1 1] [--tasks photoz mass]

The galaxies outside the test split that have all blocks are dealt into five folds. Each fold is predicted
from a fraction of the labels of the others. The table gives the mean over the folds, and by how much each
is worse than the fusion, with the standard error of this difference over the folds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from euclidfm import tasks
from euclidfm.core.files import write_json
from euclidfm.embeddings.table import PHOTOMETRY, EmbeddingTable
from euclidfm.store.reader import GalaxyStore
from euclidfm.tasks.baselines.photometric import colours_ridge
from euclidfm.tasks.fusion.head import fit_fusion
from euclidfm.tasks.fusion.taught import fit_taught
from euclidfm.tasks.heads.make import fit_head
from euclidfm.tasks.labels import encoded_labels
from euclidfm.tasks.spaces import blocks_of, choose_space, features_of, is_photometric, spaces_of, widths_of

FOLDS = 5
METRICS = {"photoz": "nmad", "mass": "nmad", "morphology": "auc"}
HIGHER = ("auc", "average_precision")
"""Metrics of which more is better."""


def with_photometry(emb: EmbeddingTable, store: GalaxyStore) -> EmbeddingTable:
    """The table with the space of fluxes and errors, if it was made by a version without it."""
    if PHOTOMETRY not in emb.spaces and store.info.sed_bands and "SED" in emb.by_modality:
        rows = [store.row_of(i) for i in emb.object_id]
        emb.spaces[PHOTOMETRY] = np.concatenate(store.photometry(), axis=1)[rows].astype(np.float32)
    return emb


def methods(
    emb: EmbeddingTable, seed: int
) -> dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]]:
    """Predictions of rows from labelled rows, by the name of the method."""
    blocks = blocks_of(emb)
    images = tuple(b for b in blocks if not is_photometric(b))

    def fusion(use: tuple[str, ...]) -> Callable[..., np.ndarray]:
        X = features_of(emb, use)
        widths = widths_of(emb, use)
        return lambda a, y, b, c: fit_fusion(widths, X[a], y, c, seed).predict(X[b])

    def taught(a: np.ndarray, y: np.ndarray, b: np.ndarray, c: int) -> np.ndarray:
        """Images alone, taught by the photometry of training galaxies whose labels are not used."""
        if c:
            return fusion(images)(a, y, b, c)
        X, flux = features_of(emb, images), emb.spaces[PHOTOMETRY]
        more = np.setdiff1d(np.flatnonzero(emb.split == "train"), np.concatenate([a, b]))
        fitted, _ = fit_taught(widths_of(emb, images), X[a], flux[a], y, X[more], flux[more], seed)
        return fitted.predict(X[b])

    def probe(head: str, spaces: dict[str, np.ndarray]) -> Callable[..., np.ndarray]:
        def run(a: np.ndarray, y: np.ndarray, b: np.ndarray, c: int) -> np.ndarray:
            V = spaces[choose_space({n: v[a] for n, v in spaces.items()}, y, seed)]
            return fit_head(head, V[a], y, c, seed).predict(V[b])

        return run

    def colours(a: np.ndarray, y: np.ndarray, b: np.ndarray, c: int) -> np.ndarray:
        flux, error = np.split(emb.spaces[PHOTOMETRY], 2, axis=1)
        return colours_ridge((flux[a], error[a]), y, (flux[b], error[b]), c, seed)

    out = {"fusion": fusion(blocks), "linear": probe("linear", spaces_of(emb))}
    out["auto"] = probe("auto", spaces_of(emb))
    if PHOTOMETRY in blocks:
        out["colours-ridge"] = colours
    if images and images != blocks and PHOTOMETRY in blocks:
        out["fusion, images alone"] = fusion(images)
        out["fusion, images alone, taught"] = taught
        out["linear, images alone"] = probe("linear", {"images": features_of(emb, images)})
    return out


def compare(
    task: tasks.FittableTask,
    emb: EmbeddingTable,
    labels: object,
    fraction: float,
    seed: int,
    only: list[str] | None,
) -> dict:
    """Metric of each method in each fold, and seconds."""
    y, classes = encoded_labels(task, emb.object_id, labels, emb.split != "test")
    y = task.forward(y)
    complete = [np.isfinite(features_of(emb, (block,))).any(axis=1) for block in blocks_of(emb)]
    rows = np.flatnonzero((emb.split != "test") & np.isfinite(y) & np.all(complete, axis=0))
    order = np.random.default_rng(seed).permutation(rows)
    metric = task.metrics(len(classes))[METRICS.get(task.name, "average_precision")]
    scores: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for k in range(FOLDS):
        out, rest = np.sort(order[k::FOLDS]), np.delete(order, np.s_[k::FOLDS])
        train = np.sort(rest[: max(10, round(fraction * len(rest)))])
        if classes and len(np.unique(y[train])) < len(classes):
            continue
        for name, method in methods(emb, seed).items():
            if only and name not in only:
                continue
            start = time.perf_counter()
            p = task.bounded_inverse(method(train, y[train], out, len(classes)), _limits(task, y[train]))
            p = p[:, 1] if p.ndim == 2 else p
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
            scores.setdefault(name, []).append(float(metric(p, task.inverse(y[out]))))
    return {"n": len(train), "scores": scores, "seconds": seconds}


def _limits(task: tasks.FittableTask, y: np.ndarray) -> tuple[float, float]:
    low, high = task.inverse(np.array([y.min(), y.max()]))
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--tasks", nargs="+", default=list(METRICS))
    parser.add_argument("--heads", nargs="+", help="only these, compared with the first of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    store = GalaxyStore.open(args.store)
    emb = with_photometry(EmbeddingTable.read(args.embeddings), store)
    found = []
    print("| task | labels | head | value | worse than the first by | seconds a fit |")
    print("|---|---|---|---|---|---|")
    for name in args.tasks:
        for fraction in args.fractions:
            r = compare(tasks.get(name), emb, store.index, fraction, args.seed, args.heads)
            found.append({"task": name, "fraction": fraction} | r)
            sign = -1.0 if METRICS.get(name, "average_precision") in HIGHER else 1.0
            first = r["scores"][args.heads[0] if args.heads else "fusion"]
            for method, values in r["scores"].items():
                worse = sign * (np.array(values) - first)
                error = worse.std(ddof=1) / np.sqrt(len(worse))
                print(
                    f"| {name} | {r['n']} | {method} | {np.mean(values):.4f} | "
                    f"{worse.mean():+.4f} ± {error:.4f} | {r['seconds'][method] / len(values):.1f} |",
                    flush=True,
                )
    if args.out:
        write_json(args.out, found)


if __name__ == "__main__":
    main()
