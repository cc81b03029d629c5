"""Similarity and outliers on a mock sky with truth: the tables of docs/discovery.md.

euclidfm embed run/ store/ --symmetries 8 --layer 4 --out symmetries.parquet
python benchmarks/discovery.py symmetries.parquet store/ --out discovery.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from euclidfm.discover import (
    SimilarityIndex,
    artefact_score,
    outlier_recall,
    outlier_scores,
    screened,
    simulate_user,
)
from euclidfm.embeddings import EmbeddingTable
from euclidfm.metrics import bootstrap
from euclidfm.store import GalaxyStore

KINDS = ("edge_on", "merger", "ring")
RARE = ("ring", "merger", "lens")
BRIGHT, MASKED, POINT = 22.5, 0.02, 0.5
"""Faintest VIS magnitude, largest share of masked pixels, largest `point_like_prob` of the outliers."""


def mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=-1))


def lifts(
    name: str, index: SimilarityIndex, kind: np.ndarray, test: np.ndarray, examples: int = 1
) -> list[dict[str, Any]]:
    """Share of the same kind among the nearest 10 and 100 over the base rate; queries of the test split."""
    rng, out = np.random.default_rng(0), []
    for k in KINDS:
        members = np.flatnonzero(kind == k)
        base, queries = (len(members) - 1) / (len(kind) - 1), members[test[members]]
        if examples == 1:
            same = kind[index.nearest(queries, 100)[0]] == k
        else:  # so many known examples and as many that are not, a hundred times
            others, found = np.flatnonzero(test & (kind != k)), []
            for _ in range(100):
                table = index.search(
                    positives=index.emb.object_id[rng.choice(queries, examples, replace=False)].tolist(),
                    negatives=index.emb.object_id[rng.choice(others, examples, replace=False)].tolist(),
                    k=100,
                )
                found.append(kind[table["row"].to_numpy()] == k)
            same = np.array(found)
        for size in (10, 100):
            b = bootstrap(mean, same[:, :size].mean(axis=1), seed=0)
            out.append({
                "method": name, "kind": k, "k": size, "queries": len(same), "base_rate": base,
                "lift": b.value / base, "low": b.low / base, "high": b.high / base,
            })  # fmt: skip
            print(
                f"{name:<44}{k:<10}{size:>4}  {b.value / base:6.2f} [{b.low / base:.2f}, {b.high / base:.2f}]"
            )
    return out


def outliers(emb: EmbeddingTable, store: GalaxyStore, seed: int) -> list[dict[str, Any]]:
    """Rarities in the top 1% over the base rate, and in the first 200 looks; test split alone."""
    test = emb.split == "test"
    artefact = emb.column_of(store.index, "kind").astype(str) == "artefact"
    judged = test & (emb.column_of(store.index, "point_like_prob") <= POINT)
    bad = artefact_score(emb, np.where(test, np.nan, artefact.astype(float)), seed=seed)[judged]
    here = emb.take(judged)
    rare = np.isin(here.column_of(store.index, "subtype").astype(str), RARE)
    ways: dict[str, dict[str, Any]] = {
        "joint, forest + lof + knn": {},
        "joint, conditional": {"methods": ("conditional",)},
        "shape, conditional": {"space": "shape"},
    }
    out = []
    for name, how in ways.items():
        ranked = screened(outlier_scores(here, seed=seed, **how), bad)
        found = outlier_recall(ranked.select(["object_id", "score", "rank"]), rare)
        lift = next(r for r in found if r["metric"].startswith("lift"))
        space = how.get("space", "joint")
        walk = simulate_user(here, ranked, rare, space=space)
        looks = {n: float(walk[n][-1]) for n in ("unrated", "active", "random")}
        gains = [gain(here, ranked, rare, space, seed) for seed in range(20)]
        out.append(
            {"method": name, **{k: lift[k] for k in ("value", "low", "high", "base_rate", "looked_at")}}
        )
        out[-1] |= {"objects": len(here), "rare": int(rare.sum()), "found_in_200": looks}
        out[-1] |= {"gain_of_subsets": {"mean": float(np.mean(gains)), "std": float(np.std(gains, ddof=1))}}
        said = ", ".join(f"{n} {v:.0f}" for n, v in looks.items())
        interval = f"[{lift['low']:.2f}, {lift['high']:.2f}]"
        print(
            f"{name:<44}top 1%    {lift['value']:6.2f} {interval}  in 200: {said}, gain {np.mean(gains):.2f}"
        )
    return out


def gain(emb: EmbeddingTable, ranked: pa.Table, rare: np.ndarray, space: str, seed: int) -> float:
    """Finds of a user who rates over those of one who does not, on a random four fifths of the objects."""
    own = np.random.default_rng(seed).random(len(emb)) < 0.8
    walk = simulate_user(emb.take(own), ranked.filter(own), rare[own], space=space)
    return float(walk["active"][-1] / walk["unrated"][-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("embeddings", type=Path, help="of `euclidfm embed --symmetries 8`")
    parser.add_argument("store", type=Path, help="store of a mock sky, with its truth")
    parser.add_argument("--out", type=Path, default=Path("discovery.json"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    store, emb = GalaxyStore.open(args.store), EmbeddingTable.read(args.embeddings)
    fine = emb.column_of(store.index, "mag_vis") < BRIGHT
    fine &= emb.column_of(store.index, "flag_masked_fraction") < MASKED
    emb = emb.take(fine & np.isfinite(emb.vectors).all(axis=1) & np.isfinite(emb.spaces["shape"]).all(axis=1))
    kind, test = emb.column_of(store.index, "subtype").astype(str), emb.split == "test"
    shape = SimilarityIndex(emb, space="shape")
    whitened = SimilarityIndex(emb, space="VIS", scaling="whiten", components=64)
    search = [
        *lifts("VIS, standard", SimilarityIndex(emb, space="VIS"), kind, test),
        *lifts("VIS, whiten 64", whitened, kind, test),
        *lifts("shape", shape, kind, test),
        *lifts("shape, 5 examples, 5 counter-examples", shape, kind, test, 5),
    ]
    result = {"objects": len(emb), "search": search, "outliers": outliers(emb, store, args.seed)}
    args.out.write_text(json.dumps(result | {"embeddings": dict(emb.info)}, indent=1))


if __name__ == "__main__":
    main()
