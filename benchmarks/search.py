"""How fast and how exact the similarity index is on a large catalogue.

    python benchmarks/search.py --rows 1000000 --width 192 --out index/

The embeddings are synthetic: 2000 clusters of unequal size on a 24-dimensional surface in
`width` numbers, plus noise, which is about as hard as the embeddings of the demo. Printed, as
one JSON object: build time, size, open time, memory, queries a second (one at a time and in
batches of 256) and recall@10 against exact search of fresh queries.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np

from euclidfm.discover.index import ApproximateConfig, ApproximateIndex
from euclidfm.discover.index_build import build_approximate, exact_nearest
from euclidfm.embeddings.table import EmbeddingTable


def synthetic(rows: int, width: int, seed: int) -> EmbeddingTable:
    rng = np.random.default_rng(seed)
    clusters, inner = 2000, 24
    share = rng.pareto(1.2, clusters) + 0.05
    member = rng.choice(clusters, rows, p=share / share.sum())
    centre = rng.normal(0, 1, (clusters, inner)).astype(np.float32)
    lift = rng.normal(0, 1, (inner, width)).astype(np.float32) / np.sqrt(inner)
    vectors = np.empty((rows, width), np.float32)
    for start in range(0, rows, 100_000):
        at = slice(start, min(start + 100_000, rows))
        low = centre[member[at]] + 0.5 * rng.standard_normal((at.stop - start, inner), np.float32)
        vectors[at] = np.tanh(low @ lift) + 0.1 * rng.standard_normal((at.stop - start, width), np.float32)
    return EmbeddingTable(
        object_id=np.arange(rows),
        ra=np.zeros(rows),
        dec=np.zeros(rows),
        split=np.full(rows, "test"),
        vectors=vectors,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--recall", type=float, default=0.97)
    parser.add_argument("--queries", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    emb = synthetic(args.rows, args.width, args.seed)
    begun = time.monotonic()
    config = ApproximateConfig(recall=args.recall, seed=args.seed)
    built = build_approximate(emb, args.out, config, overwrite=True)
    result = {"rows": args.rows, "width": args.width, "cores": os.cpu_count()}
    result |= {k: built.info[k] for k in ("effort",)}
    result["build_s"] = round(time.monotonic() - begun, 1)
    result["disk_mb"] = round(sum(f.stat().st_size for f in args.out.iterdir()) / 1e6, 1)

    begun = time.monotonic()
    index = ApproximateIndex.open(args.out)
    index.search(emb.vectors[:1])
    result["open_and_first_query_s"] = round(time.monotonic() - begun, 3)

    rng = np.random.default_rng(args.seed + 1)
    queries = emb.vectors[rng.integers(0, args.rows, args.queries)]
    index.search(queries[:256])  # the pages of the file are read
    begun = time.monotonic()
    for start in range(0, len(queries), 256):
        index.search(queries[start : start + 256], 10)
    result["queries_per_s_batch_256"] = round(len(queries) / (time.monotonic() - begun))
    begun = time.monotonic()
    for q in queries[:500]:
        index.search(q, 10)
    result["queries_per_s_single"] = round(500 / (time.monotonic() - begun))

    fresh = queries[:300]
    found, _ = index.search(fresh, 11)
    units = index.scaling.unit(emb.vectors)
    exact = exact_nearest(units, index.scaling.unit(fresh), 11)
    hits = [len(set(f) & set(e)) - 1 for f, e in zip(found.tolist(), exact.tolist(), strict=True)]
    result["recall@10"] = round(float(np.mean(hits)) / 10, 4)
    result["peak_memory_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
