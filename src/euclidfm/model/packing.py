"""Galaxies of different lengths without their padding.

The tokens that exist are put behind one another, (N, D), for everything that treats each token alone: norms
and linear layers. Only attention needs galaxies side by side; it takes them in at most four groups of similar
length, each padded to its own longest. The groups follow from the lengths alone and change nothing but
rounding, so that runs repeat and resume exactly, and no batch waits for another.

Shapes: B galaxies, T positions, N tokens that exist, D width, H heads, R galaxies of a group, L its longest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Packing", "groups", "pack"]

_FULL = 0.95
_GROUPS = 4


@dataclass
class _Group:
    start: int
    stop: int
    galaxies: int
    longest: int
    place: Tensor | None
    """Where each of its tokens goes among R L places; None: they fill them all."""
    attn_mask: Tensor | None
    """(R, 1, L, L) which position attends to which; None: causal."""


@dataclass
class Packing:
    """Where the tokens of a batch are when there is no padding."""

    at: Tensor
    """(N,) place of each token among the B T of the padded batch."""
    shape: tuple[int, int]
    """B, T."""
    parts: list[_Group]

    def pack(self, x: Tensor) -> Tensor:
        """(B, T, ...) to (N, ...)."""
        return x.flatten(0, 1).index_select(0, self.at)

    def unpack(self, x: Tensor) -> Tensor:
        """(N, ...) to (B, T, ...), zeros where there is no token."""
        b, t = self.shape
        out = x.new_zeros(b * t, *x.shape[1:]).index_copy(0, self.at, x)
        return out.unflatten(0, (b, t))  # type: ignore[no-untyped-call]

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attention: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor],
    ) -> Tensor:
        """Attention, group by group: (N, H, D/H) each to (N, H, D/H).

        `attention` takes (R, H, L, D/H) each, and which position attends to which, (R, 1, L, L) or None.
        """
        qkv = torch.stack([q, k, v], dim=1)  # (N, 3, H, D/H)
        out = []
        for g in self.parts:
            own = qkv[g.start : g.stop]
            if g.place is not None:
                own = own.new_zeros(g.galaxies * g.longest, *own.shape[1:]).index_copy(0, g.place, own)
            side = own.view(g.galaxies, g.longest, *own.shape[1:]).permute(2, 0, 3, 1, 4)
            mixed = attention(side[0], side[1], side[2], g.attn_mask).transpose(1, 2).flatten(0, 1)
            out.append(mixed if g.place is None else mixed.index_select(0, g.place))
        return torch.cat(out)


def pack(lengths: Tensor, longest: int, attn_mask: Tensor | None = None) -> Packing | None:
    """How to pack a batch, or None if it has hardly any padding.

    Parameters
    ----------
    lengths : (B,) Tensor
        Positions that each galaxy fills, the first ones.
    longest : int
        Positions T of the padded batch.
    attn_mask : (B, 1, T, T) bool Tensor, optional
        Which position attends to which; default causal.
    """
    n = lengths.cpu().numpy()
    if n.sum() >= _FULL * len(n) * longest or not n.sum():
        return None
    order = np.argsort(n, kind="stable")
    order = order[n[order] > 0]
    sorted_n = n[order]
    device = lengths.device
    at = np.concatenate([row * longest + np.arange(n[row]) for row in order])
    edges = np.concatenate([[0], np.cumsum(sorted_n)])
    parts = []
    for first, last in groups(sorted_n):
        rows, size = order[first:last], int(sorted_n[last - 1])
        place = None
        if sorted_n[first] < size:
            each = sorted_n[first:last]
            inside = np.arange(edges[last] - edges[first]) - np.repeat(edges[first:last] - edges[first], each)
            place = torch.from_numpy(np.repeat(np.arange(last - first), each) * size + inside).to(device)
        own = None if attn_mask is None else attn_mask[torch.from_numpy(rows).to(device), :, :size, :size]
        parts.append(_Group(int(edges[first]), int(edges[last]), last - first, size, place, own))
    return Packing(torch.from_numpy(at).to(device), (len(n), longest), parts)


def groups(lengths: np.ndarray, most: int = _GROUPS) -> list[tuple[int, int]]:
    """Ranges of galaxies, sorted by length, whose attention costs least when each is padded to its longest.

    The cost of a group of R galaxies, the longest of L tokens, is R L^2; found by dynamic programming over
    the different lengths.
    """
    sizes, first = np.unique(lengths, return_index=True)
    edge = np.append(first, len(lengths)).astype(np.int64)  # group i to j: galaxies edge[i] to edge[j]
    u = len(sizes)
    cost = (edge[None, 1:] - edge[:-1, None]) * sizes[None, :].astype(np.float64) ** 2  # (i, j - 1)
    cost[np.tril_indices(u, -1)] = np.inf
    best, cut = np.full((most + 1, u + 1), np.inf), np.zeros((most + 1, u + 1), np.int64)
    best[0, 0] = 0.0
    for g in range(1, most + 1):
        total = best[g - 1, :-1, None] + cost
        best[g, 1:], cut[g, 1:] = total.min(0), total.argmin(0)
    g, j = int(best[:, u].argmin()), u
    out = []
    while j:
        i = int(cut[g, j])
        out.append((int(edge[i]), int(edge[j])))
        g, j = g - 1, i
    return out[::-1]
