"""Settings of pre-training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from euclidfm.core.errors import InputError
from euclidfm.model import ModelConfig

__all__ = ["PretrainConfig"]


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """How to pre-train."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """The model; its scaling is fitted on the store's training split."""
    steps: int = 1000
    """Optimiser steps."""
    batch: int = 64
    """Galaxies a step, over all processes."""
    galaxies: int = 0
    """Training galaxies to use, drawn with the seed (a smaller number is a part of a larger); 0: all."""
    accumulate: int = 1
    """Parts in which a process works through its share of a batch, one after the other, to save memory."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Under ``torchrun``: whole weights on each process, or (``fsdp``) a share of weights, gradients and
    moments, for models that are too large for one device."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW for all (Loshchilov & Hutter 2019), or Muon for the blocks' matrices (Jordan et al. 2024)."""
    lr: float = 1e-3
    """Peak learning rate, of Muon too (its updates are scaled to the size of AdamW's)."""
    min_lr: float = 0.05
    """Last learning rate over the peak."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """After the warm-up a cosine; or stable until the last `decay` of the steps, then linear."""
    decay: float = 0.2
    """Share of the steps over which the ``wsd`` schedule decays."""
    warmup: float = 0.05
    """Share of the steps with a rising learning rate."""
    weight_decay: float = 0.05
    """Decoupled decay of matrices; norms, biases and embeddings have none."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.0
    """Decay per step of an average of the weights that is validated and written as the model; 0: none."""
    random_order: bool = True
    """Modalities in random order, and SED bands too; else the order of the config."""
    drop_modality: float = 0.15
    """Chance that a modality is withheld from a galaxy."""
    drop_band: float = 0.1
    """Chance that an SED band, or a scalar, is withheld from a galaxy."""
    turn: bool = True
    """Turn and mirror images at random."""
    shuffle_patches: float = 0.0
    """Chance that a galaxy's patches are read in random order, so that any part completes the rest."""
    hide: float = 0.5
    """Share of the tokens that a masked model has to predict."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """``auto``: bf16 autocast on a GPU or a CPU that multiplies in bf16 (AMX, AVX512-BF16), else fp32."""
    validate_every: int = 200
    """Steps between validations (at most 512 galaxies)."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    keep: int = 2
    """Checkpoints to keep."""
    keep_best: bool = True
    """Also keep the model of the lowest validation loss, in ``best/`` of the run."""
    compile: bool = False
    """Compile the blocks with torch.compile (a minute at the start; on a CPU it needs a C++ compiler)."""
    sample_every: int = 0
    """Steps between pictures of what the model foresees of some validation galaxies, in ``samples/`` of the
    run; 0: none."""
    tensorboard: bool = False
    """Also log for TensorBoard (the package must be there), in ``tensorboard/`` of the run."""
    wandb: bool = False
    """Also log to Weights & Biases (the package must be there); WANDB_MODE=offline keeps it in the run."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "validate_every", "checkpoint_every", "keep"):
            if getattr(self, name) < 1:
                msg = f"{name} must be at least 1, got {getattr(self, name)}"
                raise InputError(msg)
        for name in (
            "ema",
            "hide",
            "drop_modality",
            "drop_band",
            "shuffle_patches",
            "min_lr",
            "warmup",
            "decay",
        ):
            if not 0 <= getattr(self, name) <= 1:
                msg = f"{name} must be between 0 and 1, got {getattr(self, name)}"
                raise InputError(msg)
        for name in ("galaxies", "sample_every"):
            if getattr(self, name) < 0:
                msg = f"{name} must be at least 0, got {getattr(self, name)}"
                raise InputError(msg)
        if self.lr <= 0:
            msg = f"lr must be above 0, got {self.lr}"
            raise InputError(msg)
