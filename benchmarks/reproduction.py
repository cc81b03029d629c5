"""Results of a reproduction, as a page in Markdown and its numbers in JSON.

python benchmarks/reproduction.py reproduction/ --to docs/results/standard

The folder is one of `euclidfm reproduce`. Writes ``TO-tables.md`` and ``TO.json``.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import Any

from euclidfm.core.files import read_json, write_json, write_text
from euclidfm.core.records import summarise

JUDGED = {
    "photoz": ("nmad", "photo-z NMAD"),
    "mass": ("nmad", "log M* NMAD, dex"),
    "morphology": ("auc", "Smooth or featured, AUC"),
}
PARTS = {
    "modality": "modality.json",
    "generalisation": "transfer.json",
    "outliers": "outliers.json",
    "photoz_density": "photoz/pz_metrics.json",
}


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def efficiency(rows: list[dict[str, Any]], task: str, metric: str) -> str:
    """One line a method and its inputs, one column a fraction; in brackets the number of repeats."""
    own = {
        (r["method"], r["inputs"], r["fraction"]): r
        for r in rows
        if (r["task"], r["metric"]) == (task, metric)
    }
    fractions = sorted({k[2] for k in own})
    lines = []
    for method, inputs in dict.fromkeys(k[:2] for k in own):
        found = [own.get((method, inputs, f)) for f in fractions]
        said = [f"{r['value']:.3f} ({r['repeats']})" if r else "-" for r in found]
        lines.append([method, inputs, *said])
    return table(["method", "inputs", *(f"{100 * f:g}%" for f in fractions)], lines)


def verdict(claim: dict[str, Any]) -> str:
    """A list item with a claim, its measurement and its verdict, in lines of at most 120 characters."""
    c = claim
    said = f"**{c['verdict'].capitalize()}**: ({c['key']}) {c['text']}"
    found = f"{c['measure']}: **{c['value']:.3g}** (95%: {c['low']:.3g} to {c['high']:.3g})."
    lines = textwrap.wrap(said, 118, break_on_hyphens=False)
    lines += textwrap.wrap(f"Measured: {found}", 118, break_on_hyphens=False)
    return "- " + "\n  ".join(lines)


def short(value: Any) -> Any:
    """Numbers with four digits, anywhere in what JSON can hold."""
    if isinstance(value, dict):
        return {k: short(v) for k, v in value.items()}
    if isinstance(value, list):
        return [short(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    card, claims = read_json(args.folder / "reproduce.json"), read_json(args.folder / "claims.json")
    found = summarise(read_json(args.folder / "science" / "efficiency.json"))
    rows = [r for r in found if r["metric"] in ("nmad", "auc", "outliers_0.15")]
    numbers = {"config": card["config"], "seconds": card["timings"], "claims": claims, "efficiency": rows}
    numbers |= {k: read_json(args.folder / "science" / v) for k, v in PARTS.items()}
    text = ["## Verdicts", "\n".join(verdict(c) for c in claims)]
    for task, (metric, said) in JUDGED.items():
        text += [f"## {said}", efficiency(rows, task, metric)]
    precision = [
        [r["task"], r["model"], r["inputs"], f"{r['value']:.3f} ({r['low']:.3f} to {r['high']:.3f})"]
        for r in numbers["modality"]
        if r["metric"] == "average_precision"
    ]
    text += [
        "## Stars and edge-ons",
        table(["kind", "model", "inputs", "average precision (68%)"], precision),
    ]
    moved = [
        [r["task"], r["target"], r["method"], f"{r['value']:.3f} ({r['low']:.3f} to {r['high']:.3f})"]
        for r in numbers["generalisation"]
        if r["metric"] == "nmad"
    ]
    text += ["## Generalisation", table(["task", "target", "method", "NMAD (68%)"], moved)]
    write_json(args.to.with_suffix(".json"), short(numbers))
    write_text(args.to.with_name(args.to.name + "-tables.md"), "\n\n".join(text) + "\n")


if __name__ == "__main__":
    main()
