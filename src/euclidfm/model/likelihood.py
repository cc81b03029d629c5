"""What the model says about a token: a location, or a Student-t distribution of each of its values.

The density of a value y with location m, scale s and nu degrees of freedom is (Student 1908; Lange,
Little & Taylor 1989)::

    ln p = ln G((nu + 1)/2) - ln G(nu/2) - ln(nu pi)/2 - ln s - (nu + 1)/2 ln(1 + ((y - m)/s)^2 / nu)

with G the gamma function. Where the error of a measurement is known, as of an SED point, it is added to
the model's own scale in quadrature, so that the scale says how well the model knows the galaxy, and the
density how well it foresaw the measurement.

Shapes: B galaxies, n tokens, P values of a token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SMALLEST_SCALE", "StudentT", "Tails", "split"]

SMALLEST_SCALE = 1e-3
"""Smallest scale that a model can say, in scaled units."""
_SMALLEST_DOF = 2.0


@dataclass
class StudentT:
    """Independent Student-t distributions of the values of tokens, in scaled units."""

    location: Tensor
    """(B, n, P)"""
    scale: Tensor
    """(B, n, P) the model's own."""
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
        """(B, n, P) mean of -ln p over what the distribution itself would draw, in nats.

        Differential entropy of Student's t (Lazo & Rathie 1978).
        """
        nu = self.dof
        half = 0.5 * (nu + 1)
        spread = half * (torch.digamma(half) - torch.digamma(0.5 * nu))
        beta = torch.lgamma(0.5 * nu) + math.lgamma(0.5) - torch.lgamma(half)
        return spread + 0.5 * nu.log() + beta + self.scale.log()

    def draw(self, uniform: Tensor, student: Tensor) -> Tensor:
        """(B, n, P) draws from those of a standard Student-t; the uniform numbers are for mixtures."""
        return self.location + self.scale * student


class Tails(nn.Module):
    """Degrees of freedom of a modality's values: fixed, or one learned number a band.

    Parameters
    ----------
    values : int
        Values P of a token.
    bands : int
        Bands that share them out, each P / bands in a row.
    dof : float
        Degrees of freedom, at least 2; 0: learned, from 10.
    """

    def __init__(self, values: int, bands: int = 1, dof: float = 0.0) -> None:
        super().__init__()
        self.each = values // bands
        start = torch.full((bands,), math.log((dof or 10.0) - _SMALLEST_DOF + 1e-9))
        if dof:
            self.register_buffer("raw", start, persistent=False)
        else:
            self.raw = nn.Parameter(start)

    def forward(self) -> Tensor:
        """(P,) degrees of freedom, above 2 so that there is a variance."""
        return (_SMALLEST_DOF + self.raw.float().exp()).repeat_interleave(self.each)


def split(raw: Tensor, dof: Tensor) -> StudentT:
    """The distribution that a predictor's (B, n, 2 P) numbers say, with (P,) degrees of freedom."""
    location, width = raw.float().chunk(2, dim=-1)
    return StudentT(location, F.softplus(width) + SMALLEST_SCALE, dof)
