"""The chain: modalities one after the other, in any order, whatever is missing.

Every token of every modality has a fixed *slot*: first the begin-of-modality tokens, then the
tokens of each modality in turn (S slots in all). A galaxy's sequence is a permutation of its
valid slots; invalid ones go to the end, where causal attention never looks at them. So galaxies
with different modalities share a batch without an attention mask.

Shapes: B galaxies, S slots, T <= S positions, M modalities.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from euclidfm.model.tokens import Tokens

__all__ = ["Chain", "chain"]


@dataclass
class Chain:
    """Where each slot stands in each galaxy's sequence."""

    slots: Tensor
    """(B, T) slot at each position."""
    positions: Tensor
    """(B, S) position of each slot (meaningless for invalid ones)."""
    valid: Tensor
    """(B, S) bool: the slot exists."""
    spans: dict[str, slice]
    """Slots of each modality's tokens (its begin token not included)."""


def chain(tokens: Tokens, order: Tensor | None = None, shuffle: dict[str, Tensor] | None = None) -> Chain:
    """Lay out a batch of galaxies.

    Parameters
    ----------
    tokens : Tokens
    order : (B, M) Tensor, optional
        Rank of each modality in the chain of each galaxy; default the order of `tokens`.
    shuffle : dict of modality to (B, n) Tensor, optional
        Rank of each token within its modality; default the order of the tokens.
    """
    names = list(tokens)
    first = tokens[names[0]].valid
    b, m, device = first.shape[0], len(names), first.device
    if order is None:
        order = torch.arange(m, device=device).expand(b, m)
    spans, start = {}, m
    for name in names:
        n = tokens[name].valid.shape[1]
        spans[name] = slice(start, start + n)
        start += n
    longest = max(t.valid.shape[1] for t in tokens.values()) + 1
    begins = torch.stack([tokens[n].valid.any(dim=1) for n in names], dim=1)
    valid = torch.cat([begins, *(tokens[n].valid for n in names)], dim=1)
    keys = [order * longest]  # a begin token stands before its modality's tokens
    for i, name in enumerate(names):
        n = tokens[name].valid.shape[1]
        rank = torch.arange(n, device=device).expand(b, n)
        if shuffle is not None and name in shuffle:
            rank = shuffle[name]
        keys.append(order[:, i : i + 1] * longest + rank + 1)
    key = torch.cat(keys, dim=1).masked_fill(~valid, m * longest + longest)
    slots = key.argsort(dim=1, stable=True)
    positions = torch.empty_like(slots).scatter_(
        1, slots, torch.arange(start, device=device).expand(b, start)
    )
    length = max(1, int(valid.sum(dim=1).max()))
    return Chain(slots=slots[:, :length], positions=positions, valid=valid, spans=spans)
