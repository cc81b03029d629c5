"""Models on disk, ``model.safetensors`` and ``model.json``; their architectures; names of older versions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor

from euclidfm.core.checksums import check_card, with_checksums
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json, write_json, written_aside
from euclidfm.model.config import ModelConfig

__all__ = ["build", "current_settings", "current_weights", "identity", "load", "write"]

ARCHITECTURES = {
    "euclidfm": "euclidfm.model.foundation:FoundationModel",
    "astropt": "euclidfm.interop.astropt.network:AstroPT",
}
"""Class of each architecture; those of other projects are imported only when they are used."""

REMEDY = "copy or train the model again"
"""What to do with a damaged model."""

FORMAT = 2
"""Format 1 (version 0.1) had other names of weights and settings; it is still read."""

OLD_WEIGHTS = {
    "read.": "token_encoders.",
    "predict.": "token_decoders.",
    "here.": "positions.",
    "next.": "next_positions.",
    "hidden": "mask_token",
    "tails.": "objective.degrees_of_freedom.",
    "typical": "modality_mean",
}
"""Beginning of a weight's name in format 1, and now."""

OLD_SETTINGS = {
    "mlp_ratio": "mlp_ratio",
    "dof": "dof",
    "image_softening": "image_softening",
    "image_scaling": "image_scaling",
    "sed_error_floor": "sed_error_floor",
    "blocks.norm": "norm",
    "blocks.norm_eps": "norm_eps",
    "blocks.qk_norm": "qk_norm",
    "blocks.feed_forward": "feed_forward",
    "blocks.bias": "bias",
    "tokens.reader": "token_encoder",
    "tokens.predictor": "token_decoder",
    "tokens.bias": "token_bias",
    "tokens.begin": "begin_tokens",
    "tokens.tell_next": "next_positions",
    "tokens.tell_quality": "quality_features",
    "tokens.places": "positions",
    "tokens.longest": "max_positions",
    "tokens.patch_order": "patch_order",
}
"""Settings of format 1 that are constants now, and the options that they are for `interop.astropt`."""

CONSTANTS = {
    "mlp_ratio": 4.0,
    "dof": 0.0,
    "image_softening": 3.0,
    "image_scaling": "asinh",
    "sed_error_floor": 0.1,
    "norm": "rms",
    "norm_eps": 1e-6,
    "qk_norm": True,
    "feed_forward": "gelu",
    "bias": False,
    "token_encoder": "mlp",
    "token_decoder": "affine",
    "token_bias": True,
    "begin_tokens": True,
    "next_positions": True,
    "quality_features": True,
    "positions": "fourier",
    "max_positions": 1024,
    "patch_order": "rings",
}
"""Their defaults in format 1, which are the constants of our architecture."""


def current_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by their present names, whatever the version that wrote them."""
    return {_renamed(k, OLD_WEIGHTS): v for k, v in weights.items()}


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def current_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `ModelConfig` from a model's settings, whatever the version that wrote them.

    Settings that are constants now become options of the architecture ``astropt``, which still knows them
    all, unless they equal the constants.
    """
    flat = {k: v for k, v in settings.items() if k not in ("blocks", "tokens")}
    for group in ("blocks", "tokens"):
        flat |= {f"{group}.{k}": v for k, v in (settings.get(group) or {}).items()}
    flat.setdefault("image_encoder", 0)  # models from before there was one
    options = {OLD_SETTINGS[k]: flat.pop(k) for k in tuple(flat) if k in OLD_SETTINGS}
    if options.get("positions") == "rotary":
        flat["positions"] = options.pop("positions")
    options = {k: v for k, v in options.items() if v != CONSTANTS[k]}
    if options:
        flat |= {"architecture": "astropt", "options": options}
    return flat


def identity(weights: Mapping[str, Tensor]) -> str:
    """Short hash of a model's weights. It uses the names of format 1, so that old models keep theirs."""
    back = {new: old for old, new in OLD_WEIGHTS.items()}
    digest = hashlib.sha256()
    for name, value in sorted((_renamed(k, back), v) for k, v in weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def write(
    folder: str | Path,
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a model to a folder."""
    from safetensors.torch import save_file

    folder = Path(folder)
    card = {"format": FORMAT, "config": asdict(config), "identity": identity(weights)}
    with written_aside(folder / "model.safetensors") as file, written_aside(folder / "model.json") as text:
        save_file({k: v.contiguous() for k, v in weights.items()}, file)
        write_json(text, with_checksums(card | dict(extra or {})))


def _read_card(folder: Path) -> dict[str, Any]:
    """Read and check ``model.json``."""
    if not (folder / "model.json").is_file():
        msg = f"{folder} holds no model (no model.json); train one with `euclidfm pretrain`"
        raise InputError(msg)
    card = read_json(folder / "model.json")
    if card.get("format") not in (1, FORMAT):
        msg = f"{folder / 'model.json'} has format {card.get('format')}, this program reads 1 to {FORMAT}"
        raise InputError(msg)
    check_card(folder / "model.json", card, REMEDY)
    return dict(card)


def build(config: ModelConfig) -> Any:
    """Make a new model of the config's architecture, a `FoundationModel`.

    Raises
    ------
    InputError
        If there is no such architecture.
    """
    if config.architecture not in ARCHITECTURES:
        msg = f"there is no architecture {config.architecture!r}; choose among {', '.join(ARCHITECTURES)}"
        raise InputError(msg)
    module, _, name = ARCHITECTURES[config.architecture].partition(":")
    return getattr(import_module(module), name)(config)


def load(folder: str | Path) -> Any:
    """Load a model, a `FoundationModel` of any architecture, from a folder.

    Raises
    ------
    InputError
        If the folder holds no model, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    card = _read_card(folder)
    model = build(ModelConfig.from_dict(current_settings(card["config"])))
    file = folder / "model.safetensors"
    try:
        model.load_state_dict(current_weights(load_file(file)))
    except (SafetensorError, OSError, RuntimeError) as e:
        msg = f"{file} is missing, damaged or of another model ({e}); {REMEDY}"
        raise InputError(msg) from None
    if "identity" in card and identity(model.state_dict()) != card["identity"]:
        msg = f"{file} is damaged: its weights are not those that model.json describes; {REMEDY}"
        raise InputError(msg)
    return model
