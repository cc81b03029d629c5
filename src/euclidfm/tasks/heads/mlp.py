"""A small multilayer perceptron on the features, with early stopping."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from euclidfm.tasks.heads.base import one_torch_thread
from euclidfm.tasks.heads.network import Training, arrays_of, networks_of, train

__all__ = ["MLPHead"]


class MLPHead:
    """Mean of a few perceptrons with a linear shortcut.

    A network is ``y = W x + MLP(x)`` with hidden layers of 128 and 64, GELU and dropout 0.1. It is trained by
    AdamW with a one-cycle rate on a Huber loss (delta = 0.3 sigma of the target) or on cross-entropy. Each of
    the `ensemble` networks holds out a different fifth of the training galaxies and keeps the weights of its
    best epoch there.

    Parameters
    ----------
    classes : int
        0 for a regressor.
    seed : int
        Initial weights, batches and the held-out galaxies.
    ensemble : int
    epochs : int
        Largest number of passes over the data, unless `steps` asks for more.
    steps : int
        Smallest number of gradient steps.
    """

    def __init__(
        self, classes: int = 0, seed: int = 0, ensemble: int = 3, epochs: int = 40, steps: int = 300
    ) -> None:
        self.classes, self.seed = classes, seed
        self.ensemble, self.epochs, self.steps = ensemble, epochs, steps
        self.networks: list[nn.Module] = []
        self.centre, self.spread, self.width = 0.0, 1.0, 0

    def fit(self, X: np.ndarray, y: np.ndarray) -> None:
        """Learn from (n, d) scaled features and (n,) targets."""
        self.width = X.shape[1]
        if not self.classes:
            self.centre, self.spread = float(np.median(y)), float(np.std(y)) or 1.0
        with one_torch_thread():
            self.networks = [self._fit_one(X, y, self.seed * 1000 + i) for i in range(self.ensemble)]

    def _fit_one(self, X: np.ndarray, y: np.ndarray, seed: int) -> nn.Module:
        how = Training(rate=2e-3, decay=0.05, batch=128, epochs=self.epochs, steps=self.steps)
        t = y.astype(np.int64) if self.classes else self._scaled(y)
        return train(self._net, self._loss, X, t, how, np.random.default_rng(seed), seed)

    def _net(self) -> nn.Module:
        return _Net(self.width, self.classes or 1)

    def _scaled(self, y: np.ndarray) -> np.ndarray:
        return ((y - self.centre) / self.spread).astype(np.float32)

    def _loss(self, out: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        if self.classes:
            return nn.functional.cross_entropy(out, t)
        return nn.functional.huber_loss(out[:, 0], t, delta=0.3)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(n,) values or (n, C) probabilities, the mean over the networks."""
        x = torch.from_numpy(X.astype(np.float32))
        with one_torch_thread(), torch.no_grad():
            outs = [net(x) for net in self.networks]
        if self.classes:
            return np.asarray(torch.stack([o.softmax(dim=1) for o in outs]).mean(dim=0).double())
        mean = torch.stack([o[:, 0] for o in outs]).mean(dim=0).double().numpy()
        return np.asarray(mean * self.spread + self.centre)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and settings."""
        keys = ("classes", "centre", "spread", "width", "ensemble")
        return arrays_of(self.networks), {k: getattr(self, k) for k in keys}

    def restore(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> None:
        """Inverse of `state`."""
        for k, v in settings.items():
            setattr(self, k, v)
        self.networks = networks_of(self._net, arrays, self.ensemble)


class _Net(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.shortcut = nn.Linear(width, out)
        self.curved = nn.Sequential(
            nn.Linear(width, 128),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(128, 64),
            nn.GELU(),
            nn.Linear(64, out),
        )
        nn.init.zeros_(self.shortcut.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shortcut(x) + self.curved(x)
