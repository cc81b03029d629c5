"""Redshifts from the SEDs of real catalogues: the study, and its tables in Markdown and JSON.

python benchmarks/real_seds.py DATA --out real/ --to docs/results/real-seds

DATA contains the folders ``zcosmos``, ``desi_bgs`` and ``candels_cosmos``; missing ones are skipped. An
interrupted run can be continued; `--draw` only writes the tables of finished results. The tables are written
to ``TO-tables.md``, the numbers to ``TO.json``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from euclidfm.core.files import read_json, write_json, write_text
from euclidfm.core.progress import bar
from euclidfm.core.records import summarise
from euclidfm.studies import RealSEDConfig, real_sed_study
from euclidfm.studies.real_seds import METHODS

SHOWN = {"nmad": ("NMAD of (z_phot - z_spec) / (1 + z_spec)", 1.0, "{:.4f}"),
         "outliers_0.15": ("Outliers beyond 0.15, per cent", 100.0, "{:.2f}")}  # fmt: skip
DENSITY = ("coverage_68", "coverage_95", "pit_ks", "crps", "cde_loss", "nmad", "outliers_0.15")


def table(rows: list[dict[str, Any]], metric: str, interval: bool = False) -> str:
    """Markdown table of methods (rows) and fractions (columns).

    It holds the values, with the best of each column in bold, or the 68% intervals.
    """
    _, unit, form = SHOWN[metric]
    own = {(r["method"], r["fraction"]): r for r in rows if r["metric"] == metric}
    columns = {r["fraction"]: r["n_train"] for r in rows if r["metric"] == metric}
    best = {f: min(r["value"] for (_, g), r in own.items() if g == f) for f in columns}
    lines = ["| method | " + " | ".join(f"{100 * f:g}% ({n})" for f, n in sorted(columns.items())) + " |"]
    lines.append("|---" * (1 + len(columns)) + "|")
    for method in (m for m in METHODS if any(k[0] == m for k in own)):
        cells = []
        for fraction in sorted(columns):
            r = own.get((method, fraction))
            if r is None:
                cells.append("-")
                continue
            value, low, high = (form.format(unit * r[k]) for k in ("value", "low", "high"))
            if interval:
                cells.append(f"{low} to {high}")
            else:
                cells.append(f"**{value}**" if r["value"] == best[fraction] else value)
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def repeats(rows: list[dict[str, Any]]) -> str:
    """Number of repeats of each column."""
    out = []
    for fraction in sorted({r["fraction"] for r in rows}):
        counts = sorted({r["repeats"] for r in rows if r["fraction"] == fraction})
        out.append(f"{100 * fraction:g}%: {' or '.join(map(str, counts))}")
    return "Repeats: " + "; ".join(out) + "."


def density(records: list[Mapping[str, Any]]) -> str:
    """Markdown table of the metrics of p(z), before and after recalibration."""
    own = {r["metric"]: r for r in records}
    lines = ["| p(z), all labels | calibrated | before |", "|---|---|---|"]
    for name in DENSITY:
        cells = []
        for key in (name, f"{name}_uncalibrated"):
            r = own.get(key)
            cells.append("" if r is None else f"{r['value']:.4f} ({r['low']:.4f} to {r['high']:.4f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--draw", action="store_true", help="only write the tables of finished results")
    args = parser.parse_args()
    config = RealSEDConfig(data=args.data, repeats=args.repeats, workers=args.workers)
    if not args.draw:
        with bar("real catalogues", "stages") as progress:
            real_sed_study(config, args.out, progress)
    numbers, text = {}, []
    for name in config.catalogues:
        if not (args.out / name / "efficiency.json").exists():
            continue
        rows = summarise(read_json(args.out / name / "efficiency.json"))
        rows = [r for r in rows if r["metric"] in SHOWN]
        numbers[name] = {"efficiency": rows}
        text.append(f"## {name}, {rows[0]['n_test']} test galaxies\n\n{repeats(rows)}")
        for metric, (title, _, _) in SHOWN.items():
            text += [f"{title}:\n\n{table(rows, metric)}", f"68% intervals:\n\n{table(rows, metric, True)}"]
        if (args.out / name / "density.json").exists():
            found = read_json(args.out / name / "density.json")
            numbers[name]["density"] = found
            text.append(density(found))
    write_json(args.to.with_suffix(".json"), numbers)
    write_text(args.to.with_name(args.to.name + "-tables.md"), "\n\n".join(text) + "\n")


if __name__ == "__main__":
    main()
