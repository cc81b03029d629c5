"""Settings of fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from euclidfm.core.errors import InputError

__all__ = ["FineTuneConfig", "check_config", "first_block"]


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """Settings of fine-tuning."""

    adapt: Literal["full", "lora"] = "full"
    """Train all weights of the upper blocks, or low-rank updates of their linear layers."""
    layers: int = 2
    """Number of blocks that are trained, counted down from the embedded layer; those below are frozen."""
    max_steps: int = 300
    """Gradient steps, for any number of labels."""
    batch: int = 32
    """Galaxies per step."""
    learning_rate: float = 3e-5
    """Peak learning rate of the uppermost block."""
    lora_learning_rate: float = 3e-4
    """The same with `adapt: lora`, whose few weights need larger steps."""
    head_learning_rate: float = 1e-4
    """Peak learning rate of the head, on standardised features, in units of the probe's scatter."""
    decay: float = 0.7
    """Ratio of the learning rates of a block and the one above it."""
    weight_decay: float = 0.01
    """Weight decay of AdamW on the blocks; the head has none."""
    rank: int = 8
    """Rank of the low-rank updates."""
    alpha: float = 16.0
    """The updates are scaled by alpha / rank."""
    holdout: float = 0.2
    """Fraction of the labelled galaxies that is held out for early stopping."""
    views: int = 4
    """Largest number of symmetries (D4) in which a galaxy is shown, 1 to 8."""
    states: int = 4000
    """Approximate limit on galaxies times symmetries, which bounds the cost with many labels."""


def first_block(model_layer: int, layers: int) -> int:
    """Number of blocks below the trained ones.

    Raises
    ------
    InputError
        If there are fewer blocks than are to be trained.
    """
    if not 1 <= layers <= model_layer:
        msg = f"layers must be from 1 to the {model_layer} blocks that the embedding passes, got {layers}"
        raise InputError(msg)
    return model_layer - layers


def check_config(c: FineTuneConfig) -> None:
    """Raise `InputError` if a setting is out of range."""
    for name in ("max_steps", "batch", "rank", "layers"):
        if getattr(c, name) < 1:
            msg = f"{name} must be at least 1, got {getattr(c, name)}"
            raise InputError(msg)
    if c.adapt not in ("full", "lora"):
        msg = f"adapt must be full or lora, got {c.adapt!r}"
        raise InputError(msg)
    if not 0.0 < c.holdout < 1.0 or not 1 <= c.views <= 8:
        msg = f"holdout must be between 0 and 1 and views from 1 to 8, got {c.holdout:g} and {c.views}"
        raise InputError(msg)
