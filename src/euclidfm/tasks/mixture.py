"""A mixture-density network: the spread of the truth around a point prediction.

Shapes: n galaxies, d features, K components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from euclidfm.tasks.heads.base import one_torch_thread

__all__ = ["Mixture", "MixtureConfig"]


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Shape and training of the network."""

    components: int = 5
    """Gaussians K."""
    hidden: int = 64
    """Width of the two hidden layers."""
    ensemble: int = 3
    """Networks, each early-stopped on a different fifth of the galaxies; densities are averaged."""
    epochs: int = 40
    """Passes at most."""
    steps: int = 400
    """Gradient steps at least."""
    floor: float = 0.002
    """Weight of a broad Gaussian that is always there: no truth is ever impossible."""


class Mixture:
    """p(t | x) = (1 - floor) sum_k w_k N(t; m_k, s_k) + floor N(t; 0, broad), t scaled.

    Bishop 1994. Targets are scaled to zero median and unit robust width; components start spread
    in position and width and may not be narrower than 0.02 of that width.

    Parameters
    ----------
    config : MixtureConfig
    seed : int
    """

    def __init__(self, config: MixtureConfig | None = None, seed: int = 0) -> None:
        self.config, self.seed = config or MixtureConfig(), seed
        self.networks: list[_Net] = []
        self.centre, self.width, self.broad, self.features = 0.0, 1.0, 10.0, 0

    def fit(self, X: np.ndarray, t: np.ndarray) -> None:
        """Learn from (n, d) features and (n,) targets."""
        self.features = X.shape[1]
        self.centre = float(np.median(t))
        self.width = float(1.4826 * np.median(np.abs(t - self.centre))) or float(np.std(t)) or 1.0
        scaled = (t - self.centre) / self.width
        self.broad = float(max(5.0, 1.5 * np.abs(scaled).max(initial=0.0)))
        with one_torch_thread():
            self.networks = [
                self._fit_one(X, scaled, 1000 * self.seed + i) for i in range(self.config.ensemble)
            ]

    def _fit_one(self, X: np.ndarray, t: np.ndarray, seed: int) -> _Net:
        c = self.config
        rng = np.random.default_rng([seed, 11])
        order = rng.permutation(len(X))
        held = max(1, len(X) // 5)
        left, train = order[:held], order[held:]
        x, y = torch.from_numpy(X.astype(np.float32)), torch.from_numpy(t.astype(np.float32))
        batch = min(256, max(16, len(train) // 8))
        per_epoch = max(1, len(train) // batch)
        epochs = max(c.epochs, -(-c.steps // per_epoch))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = _Net(self.features, c.hidden, c.components)
            optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02, fused=True)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, max_lr=3e-3, total_steps=epochs * per_epoch, pct_start=0.2
            )
            best, kept = float("inf"), {k: v.clone() for k, v in net.state_dict().items()}
            for _ in range(epochs):
                net.train()
                shuffled = rng.permutation(train)
                for b in range(per_epoch):
                    rows = shuffled[b * batch : (b + 1) * batch]
                    loss = -self._log_density(net(x[rows]), y[rows]).mean()
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(net.parameters(), 5.0)
                    optimiser.step()
                    schedule.step()
                net.eval()
                with torch.no_grad():
                    score = -float(self._log_density(net(x[left]), y[left]).mean())
                if score < best:
                    best, kept = score, {k: v.clone() for k, v in net.state_dict().items()}
            net.load_state_dict(kept)
        return net.eval()

    def _log_density(self, out: tuple[torch.Tensor, ...], t: torch.Tensor) -> torch.Tensor:
        log_w, m, log_s = out
        parts = log_w - 0.5 * ((t[:, None] - m) / log_s.exp()) ** 2 - log_s - 0.918939
        floor = -0.5 * (t / self.broad) ** 2 - np.log(self.broad) - 0.918939 + np.log(self.config.floor)
        return torch.logaddexp(torch.logsumexp(parts, dim=1) + np.log1p(-self.config.floor), floor)

    def density(self, X: np.ndarray, t: np.ndarray) -> np.ndarray:
        """p(t | x) of each galaxy at its own points.

        Parameters
        ----------
        X : (n, d) array
        t : (n, G) array

        Returns
        -------
        (n, G) array
        """
        u = ((t - self.centre) / self.width)[:, :, None]
        total = np.zeros(t.shape)
        with one_torch_thread(), torch.no_grad():
            x = torch.from_numpy(X.astype(np.float32))
            for net in self.networks:
                log_w, m, log_s = (a.double().numpy()[:, None, :] for a in net(x))
                for k in range(self.config.components):
                    s = np.exp(log_s[..., k])
                    total += np.exp(log_w[..., k] - 0.5 * ((u[..., 0] - m[..., k]) / s) ** 2) / s
        total *= (1 - self.config.floor) / (len(self.networks) * np.sqrt(2 * np.pi))
        total += (
            self.config.floor
            * np.exp(-0.5 * (u[..., 0] / self.broad) ** 2)
            / (self.broad * np.sqrt(2 * np.pi))
        )
        return np.asarray(total / self.width)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and settings."""
        arrays = {
            f"{i}.{k}": v.numpy() for i, n in enumerate(self.networks) for k, v in n.state_dict().items()
        }
        scales = {k: getattr(self, k) for k in ("centre", "width", "broad", "features")}
        return arrays, {"config": dict(self.config.__dict__), **scales}

    def restore(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> None:
        """Inverse of `state`."""
        settings = dict(settings)
        self.config = MixtureConfig(**settings.pop("config"))
        for k, v in settings.items():
            setattr(self, k, v)
        self.networks = []
        for i in range(self.config.ensemble):
            net = _Net(self.features, self.config.hidden, self.config.components)
            own = {k.split(".", 1)[1]: v for k, v in arrays.items() if k.startswith(f"{i}.")}
            net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in own.items()})
            self.networks.append(net.eval())


class _Net(nn.Module):
    def __init__(self, features: int, hidden: int, components: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(features, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, hidden), nn.GELU()
        )
        self.out = nn.Linear(hidden, 3 * components)
        spread = torch.arange(components) / max(components - 1, 1)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.copy_(torch.cat([-1.5 * spread, torch.zeros(components), 2.0 * spread - 0.7]))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        w, m, s = self.out(self.body(x)).chunk(3, dim=1)
        return w.log_softmax(dim=1), m, s.clamp(np.log(0.02), 5.0)
