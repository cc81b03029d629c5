"""What a galaxy loses at random in training, so that any subset works afterwards."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from euclidfm.model import Tokens
from euclidfm.model.config import SED

__all__ = ["drop_at_random"]


def drop_at_random(tokens: Tokens, modality: float, band: float, generator: torch.Generator) -> Tokens:
    """Withhold whole modalities and single SED bands from each galaxy.

    Parameters
    ----------
    tokens : Tokens
    modality : float
        Chance that a modality is withheld; a galaxy keeps at least one that it has.
    band : float
        Chance that an SED band is withheld.
    generator : torch.Generator
    """
    names = list(tokens)
    has = torch.stack([tokens[n].valid.any(dim=1) for n in names], dim=1)  # (B, M)
    luck = torch.rand(has.shape, generator=generator)
    keep = luck >= modality
    luckiest = luck.masked_fill(~has, -1.0).argmax(dim=1)
    keep[torch.arange(len(keep)), luckiest] = True
    out: Tokens = {}
    for i, name in enumerate(names):
        t = tokens[name]
        stay = keep[:, i : i + 1].expand_as(t.valid)
        if name == SED:
            stay = stay & _keep_bands(t.valid, band, generator)
        out[name] = replace(t, valid=t.valid & stay, weight=t.weight * stay[..., None])
    return out


def _keep_bands(valid: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    luck = torch.rand(valid.shape, generator=generator)
    keep = luck >= chance
    keep[torch.arange(len(keep)), luck.masked_fill(~valid, -1.0).argmax(dim=1)] = True
    return keep
