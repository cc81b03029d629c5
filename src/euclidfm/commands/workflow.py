"""Commands that do a whole job: ``report``, ``demo``, ``reproduce``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from euclidfm.core.files import read_json
from euclidfm.core.run_folder import RunFolder
from euclidfm.workflow.demo import DemoConfig, run_demo
from euclidfm.workflow.report import science_table, write_report
from euclidfm.workflow.reproduce import reproduce as run_reproduction
from euclidfm.workflow.scales import scale as settings_of

__all__ = ["demo", "report", "reproduce"]


def report(folder: Path, *, out: Path | None = None) -> Path:
    """Write report.html and report.json from a folder of results.

    Input: a folder of `euclidfm demo` or `euclidfm reproduce`, finished or not; parts that are missing
    are left out and named. Output: one self-contained page and the same numbers as JSON.

    example: euclidfm report demo/

    Parameters
    ----------
    folder : Path
        Folder of `euclidfm demo`, or one laid out like it.
    out : Path, optional
        HTML file; default report.html in the folder.
    """
    page = write_report(folder, out)
    print(page, flush=True)
    return page


def demo(config: DemoConfig | None = None, *, out: Path = Path("demo")) -> Path:
    """Do everything on a small mock sky: simulate, ingest, pre-train, embed, science, report.

    Output: a folder with every product, report.html and report.json. Stages that are done are not done again.
    With --real, the Euclid cutouts found in that folder are embedded and shown too. With --real_recipe, these
    may be any pictures, arrays or FITS files.

    example: euclidfm demo --out demo --seed 1

    Parameters
    ----------
    config : DemoConfig, optional
    out : Path
        Folder for everything.
    """
    begun = time.monotonic()
    page = run_demo(config or DemoConfig(), out)
    print(science_table(out))
    print(f"demo: done in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(f"report: {page}", flush=True)
    return page


def reproduce(
    *,
    scale: str = "standard",
    out: Path = Path("reproduction"),
    seed: int = 1,
    real: str | None = None,
    processes: int = 2,
) -> Path:
    """Test the reference work's claims on a mock sky: every study, every baseline, a verdict on each.

    Output: a folder with every product, report.html, and claims.json with the verdicts. Stages and fits that
    are done are not done again, so a run can be stopped and continued. Scales: quick (minutes), standard
    (hours on two cores), full (100 000 galaxies; a GPU).

    example: euclidfm reproduce --scale quick --out reproduction

    Parameters
    ----------
    scale : str
        quick, standard or full.
    out : Path
        Folder for everything.
    seed : int
        Seed of everything random.
    real : str, optional
        Folder with real spectroscopic catalogues, SED only.
    processes : int
        Processes that share skies and fits.
    """
    begun = time.monotonic()
    page = run_reproduction(settings_of(scale, seed=seed, processes=processes, real=real), out)
    for c in read_json(RunFolder(out).claims):
        print(f"({c['key']}) {c['text']}")
        print(f"    {c['measure']}: {c['value']:.4g} [{c['low']:.4g}, {c['high']:.4g}]: {c['verdict']}")
    print(f"reproduce: done in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(f"report: {page}", flush=True)
    return page
