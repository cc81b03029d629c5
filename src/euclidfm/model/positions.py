"""Where a token is, as a vector added to the stream.

Shapes: n tokens of a modality, S slots, D width. Slots are the begin tokens (if the model has them),
then the tokens of each modality.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from euclidfm.core.errors import InputError
from euclidfm.model.heads import reader
from euclidfm.model.options import TokenConfig, VectorModality

__all__ = ["Kind", "LearnedPlace", "Place", "Rotary"]


class Place(nn.Module):
    """Fourier features of a token's place: its modality, where on the sky, at which wavelength."""

    wave: Tensor

    def __init__(
        self,
        modalities: int,
        width: int,
        frequencies: int = 8,
        begin: bool = True,
        named: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.begin = nn.Parameter(torch.randn(modalities, width) * 0.02) if begin else None
        self.modality = nn.Parameter(torch.randn(modalities, width) * 0.02)
        self.project = nn.Linear(6 * frequencies, width)
        self.names = _names(named, width)
        # periods from 0.8 arcsec to 100 arcsec, and from 0.2 to 25 in ln(wavelength)
        octaves = 2.0 ** torch.arange(frequencies)
        scale = torch.tensor([0.8, 0.8, 0.2])
        self.register_buffer("wave", 2 * torch.pi / (scale[:, None] * octaves), persistent=False)

    def forward(self, coords: dict[str, Tensor]) -> Tensor:
        """(S, D) from the (n, 3) coordinates of each modality."""
        parts: list[Tensor] = [] if self.begin is None else [self.begin[: len(coords)]]
        for i, (name, c) in enumerate(coords.items()):
            phase = (c[:, :, None] * self.wave).flatten(1)
            place = self.project(torch.cat([phase.sin(), phase.cos()], -1)) + self.modality[i]
            parts.append(place + self.names[name] if name in self.names else place)
        return torch.cat(parts)


def _names(named: Mapping[str, int] | None, width: int) -> nn.ParameterDict:
    """A vector for each token of modalities whose tokens have a name and no place (scalars)."""
    return nn.ParameterDict({m: nn.Parameter(torch.randn(n, width) * 0.02) for m, n in (named or {}).items()})


class Kind(nn.Module):
    """A vector for each modality alone; where a token is the attention is told (`Rotary`)."""

    def __init__(
        self, modalities: int, width: int, begin: bool = True, named: Mapping[str, int] | None = None
    ) -> None:
        super().__init__()
        self.begin = nn.Parameter(torch.randn(modalities, width) * 0.02) if begin else None
        self.modality = nn.Parameter(torch.randn(modalities, width) * 0.02)
        self.names = _names(named, width)

    def forward(self, coords: dict[str, Tensor]) -> Tensor:
        """(S, D) from the (n, 3) coordinates of each modality."""
        parts: list[Tensor] = [] if self.begin is None else [self.begin[: len(coords)]]
        for i, (name, c) in enumerate(coords.items()):
            kind = self.modality[i].expand(len(c), -1)
            parts.append(kind + self.names[name] if name in self.names else kind)
        return torch.cat(parts)


class Rotary(nn.Module):
    """Angles by which queries and keys of a token are rotated: a share of the pairs of a head for each axis.

    Begin tokens stand at the origin (the centre, 1 micron), so that places are known to them absolutely.

    Parameters
    ----------
    head : int
        Width of a head, even and at least 6.
    begin : bool
        Whether the chain has begin tokens.
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
        places = [*coords.values()]
        if self.begin:
            places = [torch.zeros_like(places[0][:1]).expand(len(coords), -1), *places]
        angle = torch.cat(places) @ self.wave  # (S, D/2H)
        return torch.stack([angle.cos(), angle.sin()], dim=1)[slots]


class LearnedPlace(nn.Module):
    """A vector for each rank in a modality, as the reference work has; or its coordinates, projected."""

    def __init__(
        self,
        modalities: tuple[str, ...],
        vectors: tuple[VectorModality, ...],
        width: int,
        config: TokenConfig,
    ) -> None:
        super().__init__()
        self.longest = config.longest
        self.begin = nn.Parameter(torch.randn(len(modalities), width) * 0.02) if config.begin else None
        projected = {v.name: v.coordinates for v in vectors if v.coordinates}
        self.tables = nn.ModuleDict()
        for name in modalities:
            if name in projected:
                self.tables[name] = reader(config.reader, projected[name], width, config.bias)
            else:
                table = nn.Embedding(config.longest, width)
                nn.init.normal_(table.weight, std=0.02)
                self.tables[name] = table

    def forward(self, coords: dict[str, Tensor]) -> Tensor:
        """(S, D) from the (n, coordinates) of each modality."""
        parts: list[Tensor] = [] if self.begin is None else [self.begin]
        for name, c in coords.items():
            table = self.tables[name]
            if not isinstance(table, nn.Embedding):
                parts.append(table(c))
            elif len(c) > self.longest:
                msg = f"{len(c)} tokens of {name} are more than the model's {self.longest} learned places"
                raise InputError(msg)
            else:
                parts.append(table.weight[: len(c)])
        return torch.cat(parts)
