"""Fine-tuning: the upper blocks of a pre-trained model learn a task together with a linear head.

The head starts as a linear one on the frozen embedding, so that learning starts from good predictions
(Kumar et al. 2022, arXiv:2202.10054: a random head would distort the features first). It is penalised more
strongly than the probe: the probe also reads directions in which the embedding hardly varies, with weights
so large that any step of the blocks would throw its predictions about. Once the blocks have learnt, the
probe is fitted anew to what they make of the galaxies. A part of the labelled galaxies decides when to
stop, whether that probe or the head that learnt along is better, and whether either gains over the frozen
probe: else the result is the frozen probe itself.

Shapes: n galaxies, d = M D numbers of the joint embedding, C outputs (classes, or one value).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.tasks.finetune.activations import Hidden, pooled
from euclidfm.tasks.finetune.linear import LinearStart
from euclidfm.tasks.finetune.lora import add_lora, merge_lora
from euclidfm.tasks.heads.base import one_torch_thread
from euclidfm.tasks.heads.ridge import HUBER

__all__ = ["FineTuneConfig", "Tuned", "fine_tune", "first_block"]

_CHUNK = 128
_EVALUATIONS = 12
_PATIENCE = 6
"""Evaluations in a row without a gain after which learning stops."""


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """How a model is fine-tuned."""

    adapt: Literal["full", "lora"] = "full"
    """All weights of the trained blocks, or low-rank updates beside their linear layers."""
    layers: int = 2
    """Blocks that are trained, from the one that is embedded downwards; those below stay as they are."""
    max_steps: int = 300
    """Gradient steps, whatever the number of labels."""
    batch: int = 32
    """Galaxies a step."""
    learning_rate: float = 3e-5
    """Peak rate of the uppermost block."""
    lora_learning_rate: float = 3e-4
    """The same with `adapt: lora`, whose few weights take larger steps."""
    head_learning_rate: float = 1e-4
    """Peak rate of the head, on standardised features, in units of the probe's scatter."""
    decay: float = 0.7
    """Factor of the rate from a block to the one below."""
    weight_decay: float = 0.01
    """Of AdamW, on the blocks; the head is pulled to nothing."""
    rank: int = 8
    """Rank of the low-rank updates."""
    alpha: float = 16.0
    """They are scaled by alpha / rank."""
    held: float = 0.2
    """Share of the labelled galaxies that decides when to stop."""
    views: int = 4
    """Symmetries of the square in which a galaxy is shown, at most (1 to 8)."""
    states: int = 4000
    """Turned galaxies are added up to about so many states, which bounds the cost with many labels."""


@dataclass
class Tuned:
    """A fine-tuned top of a model."""

    blocks: nn.ModuleList
    """The trained blocks, ordinary ones."""
    head: LinearStart
    improved: bool
    """Whether fine-tuning won on the held-out galaxies; else this is the frozen probe."""
    losses: list[tuple[int, float]]
    """Held-out loss of the head that learns along, by step."""
    frozen: float = float("nan")
    """Held-out loss of the frozen probe of the other labels."""
    final: float = float("nan")
    """The same of the better head on the tuned blocks, if that improved."""

    def predict(self, hidden: Hidden, rows: np.ndarray) -> np.ndarray:
        """(n, C) values or logits of prepared galaxies."""
        return self.head(hidden.vectors(rows, self.blocks))


def first_block(model_layer: int, layers: int) -> int:
    """Blocks below the trained ones.

    Raises
    ------
    InputError
        If there are fewer blocks than are to be trained.
    """
    if not 1 <= layers <= model_layer:
        msg = f"layers must be from 1 to the {model_layer} blocks that the embedding passes, got {layers}"
        raise InputError(msg)
    return model_layer - layers


def fine_tune(
    config: FineTuneConfig,
    hidden: Hidden,
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
    hidden : Hidden
        States below the trained blocks; what is missing is computed.
    rows : (n,) array of int
        Labelled galaxies, rows of the store.
    y : (n,) array
        Targets on the scale on which they are learnt, or class numbers.
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
    _check(config)
    model = hidden.model
    start = first_block(model.config.layer, config.layers)
    if hidden.start != start:
        msg = f"the states enter block {hidden.start}, {config.layers} trained blocks need block {start}"
        raise InputError(msg)
    original = model.transformer.blocks[start : model.config.layer]
    typical = model.typical[model.config.layer - 1].detach()
    hidden.prepare(rows)
    with one_torch_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        X = hidden.vectors(rows)
        parts = len(model.config.modalities)
        probe = LinearStart.fit(X, y, classes, seed, parts)
        rng = np.random.default_rng([seed, 23])
        order = rng.permutation(len(y))
        left = order[: max(2, round(config.held * len(y)))]
        train = order[len(left) :]
        if len(train) < 5 or len(np.unique(y[train])) < 2:  # nothing to learn more from
            return Tuned(copy.deepcopy(original), probe, False, [])
        frozen = LinearStart.fit(X[train], y[train], classes, seed, parts)
        begin = LinearStart.fit(X[train], y[train], classes, seed, parts, gentle=True)
        training = _Training(config, hidden, original, typical, begin, rows, y, classes)
        if not classes:
            residual = np.abs(frozen(X[left])[:, 0] - y[left])
            training.width = max(1.4826 * float(np.median(residual)), 1e-6)
        blocks, along, losses = training.run(train, left, rng, progress)
        hidden.forget_turned()
        V = hidden.vectors(rows, blocks)
        anew = LinearStart.fit(V[train], y[train], classes, seed, parts)
        before, *after = (training.losses(h(v[left]), left) for h, v in ((frozen, X), (along, V), (anew, V)))
    better = int(after[1].mean() < after[0].mean())
    gain = before - after[better]
    if not gain.mean() > gain.std() / np.sqrt(len(gain)):
        return Tuned(copy.deepcopy(original), probe, False, losses, float(before.mean()))
    head = LinearStart.fit(V, y, classes, seed, parts) if better else along
    return Tuned(blocks, head, True, losses, float(before.mean()), float(after[better].mean()))


class _Training:
    def __init__(
        self,
        config: FineTuneConfig,
        hidden: Hidden,
        original: nn.ModuleList,
        typical: Tensor,
        begin: LinearStart,
        rows: np.ndarray,
        y: np.ndarray,
        classes: int,
    ) -> None:
        self.config, self.hidden, self.typical, self.classes = config, hidden, typical, classes
        self.rows, self.begin = rows, begin
        self.blocks = copy.deepcopy(original).requires_grad_(True)
        if config.adapt == "lora":
            add_lora(self.blocks, config.rank, config.alpha)
        self.mean = torch.from_numpy(begin.scaler.mean).float()
        self.scale = torch.from_numpy(begin.scaler.scale).float()
        self.weights = torch.from_numpy(begin.weights).float()
        self.bias = torch.from_numpy(begin.bias).float()
        self.change = nn.Parameter(torch.zeros_like(self.weights))
        self.shift = nn.Parameter(torch.zeros_like(self.bias))
        self.target = torch.from_numpy(y.astype(np.int64) if classes else y.astype(np.float32))
        self.width = 1.0
        """Scatter of the frozen probe, the unit of residuals."""

    def run(
        self, train: np.ndarray, left: np.ndarray, rng: np.random.Generator, progress: Progress
    ) -> tuple[nn.ModuleList, LinearStart, list[tuple[int, float]]]:
        """Train; the blocks and the head of least held-out loss, and that loss by step."""
        c = self.config
        views = int(np.clip(c.states // len(train), 1, c.views))
        turns = [rng.permutation(7)[: views - 1] + 1 for _ in train]
        shown = [(int(r), int(t)) for r, own in zip(train, turns, strict=True) for t in (0, *own)]
        pairs = np.array(shown)
        self.hidden.prepare(self.rows[pairs[:, 0]], pairs[:, 1])
        optimiser, schedule = self._optimiser()
        kept, losses = self._state(), [(0, self._held_out(left))]
        best, since = losses[0][1], 0
        batch = min(c.batch, len(pairs))
        queue: np.ndarray = np.empty(0, int)
        every = max(1, c.max_steps // _EVALUATIONS)
        for step in range(1, c.max_steps + 1):
            if len(queue) < batch:
                queue = np.concatenate([queue, rng.permutation(len(pairs))])
            chosen, queue = pairs[queue[:batch]], queue[batch:]
            out = self._forward(chosen[:, 0], chosen[:, 1])
            loss = self._each(out, chosen[:, 0]).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 1.0)
            optimiser.step()
            schedule.step()
            if step % every == 0 or step == c.max_steps:
                now = self._held_out(left)
                losses.append((step, now))
                since += 1
                if now < best:
                    best, kept, since = now, self._state(), 0
            progress(step, c.max_steps, f"held-out loss {losses[-1][1]:.4f}")
            if since == _PATIENCE:
                break
        self._restore(kept)
        merge_lora(self.blocks)
        blocks: nn.ModuleList = self.blocks.requires_grad_(False)
        change, shift = (self.width * p.detach().double().numpy() for p in (self.change, self.shift))
        return (
            blocks,
            LinearStart(self.begin.scaler, self.begin.weights + change, self.begin.bias + shift),
            losses,
        )

    def losses(self, outputs: np.ndarray, picked: np.ndarray) -> np.ndarray:
        """(n,) loss of (n, C) values or logits."""
        return self._each(torch.from_numpy(outputs).float(), picked).numpy()

    def _forward(self, picked: np.ndarray, turns: np.ndarray | None = None) -> Tensor:
        e = pooled(self.blocks, self.hidden.batch(self.rows[picked], turns), self.typical)
        features = (e - self.mean) / self.scale
        weights, bias = self.weights + self.width * self.change, self.bias + self.width * self.shift
        return features @ weights + bias

    def _each(self, out: Tensor, picked: np.ndarray) -> Tensor:
        """(n,) loss of each galaxy; residuals in units of the probe's own scatter."""
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


def _check(c: FineTuneConfig) -> None:
    for name in ("max_steps", "batch", "rank", "layers"):
        if getattr(c, name) < 1:
            msg = f"{name} must be at least 1, got {getattr(c, name)}"
            raise InputError(msg)
    if c.adapt not in ("full", "lora"):
        msg = f"adapt must be full or lora, got {c.adapt!r}"
        raise InputError(msg)
    if not 0.0 < c.held < 1.0 or not 1 <= c.views <= 8:
        msg = f"held must be between 0 and 1 and views from 1 to 8, got {c.held:g} and {c.views}"
        raise InputError(msg)
