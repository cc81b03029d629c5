"""Reading of fitted probes and densities from folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.predict.estimates import Estimator
from euclidfm.tasks.density.probe import load_density
from euclidfm.tasks.probe import load_probe

__all__ = ["load_estimators"]


def load_estimators(
    folders: Sequence[str | Path], *, pdf: bool = False, extrapolation: float = 99.0
) -> list[Estimator]:
    """Probes and densities in the given folders, or in the folders directly inside them.

    Raises
    ------
    InputError
        If a folder holds none, one is damaged or was fitted by an older version, or two are of one task.
    """
    if not 0.0 < extrapolation < 100.0:
        msg = f"extrapolation is a percentile between 0 and 100, got {extrapolation:g}"
        raise InputError(msg)
    found: list[Estimator] = []
    for folder in map(Path, folders):
        here = [f for f in (folder, *sorted(p for p in folder.glob("*") if p.is_dir())) if _holds(f)]
        if not here:
            msg = f"{folder} holds no probe (no probe.json or density.json); fit one with `euclidfm probe`"
            raise InputError(msg)
        for f in here:
            point = load_probe(f) if (f / "probe.json").is_file() else None
            density = load_density(f) if (f / "density.json").is_file() else None
            found.append(Estimator(f, point, density, extrapolation, pdf))
    for i, e in enumerate(found):
        _check(e, found[:i])
    return found


def _check(e: Estimator, others: Sequence[Estimator]) -> None:
    if any(fitted.reference is None for fitted in e.parts):
        msg = f"{e.folder} was fitted by an older version, without its training galaxies; fit it again"
        raise InputError(msg)
    if e.point and e.density and e.point.task.name != e.density.task.name:
        tasks = f"a probe of {e.point.task.name} and a density of {e.density.task.name}"
        msg = f"{e.folder} holds {tasks}; keep each task in a folder of its own"
        raise InputError(msg)
    for other in others:
        if other.prefix == e.prefix:
            msg = f"{other.folder} and {e.folder} both predict {e.prefix}; give one of them"
            raise InputError(msg)


def _holds(folder: Path) -> bool:
    return (folder / "probe.json").is_file() or (folder / "density.json").is_file()
