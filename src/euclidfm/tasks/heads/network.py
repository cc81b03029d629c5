"""Training of the small networks: early stopping on a held-out fifth.

Shapes: n galaxies, d features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["Training", "arrays_of", "networks_of", "train"]


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of the training of one network by AdamW with a one-cycle rate."""

    rate: float
    """Highest learning rate."""
    decay: float
    """Weight decay."""
    batch: int
    """Largest batch; small sets use an eighth of their galaxies, but at least 16."""
    epochs: int
    """Largest number of passes, unless `steps` needs more."""
    steps: int
    """Smallest number of gradient steps."""
    clip: float = float("inf")
    """Largest norm of the gradient."""


def train(
    make: Callable[[], nn.Module],
    loss_of: Callable[[Any, torch.Tensor], torch.Tensor],
    X: np.ndarray,
    t: np.ndarray,
    how: Training,
    rng: np.random.Generator,
    seed: int,
) -> nn.Module:
    """Train a network on four fifths of the galaxies; keep the weights that are best on the other fifth.

    Parameters
    ----------
    make : callable
        Makes the network.
    loss_of : callable
        Mean loss from the network's output and the targets.
    X : (n, d) array
    t : (n,) array
        Floats, or integers for classes.
    how : Training
    rng : Generator
        Draws the held-out galaxies and the batches.
    seed : int
        Seed of the initial weights and of dropout.
    """
    order = rng.permutation(len(X))
    held_out, learnt = np.split(order, [max(1, len(X) // 5)])
    x = torch.from_numpy(X.astype(np.float32))
    y = torch.from_numpy(t if t.dtype.kind == "i" else t.astype(np.float32))
    batch = min(how.batch, max(16, len(learnt) // 8))
    per_epoch = max(1, len(learnt) // batch)
    epochs = max(how.epochs, -(-how.steps // per_epoch))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make()
        optimiser = torch.optim.AdamW(net.parameters(), lr=how.rate, weight_decay=how.decay, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=how.rate, total_steps=epochs * per_epoch, pct_start=0.2
        )
        best, kept = float("inf"), _weights(net)
        for _ in range(epochs):
            net.train()
            shuffled = rng.permutation(learnt)
            for b in range(per_epoch):
                rows = shuffled[b * batch : (b + 1) * batch]
                _step(net, optimiser, loss_of(net(x[rows]), y[rows]), how.clip)
                schedule.step()
            net.eval()
            with torch.no_grad():
                score = float(loss_of(net(x[held_out]), y[held_out]))
            if score < best:
                best, kept = score, _weights(net)
        net.load_state_dict(kept)
    return net.eval()


def _step(net: nn.Module, optimiser: torch.optim.Optimizer, loss: torch.Tensor, clip: float) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if np.isfinite(clip):
        nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimiser.step()


def _weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in net.state_dict().items()}


def arrays_of(networks: list[nn.Module]) -> dict[str, np.ndarray]:
    """Weights of an ensemble by name, ``<number>.<weight>``."""
    return {f"{i}.{k}": v.numpy() for i, net in enumerate(networks) for k, v in net.state_dict().items()}


def networks_of(
    make: Callable[[], nn.Module], arrays: Mapping[str, np.ndarray], count: int
) -> list[nn.Module]:
    """Inverse of `arrays_of`."""
    networks = []
    for i in range(count):
        own = {k.split(".", 1)[1]: v for k, v in arrays.items() if k.startswith(f"{i}.")}
        net = make()
        net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in own.items()})
        networks.append(net.eval())
    return networks
