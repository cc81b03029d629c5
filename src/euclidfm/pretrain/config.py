"""Settings of pre-training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from euclidfm.core.errors import InputError
from euclidfm.model import ModelConfig

__all__ = ["PretrainConfig", "updated_settings"]

_AT_LEAST_ONE = ("steps", "batch", "accumulate", "validate_every", "checkpoint_every")
_SHARES = ("ema", "drop_modality", "drop_band", "min_lr", "warmup", "chain_share")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of a pre-training run.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    """The model. Its scaling is fitted on the store's training split."""
    steps: int = 1000
    """Optimiser steps."""
    batch: int = 64
    """Galaxies in a step, over all processes."""
    chain_share: float = 1.0
    """Share of a batch's galaxies that the transformer reads. The image encoder, which is much faster, reads
    all of them."""
    galaxies: int = 0
    """Training galaxies to use, drawn with the seed; 0: all. A smaller number is a subset of a larger one."""
    accumulate: int = 1
    """Micro-batches whose gradients are accumulated in a step; more of them need less memory."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Under ``torchrun``: ``ddp`` keeps all weights in each process; ``fsdp`` shards weights, gradients and
    moments, for models that are too large for one device."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW (Loshchilov & Hutter 2019), or Muon (Jordan et al. 2024) for the matrices of the blocks."""
    lr: float = 1e-3
    """Peak learning rate, of Muon too: its updates are scaled to the size of AdamW's."""
    min_lr: float = 0.05
    """Final learning rate as a fraction of the peak."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """Decay after the warm-up: a cosine, or constant and then linear over the last fifth of the steps."""
    warmup: float = 0.05
    """Fraction of the steps over which the learning rate rises."""
    weight_decay: float = 0.05
    """Decoupled weight decay of matrices; norms, biases and embeddings have none."""
    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights; 0 turns it off. The average is what is
    validated and written as the model."""
    random_order: Literal["none", "modalities", "patches"] = "modalities"
    """``none``: the order of the config. ``modalities``: modalities, SED bands and scalars in random order.
    ``patches``: also the image patches of half of the galaxies, so that any part can complete the rest."""
    random_symmetry: bool = True
    """Apply a random symmetry of the square (D4: rotations and mirrors) to the images of a galaxy."""
    drop_modality: float = 0.15
    """Probability to drop a modality of a galaxy."""
    drop_band: float = 0.1
    """Probability to drop an SED band or a scalar of a galaxy."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """``auto``: bf16 autocast on a GPU or a CPU that multiplies in bf16 (AMX, AVX512-BF16), else fp32."""
    validate_every: int = 200
    """Steps between validations, on at most 512 galaxies."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    compile: bool = False
    """Compile the blocks with torch.compile: a minute at the start; on a CPU it needs a C++ compiler."""
    log_to: tuple[Literal["pictures", "tensorboard", "wandb"], ...] = ()
    """Logs beside log.csv: ``pictures`` of the predictions for some validation galaxies, drawn at each
    validation; ``tensorboard``; ``wandb`` (WANDB_MODE=offline keeps it in the run folder)."""
    seed: int = 0
    """Seed of all random choices."""

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            _check(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in _SHARES:
            _check(0 <= getattr(self, name) <= 1, name, "between 0 and 1", getattr(self, name))
        _check(self.galaxies >= 0, "galaxies", "at least 0", self.galaxies)
        _check(self.lr > 0, "lr", "above 0", self.lr)


def _check(good: bool, name: str, limit: str, value: Any) -> None:
    if not good:
        msg = f"{name} must be {limit}, got {value}"
        raise InputError(msg)


_RENAMED = {"turn": "random_symmetry"}
_FIXED = {"clip": 1.0, "decay": 0.2, "hide": 0.5}
"""Settings that have become constants, and the values they have now."""
_REMOVED = ("keep", "keep_best", "sample_every", "tensorboard", "wandb")
"""Settings that do not change the trained weights."""


def updated_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that an older version wrote, in the terms of this one.

    What this version cannot do, for example another limit of the gradient's norm, stays under its old name.
    """
    out = {_RENAMED.get(k, k): v for k, v in settings.items() if k not in _REMOVED}
    out = {k: v for k, v in out.items() if k not in _FIXED or v != _FIXED[k]}
    shuffled = out.pop("shuffle_patches", 0.0)
    if isinstance(out.get("random_order"), bool):
        out["random_order"] = "modalities" if out["random_order"] else "none"
    if shuffled and out.get("random_order") != "none":
        out |= {"random_order": "patches"} if shuffled == 0.5 else {"shuffle_patches": shuffled}
    return out
