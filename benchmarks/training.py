"""Speed of training and embedding, compared with the peer and with the ceilings of the machine.

python benchmarks/training.py --peer /path/with/astropt --out docs/results/training.json

The peer is no dependency. This command puts it in a folder of its own:
``pip install --no-deps --target FOLDER -r tests/interop/astropt-requirements.txt``.
Each measurement runs in its own process, so that its peak memory is its own. Repeats are interleaved, and the
medians count. The command writes the JSON file and, beside it, a page in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from cases import CASES

HERE = Path(__file__).parent
PRECISIONS = ("float32", "bf16")
MODES = [(p, c) for p in PRECISIONS for c in (False, True)]
TARGETS = {("train", "a"): 3.0, ("train", "b"): 3.0, ("train", "c"): 1.8} | {("embed", c): 2.0 for c in CASES}
MFU = {"a": 0.3, "b": 0.3, "c": 0.5}
ABOUT = (
    "`benchmarks/training.py` writes this page. [benchmarks.md](../benchmarks.md) describes the measurement, "
    "and [training.json](training.json) has every number."
)
COLUMNS = (
    "Columns: best mode, galaxies/s and tokens/s of ours; best mode and galaxies/s of the peer; their ratio; "
    "GFLOP/s and model FLOP utilisation (MFU) of ours; peak GB of ours / peer; rate of the loader / rate of "
    "training. Targets are in brackets."
)


def run(worker: str, asked: dict[str, Any], peer: str | None) -> dict[str, Any]:
    """One measurement in a process of its own; what went wrong, if it did."""
    paths = [str(HERE), *([peer] if peer and worker == "peer_worker.py" else [])]
    paths += [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(asked["threads"])}
    load = os.getloadavg()[0]
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / worker), json.dumps(asked)],
            env=env, capture_output=True, text=True, timeout=asked["limit"], check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {**asked, "error": f"no result within {asked['limit']} s", "load": load}
    lines = [s for s in done.stdout.splitlines() if s.startswith("RESULT ")]
    if not lines:
        error = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {**asked, "error": error[:300], "load": load}
    return {**asked, **json.loads(lines[-1].removeprefix("RESULT ")), "load": load}


def collect(args: argparse.Namespace, before: float) -> list[dict[str, Any]]:
    """All measurements, ours and the peer's in turn; written as they come."""
    found: list[dict[str, Any]] = []
    common = {"cap": args.cap_seconds, "threads": args.threads, "limit": max(300, 20 * args.cap_seconds)}

    def keep(who: str, worker: str, **asked: Any) -> None:
        result = {"who": who, **run(worker, common | asked, args.peer)}
        found.append(result)
        write(found, args, before)
        rate = result.get("galaxies_per_second", result.get("float32"))
        said = f"{rate:.1f}" if rate is not None else result.get("error", "")
        print(who, *(str(v) for v in asked.values()), said, flush=True)

    slow: set[tuple[Any, ...]] = set()
    wanted = [(p, c) for p, c in MODES if p in args.precisions and ("eager", "compiled")[c] in args.modes]
    for repeat in range(args.repeats):
        keep("machine", "our_worker.py", what="ceilings")
        for case in args.cases:
            keep("ours", "our_worker.py", what="loader", case=case)
            for what in ("train", "embed"):
                for precision, compiled in wanted:
                    for who, worker in (("ours", "our_worker.py"), ("peer", "peer_worker.py")):
                        key = (who, case, what, precision, compiled)
                        if key in slow or (who == "peer" and not args.peer):
                            continue
                        keep(
                            who, worker, what=what, case=case, precision=precision, compile=compiled,
                            profile=what == "train" and repeat == 0,
                        )  # fmt: skip
                        if found[-1].get("steps", 0) == 0:  # slower than the cap: once is enough
                            slow.add(key)
                for who in ("ours", "peer"):
                    slow |= hopeless(found, who, what, case)
    return found


def hopeless(found: list[dict[str, Any]], who: str, what: str, case: str) -> set[tuple[Any, ...]]:
    """Modes of one side that cannot become its best: below two thirds of it. Measured once, not repeated."""
    rate = {
        (r["precision"], r["compile"]): r.get("galaxies_per_second", 0.0)
        for r in found
        if (r["who"], r.get("what"), r.get("case")) == (who, what, case)
    }
    most = max(rate.values(), default=0.0)
    return {(who, case, what, *mode) for mode, r in rate.items() if r < most / 1.5}


def median(rows: list[dict[str, Any]], key: str) -> float | None:
    """Median over repeats; None without a result."""
    values = [r[key] for r in rows if r.get(key) is not None]
    return statistics.median(values) if values else None


def best(found: list[dict[str, Any]], who: str, what: str, case: str) -> dict[str, Any] | None:
    """The fastest mode of one side."""
    modes = []
    for precision, compiled in MODES:
        rows = [
            r
            for r in found
            if (r["who"], r.get("what"), r.get("case"), r.get("precision"), r.get("compile"))
            == (who, what, case, precision, compiled)
        ]
        rate = median(rows, "galaxies_per_second")
        if rate is not None:
            name = f"{precision}, {'compiled' if compiled else 'eager'}"
            modes.append({
                "mode": name, "precision": precision, "rate": rate, "peak_gb": median(rows, "peak_gb"),
                "parameters": rows[0].get("parameters"), "tokens": rows[0].get("tokens"),
            })  # fmt: skip
    return max(modes, key=lambda m: m["rate"]) if modes else None


def summarise(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a case and kind of work: both best modes, the ratio, the share of the ceiling."""
    machine = [r for r in found if r["who"] == "machine"]
    peak = {p: median(machine, p) for p in PRECISIONS}
    highest = max((p for p in PRECISIONS if peak[p]), key=lambda p: peak[p] or 0.0)
    rows = []
    for case in dict.fromkeys(r["case"] for r in found if r.get("case")):
        loader = median(
            [r for r in found if (r.get("what"), r.get("case")) == ("loader", case)], "galaxies_per_second"
        )
        for what in ("train", "embed"):
            ours, peer = best(found, "ours", what, case), best(found, "peer", what, case)
            counted = [r for r in found if (r["who"], r.get("what"), r.get("case")) == ("ours", what, case)]
            flops = median(counted, "flops")
            if ours is None:
                continue
            used = flops / CASES[case]["batch"] * ours["rate"] / 1e9 if flops else None
            rows.append({
                "case": case, "what": what, "ours": ours, "peer": peer, "loader": loader,
                "ratio": ours["rate"] / peer["rate"] if peer else None, "target": TARGETS[what, case],
                "gflop_per_second": used, "ceiling": highest, "ceiling_gflop_per_second": peak[highest],
                "mfu": used / peak[highest] if used and peak[highest] else None,
                "mfu_target": MFU[case] if what == "train" else None,
            })  # fmt: skip
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """The summary as a page in Markdown, with lines of at most 120 characters."""

    def text(value: float | None, form: str = ".1f") -> str:
        return "–" if value is None else format(value, form)

    cases = "; ".join(f"{c}: {CASES[c]['what']}" for c in dict.fromkeys(r["case"] for r in rows))
    lines = [
        *textwrap.wrap(ABOUT, 120), "",
        *textwrap.wrap(f"Cases: {cases}.", 120), *textwrap.wrap(COLUMNS, 120), "",
        "| case | work | ours | gal/s | tokens/s | peer | gal/s | ratio | GFLOP/s | MFU | GB | loader |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for r in rows:
        o, p = r["ours"], r["peer"] or {}
        mfu = f"{text(r['mfu'], '.0%')}" + (f" ({r['mfu_target']:.0%})" if r["mfu_target"] else "")
        ahead = text(r["loader"] / o["rate"], ".0f") if r["loader"] and r["what"] == "train" else "–"
        lines.append(
            f"| {r['case']} | {r['what']} | {o['mode']} | {text(o['rate'])} "
            f"| {text(o['rate'] * o['tokens'], '.0f')} | {p.get('mode', '–')} | {text(p.get('rate'))} "
            f"| {text(r['ratio'], '.2f')} ({r['target']}) | {text(r['gflop_per_second'], '.0f')} | {mfu} "
            f"| {text(o['peak_gb'])} / {text(p.get('peak_gb'))} | {ahead} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", help="folder that holds the peer's package; without it, ours alone")
    parser.add_argument("--out", type=Path, default=Path("training.json"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cap-seconds", type=float, default=6.0, help="about how long a measurement lasts")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--modes", nargs="+", default=["eager", "compiled"], choices=("eager", "compiled"))
    args = parser.parse_args()
    before = os.getloadavg()[0]
    rows = write(collect(args, before), args, before)
    print(page(rows))


def write(found: list[dict[str, Any]], args: argparse.Namespace, before: float) -> list[dict[str, Any]]:
    """Write all measurements and their summary; returns the summary."""
    rows = summarise(found)
    busiest = max([before, *(r["load"] for r in found)])
    words = [a for a in sys.argv[1:] if a not in {args.peer, "--peer"}]
    out = {
        "command": " ".join(["python", "benchmarks/training.py", *words]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {args.threads} threads",
        "load_before": before,
        "other_load": busiest > args.threads + 0.7,
        "busiest": busiest,
        "summary": rows,
        "measurements": found,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(out, indent=1))
    note = "\nOther load was present.\n" if out["other_load"] else ""
    args.out.with_suffix(".md").write_text(page(rows) + "\n" + note)
    return rows


if __name__ == "__main__":
    main()
