"""Fine-tuning: the upper blocks of a pre-trained model learn a task together with a linear head.

The head starts as a linear probe of the frozen embedding, so that training starts from good predictions
(Kumar et al. 2022, arXiv:2202.10054: a random head would first distort the features). This temporary head is
strongly regularised. The ordinary probe also reads directions in which the embedding hardly varies, with such
large weights that training diverged. After training, the ordinary probe is refitted to the tuned embedding.
Held-out galaxies decide when to stop and which of the two heads is better. If neither is better than the
probe of the frozen embedding, that probe is the result.

Shapes: n galaxies, d = M D numbers of the joint embedding, C outputs (classes, or one value).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.tasks.finetune.activations import ActivationCache
from euclidfm.tasks.finetune.config import FineTuneConfig, check_config, first_block
from euclidfm.tasks.finetune.linear import LinearStart
from euclidfm.tasks.finetune.loop import JointTraining
from euclidfm.tasks.heads.base import one_torch_thread

__all__ = ["FineTuneConfig", "Tuned", "fine_tune"]


@dataclass
class Tuned:
    """The fine-tuned upper blocks of a model, with their head."""

    blocks: nn.ModuleList
    """The trained blocks, with any low-rank updates merged."""
    head: LinearStart
    improved: bool
    """Whether fine-tuning was better on the held-out galaxies; otherwise this is the frozen probe."""
    losses: list[tuple[int, float]]
    """Held-out loss of the jointly trained head, by step."""
    frozen: float = float("nan")
    """Held-out loss of a probe of the frozen embedding."""
    final: float = float("nan")
    """Held-out loss of the better head on the tuned blocks, if fine-tuning improved."""

    def predict(self, cache: ActivationCache, rows: np.ndarray) -> np.ndarray:
        """(n, C) values or logits of prepared galaxies."""
        return self.head(cache.vectors(rows, self.blocks))


def fine_tune(
    config: FineTuneConfig,
    cache: ActivationCache,
    rows: np.ndarray,
    y: np.ndarray,
    classes: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> Tuned:
    """Fine-tune on labelled galaxies.

    Parameters
    ----------
    config : FineTuneConfig
    cache : ActivationCache
        Activations below the trained blocks. Missing ones are computed.
    rows : (n,) array of int
        Labelled galaxies, rows of the store.
    y : (n,) array
        Targets on the learnt scale, or class numbers.
    classes : int
        0 for a regression.
    seed : int
    progress : callable, optional
        Counts steps.

    Raises
    ------
    InputError
        If settings are out of range.
    """
    check_config(config)
    start = first_block(cache.model.config.layer, config.layers)
    if cache.start != start:
        msg = f"the states enter block {cache.start}, {config.layers} trained blocks need block {start}"
        raise InputError(msg)
    cache.prepare(rows)
    with one_torch_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _fine_tune(config, cache, rows, y, classes, seed, progress)


def _fine_tune(
    config: FineTuneConfig,
    cache: ActivationCache,
    rows: np.ndarray,
    y: np.ndarray,
    classes: int,
    seed: int,
    progress: Progress,
) -> Tuned:
    parts = len(cache.model.config.modalities)

    def probe(X: np.ndarray, of: np.ndarray, strong: bool = False) -> LinearStart:
        return LinearStart.fit(X[of], y[of], classes, seed, parts, strong)

    X, everyone = cache.vectors(rows), np.arange(len(y))
    rng = np.random.default_rng([seed, 23])
    order = rng.permutation(len(y))
    held_out = order[: max(2, round(config.holdout * len(y)))]
    train = order[len(held_out) :]
    if len(train) < 5 or len(np.unique(y[train])) < 2:  # too few to fine-tune on
        return Tuned(_original(cache), probe(X, everyone), False, [])
    frozen = probe(X, train)
    width = 1.0 if classes else _robust_width(frozen(X[held_out])[:, 0] - y[held_out])
    training = JointTraining(config, cache, probe(X, train, strong=True), rows, y, classes, width)
    blocks, joint, losses = training.run(train, held_out, rng, progress)
    cache.forget_symmetries()
    V = cache.vectors(rows, blocks)
    before, *after = (
        training.losses(head(v[held_out]), held_out)
        for head, v in ((frozen, X), (joint, V), (probe(V, train), V))
    )
    better = int(after[1].mean() < after[0].mean())
    gain = before - after[better]
    if not gain.mean() > gain.std() / np.sqrt(len(gain)):
        return Tuned(_original(cache), probe(X, everyone), False, losses, float(before.mean()))
    head = probe(V, everyone) if better else joint
    return Tuned(blocks, head, True, losses, float(before.mean()), float(after[better].mean()))


def _robust_width(residual: np.ndarray) -> float:
    return max(1.4826 * float(np.median(np.abs(residual))), 1e-6)


def _original(cache: ActivationCache) -> nn.ModuleList:
    """A copy of the model's own upper blocks."""
    model = cache.model
    return copy.deepcopy(model.transformer.blocks[cache.start : model.config.layer])
