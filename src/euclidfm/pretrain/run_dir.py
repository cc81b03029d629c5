"""The run folder: its settings, and whether a run may continue in it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, read_json, write_json, write_yaml
from euclidfm.core.run_folder import ModelFolder
from euclidfm.model.checkpoint import current_settings
from euclidfm.model.config import ModelConfig
from euclidfm.pretrain.config import PretrainConfig, updated_settings

__all__ = ["check_run_dir"]

_FREE = {"parallel", "compile", "log_to"}
"""Settings that may differ when a run continues: they change its result by rounding at most."""


def check_run_dir(run_dir: Path, settings: dict[str, Any], write: bool) -> None:
    """Start a run folder, or check that it holds a run with the same settings.

    Parameters
    ----------
    run_dir : path
    settings : dict
        Of the run, with the scaled model and the store.
    write : bool
        Whether this process writes ``config.yaml`` and ``config.json`` into a new folder.

    Raises
    ------
    InputError
        If the folder holds a run with other settings.
    """
    folder = ModelFolder(run_dir)
    card = folder.settings
    if card.exists():
        before, now = _flat(_known(read_json(card))), _flat(plain(settings))
        changed = [k for k in now | before if k not in _FREE and not _same(before.get(k), now.get(k))]
        if changed:
            msg = (
                f"{run_dir} holds a run with other settings ({', '.join(changed)}); "
                f"give the run's own settings, choose another folder or remove it"
            )
            raise InputError(msg)
    elif write:
        run_dir.mkdir(parents=True, exist_ok=True)
        write_yaml(folder.config, settings)
        write_json(card, settings)


def _same(a: Any, b: Any) -> bool:
    """Whether two settings are equal; fitted numbers differ in the last digits between machines."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return bool(a == b)


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with those of the model under names like ``model.width``."""
    model = {f"model.{k}": v for k, v in settings["model"].items()}
    return {k: v for k, v in settings.items() if k != "model"} | model


def _known(card: dict[str, Any]) -> dict[str, Any]:
    """Settings of a run in the terms of this version; defaults for those that it was written without."""
    settings = plain(PretrainConfig()) | updated_settings(card)
    return settings | {"model": plain(ModelConfig.from_dict(current_settings(settings["model"])))}
