"""Training loop of fine-tuning: blocks and head together, with early stopping on held-out galaxies.

Shapes: n galaxies, d = M D numbers of the joint embedding, C outputs (classes, or one value).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.core.progress import Progress
from euclidfm.tasks.finetune.activations import ActivationCache
from euclidfm.tasks.finetune.config import FineTuneConfig
from euclidfm.tasks.finetune.linear import LinearStart
from euclidfm.tasks.finetune.lora import add_lora, merge_lora
from euclidfm.tasks.heads.ridge import HUBER

__all__ = ["JointTraining"]

_CHUNK = 128
_EVALUATIONS = 12
_PATIENCE = 6
"""Evaluations in a row without improvement after which training stops."""


class JointTraining:
    """Blocks and a linear head that are trained together.

    Parameters
    ----------
    config : FineTuneConfig
    cache : ActivationCache
        Activations below the trained blocks.
    start : LinearStart
        The head at the start.
    rows : (n,) array of int
        Labelled galaxies, rows of the store.
    y : (n,) array
        Targets on the learnt scale, or class numbers.
    classes : int
        0 for a regression.
    width : float
        Scatter of the frozen probe, the unit of residuals.
    """

    def __init__(
        self,
        config: FineTuneConfig,
        cache: ActivationCache,
        start: LinearStart,
        rows: np.ndarray,
        y: np.ndarray,
        classes: int,
        width: float = 1.0,
    ) -> None:
        self.config, self.cache, self.rows, self.classes, self.width = config, cache, rows, classes, width
        model = cache.model
        original = model.transformer.blocks[cache.start : model.config.layer]
        self.blocks = copy.deepcopy(original).requires_grad_(True)
        if config.adapt == "lora":
            add_lora(self.blocks, config.rank, config.alpha)
        self.start = start
        self.mean = torch.from_numpy(start.scaler.mean).float()
        self.scale = torch.from_numpy(start.scaler.scale).float()
        self.weights = torch.from_numpy(start.weights).float()
        self.bias = torch.from_numpy(start.bias).float()
        self.change = nn.Parameter(torch.zeros_like(self.weights))
        self.shift = nn.Parameter(torch.zeros_like(self.bias))
        self.target = torch.from_numpy(y.astype(np.int64) if classes else y.astype(np.float32))

    def run(
        self, train: np.ndarray, held_out: np.ndarray, rng: np.random.Generator, progress: Progress
    ) -> tuple[nn.ModuleList, LinearStart, list[tuple[int, float]]]:
        """Train.

        Parameters
        ----------
        train, held_out : arrays of int
            Positions in `rows` of the galaxies to learn from and of the held-out ones.
        rng : numpy Generator
            Draws symmetries and batches.
        progress : callable
            Counts steps.

        Returns
        -------
        blocks, head
            Those with the smallest held-out loss.
        losses : list of (step, loss)
            Held-out loss by step.
        """
        steps, pairs = self.config.max_steps, self._pairs(train, rng)
        self.cache.prepare(self.rows[pairs[:, 0]], pairs[:, 1])
        optimiser, schedule = self._optimiser()
        kept, losses = self._state(), [(0, self._held_out(held_out))]
        best, since, every = losses[0][1], 0, max(1, steps // _EVALUATIONS)
        for step, chosen in enumerate(self._batches(pairs, rng), 1):
            self._step(optimiser, chosen)
            schedule.step()
            if step % every == 0 or step == steps:
                now = self._held_out(held_out)
                losses.append((step, now))
                since += 1
                if now < best:
                    best, kept, since = now, self._state(), 0
            progress(step, steps, f"held-out loss {losses[-1][1]:.4f}")
            if since == _PATIENCE:
                break
        self._restore(kept)
        merge_lora(self.blocks)
        blocks: nn.ModuleList = self.blocks.requires_grad_(False)
        change, shift = (self.width * p.detach().double().numpy() for p in (self.change, self.shift))
        head = LinearStart(self.start.scaler, self.start.weights + change, self.start.bias + shift)
        return blocks, head, losses

    def losses(self, outputs: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """(n,) loss of (n, C) values or logits."""
        return self._each(torch.from_numpy(outputs).float(), picked).numpy()

    def _pairs(self, train: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(p, 2) galaxy and symmetry of everything that is shown."""
        c = self.config
        views = int(np.clip(c.states // len(train), 1, c.views))
        symmetries = [rng.permutation(7)[: views - 1] + 1 for _ in train]
        shown = [(int(r), int(t)) for r, own in zip(train, symmetries, strict=True) for t in (0, *own)]
        return np.array(shown)

    def _batches(self, pairs: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """One batch of pairs per step, in random order without replacement."""
        batch = min(self.config.batch, len(pairs))
        queue: np.ndarray = np.empty(0, int)
        for _ in range(self.config.max_steps):
            if len(queue) < batch:
                queue = np.concatenate([queue, rng.permutation(len(pairs))])
            yield pairs[queue[:batch]]
            queue = queue[batch:]

    def _step(self, optimiser: torch.optim.Optimizer, chosen: np.ndarray) -> None:
        out = self._forward(chosen[:, 0], chosen[:, 1])
        loss = self._each(out, chosen[:, 0]).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 1.0)
        optimiser.step()

    def _forward(self, picked: np.ndarray, symmetries: np.ndarray | None = None) -> Tensor:
        e = self.cache.pooled(self.rows[picked], symmetries, self.blocks)
        features = (e - self.mean) / self.scale
        weights, bias = self.weights + self.width * self.change, self.bias + self.width * self.shift
        return features @ weights + bias

    def _each(self, out: Tensor, picked: np.ndarray) -> Tensor:
        """(n,) loss of each galaxy; residuals in units of `width`."""
        target = self.target[torch.from_numpy(picked)]
        if self.classes:
            return F.cross_entropy(out, target, reduction="none")
        return F.huber_loss(out[:, 0] / self.width, target / self.width, reduction="none", delta=HUBER)

    @torch.no_grad()
    def _held_out(self, picked: np.ndarray) -> float:
        out = torch.cat([self._forward(picked[i : i + _CHUNK]) for i in range(0, len(picked), _CHUNK)])
        return float(self._each(out, picked).mean())

    def _optimiser(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        c = self.config
        rate = c.learning_rate if c.adapt == "full" else c.lora_learning_rate
        groups = [{"params": [self.change, self.shift], "lr": c.head_learning_rate, "weight_decay": 0.0}]
        for depth, block in enumerate(reversed(self.blocks)):
            trained = [p for p in block.parameters() if p.requires_grad]
            own = rate * c.decay**depth
            groups.append({"params": trained, "lr": own, "weight_decay": c.weight_decay})
        optimiser = torch.optim.AdamW(groups)
        rates = [float(g["lr"]) for g in optimiser.param_groups]
        # one cycle of the rate (Smith & Topin 2018, arXiv:1708.07120)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=rates, total_steps=c.max_steps + 1, pct_start=0.2
        )
        return optimiser, schedule

    def _state(self) -> list[Tensor]:
        return [p.detach().clone() for p in self._parameters()]

    def _restore(self, kept: list[Tensor]) -> None:
        with torch.no_grad():
            for p, value in zip(self._parameters(), kept, strict=True):
                p.copy_(value)

    def _parameters(self) -> list[nn.Parameter]:
        return [self.change, self.shift, *self.blocks.parameters()]
