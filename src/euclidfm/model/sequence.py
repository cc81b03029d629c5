"""A galaxy as a sequence of tokens: order, attention mask, positional encoding, whatever is missing.

Every token of every modality has a fixed *slot*: first the begin-of-modality tokens (if the model has them),
then the tokens of each modality in turn. A galaxy's sequence is a permutation of its valid slots; invalid
ones go to the end, where causal attention never looks. So galaxies with different modalities share a batch
without an attention mask.

Shapes: B galaxies, S slots, T <= S positions, M modalities, n tokens of a modality, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from euclidfm.model.packing import Packing
from euclidfm.model.tokens import Tokens

__all__ = [
    "Batch",
    "ModalityEmbedding",
    "PositionalEncoding",
    "RotaryEncoding",
    "TokenSequence",
    "arrange",
    "every_nth",
    "random_orders",
]


@dataclass
class TokenSequence:
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

    def attention_mask(self, prefix: Tensor) -> Tensor:
        """(B, 1, T, T) bool: causal, but bidirectional among the first `prefix` (B,) positions."""
        t = self.slots.shape[1]
        position = torch.arange(t, device=self.slots.device)
        causal = position[:, None] >= position
        return (causal | (position < prefix[:, None, None]))[:, None]


@dataclass
class Batch:
    """Galaxies on their way through the transformer."""

    x: Tensor
    """(B, T, D) states."""
    sequence: TokenSequence
    attn_mask: Tensor | None = None
    """(B, 1, T, T) bool: which position attends to which. None: causal."""
    angles: Tensor | None = None
    """(B, T, 2, D/2H) cosines and sines of rotary positions."""
    packing: Packing | None = None
    """How to skip the padding, if there is much."""
    layer: int = 0
    """Blocks that the states have passed."""

    def at(self, positions: slice) -> Batch:
        """Some of the positions, for reading a sequence in pieces with a key-value cache."""
        mask = None if self.attn_mask is None else self.attn_mask[:, :, positions, : positions.stop]
        angles = None if self.angles is None else self.angles[:, positions]
        return replace(self, x=self.x[:, positions], attn_mask=mask, angles=angles)

    def by_modality(self) -> dict[str, tuple[Tensor, Tensor]]:
        """States (B, n, D) of each modality's tokens, in float32, and which of them exist (B, n)."""
        s = self.sequence
        at = s.positions.clamp(max=self.x.shape[1] - 1)[..., None].expand(-1, -1, self.x.shape[-1])
        by_slot = self.x.float().gather(1, at)
        return {name: (by_slot[:, span], s.valid[:, span]) for name, span in s.spans.items()}


def arrange(
    tokens: Tokens,
    order: Tensor | None = None,
    shuffle: dict[str, Tensor] | None = None,
    begin: bool = True,
) -> TokenSequence:
    """Put the tokens of a batch of galaxies in order.

    Parameters
    ----------
    tokens : Tokens
    order : (B, M) Tensor, optional
        Rank of each modality in the sequence of each galaxy; default the order of `tokens`.
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
    return TokenSequence(slots=slots[:, :length], positions=positions, valid=valid, spans=spans)


def every_nth(tokens: Tokens, part: int, parts: int) -> dict[str, Tensor]:
    """(B, n) bool for each modality: one of `parts` interleaved parts of its tokens, to be masked."""
    out = {}
    for name, t in tokens.items():
        b, n = t.valid.shape
        out[name] = (torch.arange(n, device=t.valid.device) % parts == part).expand(b, n)
    return out


def random_orders(tokens: Tokens, seed: int, shuffle: tuple[str, ...] = ("SED",)) -> dict[str, Any]:
    """Arguments ``order`` and ``shuffle`` of `arrange`, drawn as pre-training in random order draws them.

    A model is calibrated in the orders that it was trained in.

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


class ModalityEmbedding(nn.Module):
    """A vector for each modality's begin token, for its tokens, and for each scalar.

    Parameters
    ----------
    modalities : int
    width : int
    begin : bool
        Whether the sequence has begin tokens.
    named : dict of modality to int, optional
        Modalities whose tokens have names and no coordinates, and how many they are.
    """

    def __init__(
        self, modalities: int, width: int, begin: bool = True, named: Mapping[str, int] | None = None
    ) -> None:
        super().__init__()
        self.begin = nn.Parameter(torch.randn(modalities, width) * 0.02) if begin else None
        self.modality = nn.Parameter(torch.randn(modalities, width) * 0.02)
        self._make_coordinates(width)
        vectors = {m: nn.Parameter(torch.randn(n, width) * 0.02) for m, n in (named or {}).items()}
        self.names = nn.ParameterDict(vectors)

    def _make_coordinates(self, width: int) -> None:
        """Make what encodes the coordinates; nothing here."""

    def forward(self, coords: dict[str, Tensor]) -> Tensor:
        """(S, D) from the (n, 3) coordinates of each modality."""
        parts: list[Tensor] = [] if self.begin is None else [self.begin[: len(coords)]]
        for i, (name, c) in enumerate(coords.items()):
            vector = self.encode(i, c)
            parts.append(vector + self.names[name] if name in self.names else vector)
        return torch.cat(parts)

    def encode(self, i: int, coords: Tensor) -> Tensor:
        """(n, D) encoding of the tokens of modality i."""
        return self.modality[i].expand(len(coords), -1)


class PositionalEncoding(ModalityEmbedding):
    """The modality embedding, and Fourier features of sky offset and wavelength."""

    FREQUENCIES = 8
    wave: Tensor

    def _make_coordinates(self, width: int) -> None:
        self.project = nn.Linear(6 * self.FREQUENCIES, width)
        # periods from 0.8 arcsec to 100 arcsec, and from 0.2 to 25 in ln(wavelength)
        octaves = 2.0 ** torch.arange(self.FREQUENCIES)
        scale = torch.tensor([0.8, 0.8, 0.2])
        self.register_buffer("wave", 2 * torch.pi / (scale[:, None] * octaves), persistent=False)

    def encode(self, i: int, coords: Tensor) -> Tensor:
        """(n, D) encoding of the tokens of modality i."""
        phase = (coords[:, :, None] * self.wave).flatten(1)
        return self.project(torch.cat([phase.sin(), phase.cos()], -1)) + self.modality[i]


class RotaryEncoding(nn.Module):
    """Angles by which queries and keys of a token are rotated: a share of the pairs of a head for each axis.

    Begin tokens stand at the origin (the centre, 1 micron), so that positions are known absolutely.

    Parameters
    ----------
    head : int
        Width of a head, even and at least 6.
    begin : bool
        Whether the sequence has begin tokens.
    """

    wave: Tensor

    def __init__(self, head: int, begin: bool = True) -> None:
        super().__init__()
        self.begin = begin
        pairs = head // 2
        each = (pairs // 3, pairs // 3, pairs - 2 * (pairs // 3))
        # periods from 4 patches of 0.8 arcsec to 100 arcsec, and from 1 to 25 in ln(wavelength)
        periods = ((3.2, 100.0), (3.2, 100.0), (1.0, 25.0))
        wave, start = torch.zeros(3, pairs), 0
        for axis, (n, (short, long)) in enumerate(zip(each, periods, strict=True)):
            steps = torch.arange(n) / max(1, n - 1)
            wave[axis, start : start + n] = 2 * torch.pi / (short * (long / short) ** steps)
            start += n
        self.register_buffer("wave", wave, persistent=False)

    def forward(self, coords: dict[str, Tensor], slots: Tensor) -> Tensor:
        """(B, T, 2, D/2H) cosines and sines for the slots (B, T) at each position."""
        coordinates = [*coords.values()]
        if self.begin:
            coordinates = [torch.zeros_like(coordinates[0][:1]).expand(len(coords), -1), *coordinates]
        angle = torch.cat(coordinates) @ self.wave  # (S, D/2H)
        return torch.stack([angle.cos(), angle.sin()], dim=1)[slots]
