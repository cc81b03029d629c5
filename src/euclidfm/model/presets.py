"""Named models: sizes of ours from 1M to 2B, and the reference work's architecture and recipe.

A preset is a nested dictionary of settings of `PretrainConfig`; what the user says goes before it.
"""

from __future__ import annotations

from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.model.config import SIZES

__all__ = ["names", "preset"]

_ASTROPT_SIZES = {
    "5m": {"width": 256, "depth": 6, "heads": 8},
    "90m": {"width": 768, "depth": 12, "heads": 12},
}


def names() -> tuple[str, ...]:
    """All presets."""
    return (*(s.lower() for s in SIZES), *(f"astropt-{s}" for s in _ASTROPT_SIZES))


def preset(name: str) -> dict[str, Any]:
    """Settings of a preset.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    low = name.lower()
    sizes = {s.lower(): v for s, v in SIZES.items()}
    if low in sizes:
        return {"model": dict(sizes[low])}
    if low.startswith("astropt-") and low.removeprefix("astropt-") in _ASTROPT_SIZES:
        return _astropt(_ASTROPT_SIZES[low.removeprefix("astropt-")])
    msg = f"there is no preset {name!r}; the presets are {', '.join(names())}"
    raise InputError(msg)


def _astropt(size: dict[str, int]) -> dict[str, Any]:
    """The reference work's architecture and training recipe.

    Numbers from AstroPT 2.0.9's defaults and its published configurations (Smith et al. 2024,
    arXiv:2405.14930; Euclid: Siudek et al. 2025, arXiv:2503.15312): patches of 16 px in a square spiral,
    each with zero mean and unit variance; learned places; LayerNorm; no biases; the embedding from the
    block after the middle; fixed order; AdamW at 6e-4 with decay 0.1, down to a tenth.
    """
    model: dict[str, Any] = {
        **size,
        "images": [
            {"name": "VIS", "bands": ["VIS"], "patch": 16},
            {"name": "NISP", "bands": ["Y", "J", "H"], "patch": 16},
        ],
        "crop": 224,
        "image_scaling": "zscore",
        "embed_layer": size["depth"] // 2 + 1,
        "embed_backwards": False,
        "blocks": {
            "norm": "layer",
            "norm_eps": 1e-5,
            "qk_norm": False,
            "feed_forward": "gelu_tanh",
            "bias": False,
        },
        "tokens": {
            "reader": "aim",
            "predictor": "aim",
            "bias": False,
            "begin": False,
            "tell_next": False,
            "tell_quality": False,
            "places": "learned",
            "longest": 1024,
            "patch_order": "spiral",
        },
    }
    recipe = {"lr": 6e-4, "min_lr": 0.1, "weight_decay": 0.1, "warmup": 0.067}
    still = {"random_order": "none", "drop_modality": 0.0, "drop_band": 0.0, "random_symmetry": False}
    return {"model": model, **recipe, **still}
