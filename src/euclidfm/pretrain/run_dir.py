"""The run folder: whose it is, and with what settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, read_json, write_json, write_yaml
from euclidfm.model import ModelConfig
from euclidfm.pretrain.config import PretrainConfig
from euclidfm.pretrain.distributed import World

__all__ = ["claim"]

_FREE = {"parallel", "compile", "sample_every", "tensorboard", "wandb"}
"""Settings that a run may change when it goes on: they do not change its result but for rounding."""


def claim(out: Path, resolved: dict[str, Any], world: World) -> None:
    """Make the run folder ours: a new one, or one of the same config.

    Raises
    ------
    InputError
        If it holds a run with other settings.
    """
    card = out / "config.json"
    if card.exists():
        before = _with_defaults(read_json(card))
        changed = [k for k, v in plain(resolved).items() if before.get(k) != v and k not in _FREE]
        if changed:
            msg = (
                f"{out} holds a run with other settings ({', '.join(changed)}); "
                f"choose another folder or remove it"
            )
            raise InputError(msg)
    elif world.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        write_yaml(out / "config.yaml", resolved)
        write_json(card, resolved)


def _with_defaults(card: dict[str, Any]) -> dict[str, Any]:
    """A run's config with the defaults of the settings that came after it."""
    return _fill(card, plain(PretrainConfig()) | {"model": plain(ModelConfig())})


def _fill(card: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Defaults where the card is silent, in the choices within the model too."""
    out = defaults | card
    for key in ("model", "blocks", "tokens"):
        if isinstance(card.get(key), dict) and isinstance(defaults.get(key), dict):
            out[key] = _fill(card[key], defaults[key])
    return out
