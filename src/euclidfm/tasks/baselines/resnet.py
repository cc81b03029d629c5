"""A stronger supervised baseline: a small residual network with augmentation and early stopping.

The network has a stem of stride 2, stages of 32, 64 and 128 channels with one residual block each (group
normalisation, GELU), mean and maximum pooling, and dropout. It is trained by AdamW with a one-cycle rate on
rotated, reflected and shifted cutouts. Training stops early on a fifth of the labelled galaxies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from euclidfm.tasks.heads.base import one_torch_thread

__all__ = ["ResNetConfig", "augment", "resnet"]


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """Training of the residual network."""

    epochs: int = 30
    """Largest number of passes over the labelled galaxies."""
    minimum_steps: int = 300
    """Smallest number of gradient steps, unless training stops early."""
    batch: int = 32
    learning_rate: float = 2e-3
    shift: int = 2
    """Largest shift of the augmentation, in pixels."""
    patience: int = 8
    """Epochs without improvement after which training stops."""


def resnet(
    config: ResNetConfig,
    images: np.ndarray,
    y: np.ndarray,
    test: np.ndarray,
    classes: int = 0,
    seed: int = 0,
) -> np.ndarray:
    """Train on (n, B, S, S) images and predict for the test images.

    Parameters and result are those of `euclidfm.tasks.baselines.cnn.cnn`. Predictions are the mean over the
    eight symmetries (D4) of each cutout.
    """
    centre, spread = (0.0, 1.0) if classes else (float(np.mean(y)), float(np.std(y)) or 1.0)
    target = torch.from_numpy(y.astype(np.int64) if classes else ((y - centre) / spread).astype(np.float32))
    with one_torch_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _train(config, images, target, classes, np.random.default_rng([seed, 17]))
        out = _predict(net, test, classes)
    return np.asarray(out) if classes else np.asarray(out[:, 0] * spread + centre)


def _train(
    config: ResNetConfig, images: np.ndarray, target: torch.Tensor, classes: int, rng: np.random.Generator
) -> nn.Module:
    """The network of smallest loss on a held-out fifth of the galaxies."""
    order = rng.permutation(len(target))
    held_out, train = np.split(order, [max(2, len(target) // 5)])
    batch = min(config.batch, len(train))
    per_epoch = max(1, len(train) // batch)
    epochs = max(config.epochs, -(-config.minimum_steps // per_epoch))
    patience = max(config.patience, epochs // 4)
    net = _Net(images.shape[1], classes or 1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=config.learning_rate, total_steps=max(epochs * per_epoch, 10), pct_start=0.2
    )
    best, since, kept = float("inf"), 0, _weights(net)
    for _ in range(epochs):
        net.train()
        shuffled = rng.permutation(train)
        for b in range(per_epoch):
            rows = shuffled[b * batch : (b + 1) * batch]
            loss = _loss(net(_tensor(augment(images[rows], rng, config.shift))), target[rows], classes)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            schedule.step()
        score = _score(net, images, target, held_out, classes)
        if score < best:
            best, since, kept = score, 0, _weights(net)
        else:
            since += 1
            if since >= patience:
                break
    net.load_state_dict(kept)
    return net.eval()


def _weights(net: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in net.state_dict().items()}


@torch.no_grad()
def _score(
    net: nn.Module, images: np.ndarray, target: torch.Tensor, held_out: np.ndarray, classes: int
) -> float:
    net.eval()
    out = torch.cat([net(_tensor(images[r])) for r in _chunks(held_out)])
    return float(_loss(out, target[held_out], classes))


@torch.no_grad()
def _predict(net: nn.Module, test: np.ndarray, classes: int) -> np.ndarray:
    """(m, C) mean over the eight symmetries of each image."""
    outs = []
    for rows in _chunks(np.arange(len(test))):
        views = [net(_tensor(v)) for v in _eight(test[rows])]
        views = [v.softmax(dim=1) for v in views] if classes else views
        outs.append(torch.stack(views).mean(dim=0))
    return torch.cat(outs).double().numpy() if outs else np.empty((0, classes or 1))


def augment(images: np.ndarray, rng: np.random.Generator, shift: int) -> np.ndarray:
    """Each image rotated, reflected and shifted at random, all bands together; edges become zero."""
    out = np.empty_like(images)
    size = images.shape[-1]
    for i, image in enumerate(images):
        rotated = np.rot90(image, int(rng.integers(4)), axes=(1, 2))
        if rng.random() < 0.5:
            rotated = rotated[:, :, ::-1]
        dy, dx = rng.integers(-shift, shift + 1, 2) if shift else (0, 0)
        padded = np.pad(rotated, ((0, 0), (shift, shift), (shift, shift)))
        out[i] = padded[:, shift + dy : shift + dy + size, shift + dx : shift + dx + size]
    return out


def _eight(images: np.ndarray) -> list[np.ndarray]:
    rotated = [np.rot90(images, k, axes=(2, 3)) for k in range(4)]
    return rotated + [r[..., ::-1] for r in rotated]


def _chunks(rows: np.ndarray, size: int = 128) -> list[np.ndarray]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _loss(out: torch.Tensor, t: torch.Tensor, classes: int) -> torch.Tensor:
    if classes:
        return nn.functional.cross_entropy(out, t)
    return nn.functional.huber_loss(out[:, 0], t, delta=0.5)


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images, np.float32)).to(memory_format=torch.channels_last)


class _Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.curved = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(8, after),
            nn.GELU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.GroupNorm(8, after),
        )
        self.straight = nn.Conv2d(before, after, 1, stride=2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(self.curved(x) + self.straight(x))


class _Net(nn.Module):
    def __init__(self, bands: int, out: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(bands, 32, 5, stride=2, padding=2), nn.GELU())
        self.stages = nn.Sequential(_Block(32, 32), _Block(32, 64), _Block(64, 128))
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(256, out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stages(self.stem(x))
        return self.head(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))
