"""The reference work's architecture and training recipe, as presets of pre-training."""

from __future__ import annotations

from typing import Any

from euclidfm.interop.astropt.network import ASTROPT

__all__ = ["PRESETS", "preset"]

PRESETS = {
    "astropt-5m": {"width": 256, "depth": 6, "heads": 8},
    "astropt-90m": {"width": 768, "depth": 12, "heads": 12},
}
"""Sizes by name."""


def preset(name: str) -> dict[str, Any]:
    """Settings of pre-training, nested, for a size of `PRESETS`.

    Numbers from AstroPT 2.0.9's defaults and its published configurations (Smith et al. 2024,
    arXiv:2405.14930; Euclid: Siudek et al. 2025, arXiv:2503.15312): patches of 16 px, the embedding from the
    block after the middle, fixed order, AdamW at 6e-4 with decay 0.1, down to a tenth.
    """
    size = PRESETS[name]
    model: dict[str, Any] = {
        **size,
        "images": [
            {"name": "VIS", "bands": ["VIS"], "patch": 16},
            {"name": "NISP", "bands": ["Y", "J", "H"], "patch": 16},
        ],
        "crop": 224,
        "embed_layer": size["depth"] // 2 + 1,
        "embed_backwards": False,
        "architecture": "astropt",
        "image_encoder": 0,  # the reference work has none
        "options": dict(ASTROPT),
    }
    recipe = {"lr": 6e-4, "min_lr": 0.1, "weight_decay": 0.1, "warmup": 0.067}
    plain = {"random_order": "none", "drop_modality": 0.0, "drop_band": 0.0, "random_symmetry": False}
    return {"model": model, **recipe, **plain}
