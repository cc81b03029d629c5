"""A mixture-density network: the distribution of the truth around a point prediction.

Shapes: n galaxies, d features, K components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from euclidfm.tasks.heads.base import one_torch_thread
from euclidfm.tasks.heads.network import Training, arrays_of, networks_of, train

__all__ = ["MixtureConfig", "MixtureDensityNetwork"]


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Shape and training of the network."""

    components: int = 5
    """Gaussians K."""
    hidden: int = 64
    """Width of the two hidden layers."""
    ensemble: int = 3
    """Networks; each is stopped early on a different fifth of the galaxies, and densities are averaged."""
    epochs: int = 40
    """Largest number of passes over the galaxies."""
    steps: int = 400
    """Smallest number of gradient steps."""
    floor: float = 0.002
    """Weight of a broad Gaussian that is always added, so that no value has zero density."""


class MixtureDensityNetwork:
    """p(t | x) = (1 - floor) sum_k w_k N(t; m_k, s_k) + floor N(t; 0, broad), t scaled.

    See Bishop 1994. Targets are scaled to zero median and unit robust width. The components start with
    different positions and widths; none may be narrower than 0.02 of the robust width.

    Parameters
    ----------
    config : MixtureConfig
    seed : int
    """

    def __init__(self, config: MixtureConfig | None = None, seed: int = 0) -> None:
        self.config, self.seed = config or MixtureConfig(), seed
        self.networks: list[nn.Module] = []
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

    def _fit_one(self, X: np.ndarray, t: np.ndarray, seed: int) -> nn.Module:
        c = self.config
        how = Training(rate=3e-3, decay=0.02, batch=256, epochs=c.epochs, steps=c.steps, clip=5.0)
        return train(self._net, self._loss, X, t, how, np.random.default_rng([seed, 11]), seed)

    def _net(self) -> nn.Module:
        return _Net(self.features, self.config.hidden, self.config.components)

    def _loss(self, out: tuple[torch.Tensor, ...], t: torch.Tensor) -> torch.Tensor:
        return -self._log_density(out, t).mean()

    def _log_density(self, out: tuple[torch.Tensor, ...], t: torch.Tensor) -> torch.Tensor:
        log_w, m, log_s = out
        parts = log_w - 0.5 * ((t[:, None] - m) / log_s.exp()) ** 2 - log_s - 0.918939
        floor = -0.5 * (t / self.broad) ** 2 - np.log(self.broad) - 0.918939 + np.log(self.config.floor)
        return torch.logaddexp(torch.logsumexp(parts, dim=1) + np.log1p(-self.config.floor), floor)

    def density(self, X: np.ndarray, t: np.ndarray) -> np.ndarray:
        """p(t | x) of each galaxy, at a grid of its own.

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
        scales = {k: getattr(self, k) for k in ("centre", "width", "broad", "features")}
        return arrays_of(self.networks), {"config": dict(self.config.__dict__), **scales}

    def restore(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> None:
        """Inverse of `state`."""
        settings = dict(settings)
        self.config = MixtureConfig(**settings.pop("config"))
        for k, v in settings.items():
            setattr(self, k, v)
        self.networks = networks_of(self._net, arrays, self.config.ensemble)


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
