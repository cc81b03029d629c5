"""The verbs of whole studies."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

__all__ = ["REPRODUCE", "add_reproduce", "reproduce"]

REPRODUCE = """Test the reference work's claims on a mock sky: every study, every baseline, a verdict on each.

Output: a folder with every product, report.html, and claims.json with the verdicts. Stages and fits that are
done are not done again, so that a run may be stopped and continued. Scales: quick (minutes), standard
(hours on two cores), full (100 000 galaxies; a GPU).

example: euclidfm reproduce --scale quick --out reproduction"""


def add_reproduce(parser: Any) -> None:
    """Options of `euclidfm reproduce`."""
    parser.add_argument("--scale", type=str, default="standard", help="quick, standard or full")
    parser.add_argument("--out", type=str, default="reproduction", help="folder for everything")
    parser.add_argument("--seed", type=int, default=1, help="everything random follows from it")
    parser.add_argument("--processes", type=int, default=2, help="processes that share skies and fits")


def reproduce(args: Namespace) -> None:
    """Run it."""
    from euclidfm.files import read_json
    from euclidfm.reproduce.config import scale
    from euclidfm.reproduce.run import reproduce as run

    begun = time.monotonic()
    out = Path(args.out)
    report = run(scale(args.scale, seed=args.seed, processes=args.processes), out)
    for c in read_json(out / "claims.json"):
        print(f"({c['key']}) {c['text']}")
        print(f"    {c['measure']}: {c['value']:.4g} [{c['low']:.4g}, {c['high']:.4g}]: {c['verdict']}")
    print(f"reproduce: done in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(f"report: {report}")
