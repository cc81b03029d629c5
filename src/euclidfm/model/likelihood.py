"""Objectives: Huber loss, or the likelihood of a Student-t distribution, or of a mixture of Student-t.

The density of a value y with location m, scale s and nu degrees of freedom is (Student 1908; Lange,
Little & Taylor 1989)::

    ln p = ln G((nu + 1)/2) - ln G(nu/2) - ln(nu pi)/2 - ln s - (nu + 1)/2 ln(1 + ((y - m)/s)^2 / nu)

with G the gamma function. The density of a mixture is the weighted sum of its K components' densities (Bishop
1994, "Mixture density networks"); the components share the degrees of freedom of the band. Where the error of
a measurement is known, as of an SED point, it is added to the model's own scale in quadrature. The scale is
then the model's uncertainty about the galaxy, without the measurement's.

Shapes: B galaxies, n tokens, P values of a token, K components.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.model.config import ModelConfig
from euclidfm.model.readout import READOUT
from euclidfm.model.tokens import Tokens

__all__ = ["DegreesOfFreedom", "Distribution", "Mixture", "Objective", "StudentT", "mixture", "student_t"]

SMALLEST_SCALE = 1e-3
"""Smallest scale that a model can predict, in scaled units."""
_SMALLEST_DOF = 2.0
_FIRST_DOF = 10.0
"""Degrees of freedom at the start of training."""


@dataclass
class StudentT:
    """Independent Student-t distributions of the values of tokens, in scaled units."""

    location: Tensor
    """(B, n, P)"""
    scale: Tensor
    """(B, n, P) without measurement errors."""
    dof: Tensor
    """(P,) degrees of freedom."""

    def with_error(self, error: Tensor | None) -> StudentT:
        """With known measurement errors (B, n, P) added to the scale in quadrature."""
        if error is None:
            return self
        return StudentT(self.location, (self.scale.square() + error.square()).sqrt(), self.dof)

    def log_density(self, y: Tensor) -> Tensor:
        """(B, n, P) in nats."""
        half = 0.5 * (self.dof + 1)
        constant = torch.lgamma(half) - torch.lgamma(0.5 * self.dof) - 0.5 * (self.dof * math.pi).log()
        z = (y - self.location) / self.scale
        return constant - self.scale.log() - half * torch.log1p(z.square() / self.dof)

    def entropy(self) -> Tensor:
        """(B, n, P) entropy: the mean of -ln p over the distribution's own draws, in nats.

        Differential entropy of Student's t (Lazo & Rathie 1978).
        """
        nu = self.dof
        half = 0.5 * (nu + 1)
        spread = half * (torch.digamma(half) - torch.digamma(0.5 * nu))
        beta = torch.lgamma(0.5 * nu) + math.lgamma(0.5) - torch.lgamma(half)
        return spread + 0.5 * nu.log() + beta + self.scale.log()

    def draw(self, uniform: Tensor, student: Tensor) -> Tensor:
        """(B, n, P) draws, from draws of a standard Student-t; only mixtures need the uniform numbers."""
        return self.location + self.scale * student


@dataclass
class Mixture:
    """Independent mixtures of the values of tokens, in scaled units."""

    log_weights: Tensor
    """(B, n, P, K) logarithms of the weights, which sum to one."""
    locations: Tensor
    """(B, n, P, K)"""
    scales: Tensor
    """(B, n, P, K) without measurement errors."""
    dof: Tensor
    """(P,) degrees of freedom."""

    @property
    def location(self) -> Tensor:
        """(B, n, P) mean."""
        return (self.log_weights.exp() * self.locations).sum(-1)

    @property
    def scale(self) -> Tensor:
        """(B, n, P) scale: those of the components and their distances from the mean in quadrature."""
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
        """(B, n, P) entropy: the mean of -ln p over the mixture's own draws, in nats.

        There is no closed form. Each component is integrated over its probability with 24 Gauss-Legendre
        nodes.
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
        """(B, n, P) draws, from uniform numbers that choose components and draws of a standard Student-t."""
        edges = self.log_weights.exp().cumsum(-1)
        chosen = (uniform[..., None] > edges[..., :-1]).sum(-1, keepdim=True)
        location, scale = (v.gather(-1, chosen)[..., 0] for v in (self.locations, self.scales))
        return location + scale * student


Distribution = StudentT | Mixture


class DegreesOfFreedom(nn.Module):
    """Degrees of freedom of a modality's values, one number a band: learned, or fixed.

    Parameters
    ----------
    values : int
        Values P of a token.
    bands : int
        Bands in a token, each of which has P / bands values in a row.
    fixed : float
        Degrees of freedom, at least 2; 0: learned.
    """

    def __init__(self, values: int, bands: int = 1, fixed: float = 0.0) -> None:
        super().__init__()
        self.each = values // bands
        start = torch.full((bands,), math.log((fixed or _FIRST_DOF) - _SMALLEST_DOF + 1e-9))
        if fixed:
            self.register_buffer("raw", start, persistent=False)
        else:
            self.raw = nn.Parameter(start)

    def forward(self) -> Tensor:
        """(P,) degrees of freedom, above 2 so that there is a variance."""
        return (_SMALLEST_DOF + self.raw.float().exp()).repeat_interleave(self.each)


def student_t(raw: Tensor, dof: Tensor) -> StudentT:
    """Distributions from the outputs (B, n, 2 P) of a token decoder, with (P,) degrees of freedom."""
    location, width = raw.float().chunk(2, dim=-1)
    return StudentT(location, F.softplus(width) + SMALLEST_SCALE, dof)


def mixture(raw: Tensor, dof: Tensor) -> Mixture:
    """Mixtures from the outputs (B, n, 3 P K) of a token decoder, with (P,) degrees of freedom."""
    parts = raw.float().reshape(*raw.shape[:-1], 3, len(dof), -1)
    weights, locations, widths = parts.unbind(-3)
    return Mixture(F.log_softmax(weights, dim=-1), locations, F.softplus(widths) + SMALLEST_SCALE, dof)


class Objective(nn.Module):
    """What a model's outputs mean, and their loss.

    Parameters
    ----------
    config : ModelConfig
    values : dict of modality to int
        Values P of a token.
    fixed_dof : float
        Degrees of freedom of all distributions; 0: learned.
    """

    def __init__(self, config: ModelConfig, values: Mapping[str, int], fixed_dof: float = 0.0) -> None:
        super().__init__()
        self.has_likelihood = config.objective == "likelihood"
        self.make = mixture if config.likelihood == "mixture" else student_t
        bands = {m.name: len(m.bands) for m in config.images}
        names = values if self.has_likelihood else {}
        dof = {n: DegreesOfFreedom(values[n], bands.get(n, 1), fixed_dof) for n in names}
        self.degrees_of_freedom = nn.ModuleDict(dof)

    def distribution(self, modality: str, outputs: Tensor) -> Distribution:
        """Distributions of a modality's values from the outputs (B, n, 2 P or 3 P K) of its decoder."""
        return self.make(outputs, self.degrees_of_freedom[modality]())

    def distributions(self, predictions: Mapping[str, Tensor], tokens: Tokens) -> dict[str, Distribution]:
        """Distributions of the *measured* values of tokens, with their known errors."""
        return {m: self.distribution(m, p).with_error(tokens[m].error) for m, p in predictions.items()}

    def loss_sums(
        self, predictions: Mapping[str, Tensor], tokens: Tokens
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Loss of each modality: the weighted sum over its values, and the sum of weights.

        Huber loss, or negative log-likelihood in nats, where errors widen the distribution and are no
        weights.
        """
        out, counts = {}, self.loss_counts(tokens)
        for name, t in tokens.items():
            if self.has_likelihood and name != READOUT:
                d = self.distribution(name, predictions[name]).with_error(t.error)
                value = -(d.log_density(t.target) * (t.weight > 0).float()).sum()
            else:
                value = (F.huber_loss(predictions[name].float(), t.target, reduction="none") * t.weight).sum()
            out[name] = (value, counts[name])
        return out

    def loss_counts(self, tokens: Tokens) -> dict[str, Tensor]:
        """Sum of the weights of each modality's values; with the likelihood, their number."""
        counted = self.has_likelihood
        return {
            m: ((t.weight > 0).float() if counted and m != READOUT else t.weight).sum()
            for m, t in tokens.items()
        }
