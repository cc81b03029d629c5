"""Tokens of a batch of galaxies, by modality.

Shapes: B galaxies, n tokens of a modality, P values of a token, F input features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["ModalityTokens", "Tokens", "drop_modalities", "take_rows", "vector_tokens"]


@dataclass
class ModalityTokens:
    """Tokens of one modality for a batch of galaxies."""

    features: Tensor
    """(B, n, F) input of the model: scaled values, masks, depths and errors."""
    target: Tensor
    """(B, n, P) scaled values that the model predicts."""
    weight: Tensor
    """(B, n, P) weight of each value in the loss; 0 where masked or not measured."""
    valid: Tensor
    """(B, n) bool: the token exists."""
    coords: Tensor
    """(n, 3) position: x and y in arcsec from the centre, ln(wavelength / 1 micron)."""
    error: Tensor | None = None
    """(B, n, P) known error of the target, 0 if unknown. None: the target has no errors."""

    def to(self, device: torch.device) -> ModalityTokens:
        """Move to a device."""
        moved = {k: None if v is None else v.to(device, non_blocking=True) for k, v in self.__dict__.items()}
        return ModalityTokens(**moved)  # type: ignore[arg-type]

    def take(self, rows: slice) -> ModalityTokens:
        """Tokens of some of the galaxies."""
        each = {k: v[rows] for k, v in self.__dict__.items() if v is not None and k != "coords"}
        return replace(self, **each)


Tokens = dict[str, ModalityTokens]
"""Tokens by modality, in the default order of the sequence."""


def vector_tokens(values: Tensor, coords: Tensor) -> ModalityTokens:
    """Tokens of plain values (B, n, P), NaN where missing, at coordinates (n, C)."""
    usable = values.isfinite()
    plain = values.masked_fill(~usable, 0.0)
    return ModalityTokens(plain, plain, usable.float(), usable.any(dim=-1), coords)


def take_rows(tokens: Tokens, rows: slice) -> Tokens:
    """Tokens of some of the galaxies."""
    return {m: t.take(rows) for m, t in tokens.items()}


def drop_modalities(tokens: Tokens, keep: tuple[str, ...]) -> Tokens:
    """The same tokens with all modalities but `keep` marked absent."""
    return {
        m: t if m in keep else replace(t, valid=torch.zeros_like(t.valid), weight=torch.zeros_like(t.weight))
        for m, t in tokens.items()
    }
