"""Classes of real galaxies from pictures: the study, and its tables in Markdown and JSON.

python benchmarks/real_images.py DATA --out real-images/ --to docs/results/real-images

DATA is the folder of pictures with ``labels.csv`` (the recipe ``sdss-gz1``). An interrupted run can be
continued; `--draw` only writes the tables of what is finished. The tables are written to ``TO-tables.md``,
the numbers to ``TO.json``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from euclidfm.core.files import read_json, write_json, write_text
from euclidfm.core.progress import bar
from euclidfm.core.records import summarise
from euclidfm.studies import RealImageConfig, real_image_study
from euclidfm.studies.real_images import METHODS

SHOWN = {
    "balanced_accuracy": "Balanced accuracy (mean recall of the four classes)",
    "accuracy": "Accuracy",
    "recall_spiral": "Recall of spirals",
    "recall_edge_on": "Recall of edge-ons",
    "recall_merger": "Recall of mergers",
    "recall_smooth": "Recall of smooth galaxies",
}
Row = Mapping[str, Any]


def table(rows: Sequence[Row], columns: Sequence[Any], names: Sequence[str], key: Callable[[Row], Any],
          head: Sequence[str], of: str = "method") -> str:  # fmt: skip
    """Markdown table of values with their 68% intervals; rows by `of`, columns by `key`."""
    own = {(r[of], key(r)): r for r in rows}
    lines = [f"| {' | '.join([of, *head])} |", "|---" * (1 + len(columns)) + "|"]
    for name in (n for n in names if any(k[0] == n for k in own)):
        cells = []
        for column in columns:
            r = own.get((name, column))
            cells.append("-" if r is None else f"{r['value']:.3f} ({r['low']:.3f} to {r['high']:.3f})")
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def efficiency(rows: list[dict[str, Any]]) -> list[str]:
    """Text of the label-efficiency tables."""
    sizes = sorted({(r["fraction"], r["n_train"]) for r in rows})
    head = [f"{100 * f:g}% ({n})" for f, n in sizes]
    fractions = [f for f, _ in sizes]
    counts = table(
        [r | {"value": float(r["repeats"]), "low": 0, "high": 0} for r in rows if r["metric"] == "accuracy"],
        fractions, METHODS, lambda r: r["fraction"], head)  # fmt: skip
    counts = counts.replace(".000 (0.000 to 0.000)", "")
    out = [f"Test galaxies: {rows[0]['n_test']}. Repeats:\n\n{counts}"]
    for metric, title in SHOWN.items():
        own = [r for r in rows if r["metric"] == metric]
        out.append(f"{title}:\n\n{table(own, fractions, METHODS, lambda r: r['fraction'], head)}")
    return out


def discovery(records: list[dict[str, Any]]) -> list[str]:
    """Text of the tables of searches and outliers."""
    found = [r for r in records if r["task"] == "search"]
    sizes = sorted({r["metric"] for r in found}, key=lambda m: (m[:4] != "puri", int(m.partition("@")[2])))
    kinds = sorted({r["kind"] for r in found})
    base = "; ".join(f"{r['kind']} {r['base_rate']:.4f}" for r in found if r["metric"] == sizes[0])
    text = table(found, sizes, kinds, lambda r: r["metric"], sizes, of="kind")
    out = [f"Searches from one example among all galaxies. Base rates: {base}.\n\n{text}"]
    ranked = [r for r in records if r["task"] == "outliers"]
    kinds = list(dict.fromkeys(r["kind"] for r in ranked))
    for metric in dict.fromkeys(r["metric"] for r in ranked):
        own = [r for r in ranked if r["metric"] == metric]
        methods = list(dict.fromkeys(r["method"] for r in own))
        text = table(own, methods, kinds, lambda r: r["method"], methods, of="kind")
        members = ", ".join(f"{k} {next(r['members'] for r in own if r['kind'] == k)}" for k in kinds)
        out.append(f"Outlier ranking, {metric}. Members among the test galaxies: {members}.\n\n{text}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--draw", action="store_true", help="only write the tables of what is finished")
    args = parser.parse_args()
    config = RealImageConfig(data=args.data, repeats=args.repeats, workers=args.workers)
    if not args.draw:
        with bar("real images", "stages") as progress:
            real_image_study(config, args.out, progress)
    rows = [r for r in summarise(read_json(args.out / "efficiency.json")) if r["metric"] in SHOWN]
    found = read_json(args.out / "discovery.json")
    write_json(args.to.with_suffix(".json"), {"efficiency": rows, "discovery": found})
    text = [*efficiency(rows), *discovery(found)]
    write_text(args.to.with_name(args.to.name + "-tables.md"), "\n\n".join(text) + "\n")


if __name__ == "__main__":
    main()
