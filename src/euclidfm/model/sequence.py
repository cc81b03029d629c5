"""The chain: modalities one after the other, in any order, whatever is missing.

Every token of every modality has a fixed *slot*: first the begin-of-modality tokens (if the model has
them), then the tokens of each modality in turn (S slots in all). A galaxy's sequence is a permutation of its
valid slots; invalid ones go to the end, where causal attention never looks at them. So galaxies
with different modalities share a batch without an attention mask.

Shapes: B galaxies, S slots, T <= S positions, M modalities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from euclidfm.model.tokenizer import Tokens

__all__ = ["Chain", "chain", "every", "random_orders"]


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

    @property
    def lengths(self) -> Tensor:
        """(B,) positions that each galaxy fills."""
        return self.valid.sum(dim=1)

    def both_ways(self, prefix: Tensor) -> Tensor:
        """(B, 1, T, T) bool: which position sees which, when the first `prefix` (B,) see each other."""
        t = self.slots.shape[1]
        place = torch.arange(t, device=self.slots.device)
        causal = place[:, None] >= place
        return (causal | (place < prefix[:, None, None]))[:, None]


def chain(
    tokens: Tokens,
    order: Tensor | None = None,
    shuffle: dict[str, Tensor] | None = None,
    begin: bool = True,
) -> Chain:
    """Lay out a batch of galaxies.

    Parameters
    ----------
    tokens : Tokens
    order : (B, M) Tensor, optional
        Rank of each modality in the chain of each galaxy; default the order of `tokens`.
    shuffle : dict of modality to (B, n) Tensor, optional
        Rank of each token within its modality; default the order of the tokens.
    begin : bool
        Whether each modality starts with a begin token.
    """
    names = list(tokens)
    first = tokens[names[0]].valid
    b, m, device = first.shape[0], len(names), first.device
    if order is None:
        order = torch.arange(m, device=device).expand(b, m)
    spans, start = {}, m if begin else 0
    for name in names:
        n = tokens[name].valid.shape[1]
        spans[name] = slice(start, start + n)
        start += n
    longest = max(t.valid.shape[1] for t in tokens.values()) + 1
    begins = [torch.stack([tokens[n].valid.any(dim=1) for n in names], dim=1)] if begin else []
    valid = torch.cat([*begins, *(tokens[n].valid for n in names)], dim=1)
    keys = [order * longest] if begin else []  # a begin token stands before its modality's tokens
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


def every(tokens: Tokens, part: int, parts: int) -> dict[str, Tensor]:
    """(B, n) bool for each modality: one of `parts` interleaved parts of its tokens, to be hidden."""
    out = {}
    for name, t in tokens.items():
        b, n = t.valid.shape
        out[name] = (torch.arange(n, device=t.valid.device) % parts == part).expand(b, n)
    return out


def random_orders(tokens: Tokens, seed: int, shuffle: tuple[str, ...] = ("SED",)) -> dict[str, Any]:
    """Arguments ``order`` and ``shuffle`` of `chain`, drawn as pre-training in random order draws them.

    A model is calibrated in the orders that it was trained in: one trained in random order is read so.

    Parameters
    ----------
    tokens : Tokens
    seed : int
    shuffle : tuple of str
        Modalities whose tokens are in random order too.
    """
    generator = torch.Generator().manual_seed(seed)

    def ranks(b: int, n: int, device: torch.device) -> Tensor:
        return torch.rand(b, n, generator=generator).argsort(1).to(device)

    valid = {m: t.valid for m, t in tokens.items()}
    first = next(iter(valid.values()))
    order = ranks(len(first), len(tokens), first.device)
    inside = {m: ranks(v.shape[0], v.shape[1], v.device) for m, v in valid.items() if m in shuffle}
    return {"order": order, "shuffle": inside}
