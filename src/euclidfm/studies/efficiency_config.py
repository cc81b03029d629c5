"""Settings of the label-efficiency study."""

from __future__ import annotations

from dataclasses import dataclass, field

from euclidfm.tasks.baselines.cnn import CNNConfig
from euclidfm.tasks.baselines.resnet import ResNetConfig
from euclidfm.tasks.finetune.config import FineTuneConfig

__all__ = ["ALL_FRACTIONS", "EfficiencyConfig"]

ALL_FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5, 0.8, 1.0)
"""Fractions of the labels in the reference work."""


@dataclass(frozen=True, kw_only=True)
class EfficiencyConfig:
    """Settings of the label-efficiency study."""

    tasks: tuple[str, ...] = ("photoz", "mass", "morphology")
    """Tasks, by the names of `euclidfm.tasks.registry.get`; a task without labels in the store is skipped."""
    fractions: tuple[float, ...] = ALL_FRACTIONS
    """Fractions of the labelled training galaxies."""
    methods: tuple[str, ...] = (
        "probe",
        "probe-auto",
        "probe-mlp",
        "cnn",
        "booster",
        "colours-ridge",
        "knn-photometry",
        "photometry-probe",
        "photometry-auto",
    )
    """Methods. One whose inputs the store lacks is skipped; ``METHOD@INPUTS`` uses those inputs only."""
    repeats: int = 1
    """Repeats, each with its own subset and initialisation."""
    slow_repeats: tuple[tuple[float, int], ...] = ()
    """Fewer repeats of the slow methods: pairs (from this fraction on, number of repeats), such as
    ``((0.2, 3), (0.8, 1))``."""
    image_inputs: tuple[str, ...] = ()
    """Images of the methods on pixels, such as ``("VIS", "VIS+NISP")``; default all of VIS, Y, J, H that the
    store has."""
    cnn: CNNConfig = field(default_factory=CNNConfig)
    """Training of the CNNs."""
    resnet: ResNetConfig = field(default_factory=ResNetConfig)
    """Training of the residual network, on the same pixels as the CNN."""
    run: str | None = None
    """Run folder of the model that made the embeddings; without it ``finetune`` and ``finetune-lora`` are
    skipped. The names of the embeddings give the modalities that the model sees (``VIS+NISP``)."""
    finetune: FineTuneConfig = field(default_factory=FineTuneConfig)
    """Fine-tuning."""
    resamples: int = 500
    """Bootstrap samples of the test galaxies."""
    seed: int = 0
    """Seed of the first repeat; the next ones count up."""
    workers: int = 1
    """Processes that share the fits. Each uses one thread, so that results do not depend on their number."""
