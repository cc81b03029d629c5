"""The supervised CNN of the reference work, in torch: the baseline of its claims.

Two 3x3 convolutions (32 and 64 channels), each with ReLU and 2x2 max-pooling, a dense layer
of 128, one output; 10 epochs of Adam. ``docs/protocol.md`` lists the differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from euclidfm.tasks.heads.base import one_torch_thread

__all__ = ["CNNConfig", "cnn"]


@dataclass(frozen=True, kw_only=True)
class CNNConfig:
    """Training of the supervised CNN."""

    epochs: int = 10
    """Passes over the labelled galaxies."""
    minimum_steps: int = 100
    """Smallest number of gradient steps: with few labels, 10 epochs would be too few steps for a fair
    baseline."""
    batch: int = 32
    learning_rate: float = 1e-3
    normalise: str = "asinh"
    """``asinh`` keeps the fluxes; ``max`` divides each image by its maximum, as the reference does."""
    size: int = 0
    """Central crop in pixels; 0 for the full cutout."""


def cnn(
    config: CNNConfig, images: np.ndarray, y: np.ndarray, test: np.ndarray, classes: int = 0, seed: int = 0
) -> np.ndarray:
    """Train on (n, B, S, S) images and predict for the test images.

    Parameters
    ----------
    config : CNNConfig
    images, test : (n, B, S, S) and (m, B, S, S) float16 arrays
    y : (n,) targets, or class numbers
    classes : int
        0 for a regressor.
    seed : int
        Initial weights and batches.

    Returns
    -------
    (m,) values or (m, C) probabilities
    """
    rng = np.random.default_rng(seed)
    centre, spread = (0.0, 1.0) if classes else (float(np.mean(y)), float(np.std(y)) or 1.0)
    target = torch.from_numpy(y.astype(np.int64) if classes else ((y - centre) / spread).astype(np.float32))
    batch = min(config.batch, len(y))
    per_epoch = -(-len(y) // batch)
    epochs = max(config.epochs, -(-config.minimum_steps // per_epoch))
    with one_torch_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _Net(images.shape[1], images.shape[2], classes or 1)
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.Adam(net.parameters(), lr=config.learning_rate)
        for _ in range(epochs):
            shuffled = rng.permutation(len(y))
            for b in range(per_epoch):
                rows = shuffled[b * batch : (b + 1) * batch]
                out = net(_tensor(images[rows]))
                t = target[rows]
                loss = (
                    nn.functional.cross_entropy(out, t) if classes else nn.functional.mse_loss(out[:, 0], t)
                )
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    outs = []
    with one_torch_thread(), torch.no_grad():
        for start in range(0, len(test), 256):
            outs.append(net(_tensor(test[start : start + 256])))
    out = torch.cat(outs).double() if outs else torch.empty((0, classes or 1), dtype=torch.double)
    if classes:
        return np.asarray(out.softmax(dim=1).numpy())
    return np.asarray(out[:, 0].numpy() * spread + centre)


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float32)).to(memory_format=torch.channels_last)


class _Net(nn.Module):
    def __init__(self, bands: int, size: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(bands, 32, 3, padding=1),
            nn.MaxPool2d(2),  # before the ReLU: the same result with a quarter of the work
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * (size // 4) ** 2, 128),
            nn.ReLU(),
            nn.Linear(128, out),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)
