"""A mixture of Student-t distributions for each value of a token: more than one peak, or a skewed one.

The density of a value is the weighted sum of its K components' densities (Bishop 1994, "Mixture density
networks"); the components share the degrees of freedom of the band.

Shapes: B galaxies, n tokens, P values of a token, K components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor
from torch.nn import functional as F

from euclidfm.model.likelihood import SMALLEST_SCALE, StudentT

__all__ = ["Mixture", "mixture"]


@dataclass
class Mixture:
    """Independent mixtures of the values of tokens, in scaled units."""

    log_weights: Tensor
    """(B, n, P, K) logarithms of the weights, which sum to one."""
    locations: Tensor
    """(B, n, P, K)"""
    scales: Tensor
    """(B, n, P, K) the model's own."""
    dof: Tensor
    """(P,) degrees of freedom."""

    @property
    def location(self) -> Tensor:
        """(B, n, P) mean."""
        return (self.log_weights.exp() * self.locations).sum(-1)

    @property
    def scale(self) -> Tensor:
        """(B, n, P) scale of the whole: those of the components and their distances in quadrature."""
        apart = (self.locations - self.location[..., None]).square()
        return (self.log_weights.exp() * (self.scales.square() + apart)).sum(-1).sqrt()

    def with_error(self, error: Tensor | None) -> Mixture:
        """With known measurement errors (B, n, P) added to each component's scale in quadrature."""
        if error is None:
            return self
        scales = (self.scales.square() + error.square()[..., None]).sqrt()
        return Mixture(self.log_weights, self.locations, scales, self.dof)

    def log_density(self, y: Tensor) -> Tensor:
        """(B, n, P) in nats."""
        each = StudentT(self.locations, self.scales, self.dof[:, None]).log_density(y[..., None])
        return torch.logsumexp(self.log_weights + each, dim=-1)

    def entropy(self) -> Tensor:
        """(B, n, P) mean of -ln p over what the mixture itself would draw, in nats.

        There is no closed form: each component is summed at 24 Gauss-Legendre nodes of its probability.
        """
        nodes, shares = np.polynomial.legendre.leggauss(24)
        weights = self.log_weights.exp()
        total = torch.zeros_like(weights[..., 0])
        nu = self.dof.detach().cpu().numpy()
        for node, share in zip(nodes, shares, strict=True):
            z = torch.from_numpy(np.asarray(stdtrit(nu, (node + 1) / 2), np.float32)).to(self.dof)
            for k in range(weights.shape[-1]):
                y = self.locations[..., k] + self.scales[..., k] * z
                total = total - weights[..., k] * share / 2 * self.log_density(y)
        return total

    def draw(self, uniform: Tensor, student: Tensor) -> Tensor:
        """(B, n, P) draws from uniform numbers, which choose components, and standard Student-t ones."""
        edges = self.log_weights.exp().cumsum(-1)
        chosen = (uniform[..., None] > edges[..., :-1]).sum(-1, keepdim=True)
        location, scale = (v.gather(-1, chosen)[..., 0] for v in (self.locations, self.scales))
        return location + scale * student


def mixture(raw: Tensor, dof: Tensor) -> Mixture:
    """The mixtures that a predictor's (B, n, 3 P K) numbers say, with (P,) degrees of freedom."""
    parts = raw.float().reshape(*raw.shape[:-1], 3, len(dof), -1)
    weights, locations, widths = parts.unbind(-3)
    return Mixture(F.log_softmax(weights, dim=-1), locations, F.softplus(widths) + SMALLEST_SCALE, dof)
