"""The page and the table at the end of a demo or a reproduction."""

from __future__ import annotations

from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json, write_json
from euclidfm.core.progress import bar
from euclidfm.core.records import summarise
from euclidfm.core.run_folder import RunFolder
from euclidfm.report.build import REPRODUCTION, build_report
from euclidfm.report.inputs import ReportInputs
from euclidfm.workflow.claims import judge
from euclidfm.workflow.steps import SETS

__all__ = ["science_table", "write_report"]


def write_report(folder: Path, page: Path | None = None) -> Path:
    """Write the report of a demo or a reproduction, finished or not.

    A reproduction's verdicts, ``claims.json``, are written too.

    Parameters
    ----------
    folder : Path
    page : Path, optional
        HTML file, with the JSON beside it; default ``report.html`` in the folder.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the folder does not exist.
    """
    run = RunFolder(folder)
    if not folder.is_dir():
        msg = f"{folder} is not a folder; give the folder of a demo or a reproduction"
        raise InputError(msg)
    reproduction = run.reproduce_state.exists()
    state = run.reproduce_state if reproduction else run.demo_state
    card = read_json(state) if state.exists() else {}
    config, facts = card.get("config", {}), {"timings": card.get("timings", {})}
    facts["seed"] = int(config.get("seed", 0))
    if reproduction:
        write_json(run.claims, judge(run))
        parts = [run.records(name) for name in ("probes", "baselines")]
        write_json(run.records("efficiency"), [r for p in parts if p.exists() for r in read_json(p)])
        facts["title"] = f"euclidfm: the reference work's claims, {config['scale']} scale"
        facts["embeddings"] = run.study_embeddings(SETS[0])
    else:
        facts["title"] = "euclidfm: from sky files to science"
    page = page or run.report
    with bar("report", "sections") as progress:
        sections = REPRODUCTION if reproduction else None
        build_report(
            ReportInputs.of_folder(folder, **facts), page, page.with_suffix(".json"), progress, sections
        )
    return page


def science_table(folder: Path) -> str:
    """Text with the label efficiency of a demo: methods by share of the labels, mean over repeats."""
    metrics = {"photoz": "nmad", "mass": "nmad", "morphology": "balanced_accuracy"}
    records = summarise(read_json(RunFolder(folder).records("efficiency")))
    lines = []
    for task, metric in metrics.items():
        chosen = [r for r in records if r["task"] == task and r["metric"] == metric]
        fractions = sorted({r["fraction"] for r in chosen})
        lines.append(f"{task}: {metric} against the share of labels")
        lines.append(f"  {'method':<20}{'inputs':<18}" + "".join(f"{f:>10.0%}" for f in fractions))
        for key in sorted({(r["method"], r["inputs"]) for r in chosen}):
            cells = {r["fraction"]: r["value"] for r in chosen if (r["method"], r["inputs"]) == key}
            line = "".join(f"{cells[f]:>10.4f}" if f in cells else f"{'':>10}" for f in fractions)
            lines.append(f"  {key[0]:<20}{key[1]:<18}{line}")
    return "\n".join(lines)
