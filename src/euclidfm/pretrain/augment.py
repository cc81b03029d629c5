"""What happens to a galaxy by chance in training: turned, stripped of modalities, reordered.

The chances of a step are drawn for the whole global batch from (seed, step), then shared among
the processes, so that neither a resume nor the number of processes changes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from euclidfm.model import Tokens
from euclidfm.model.config import SCALARS, SED

__all__ = ["Chances", "draw", "drop_at_random", "hide", "prefixes", "ranks"]


@dataclass(frozen=True)
class Chances:
    """Random numbers of B galaxies with M modalities and K SED bands."""

    turn: Tensor
    """(B,) one of the eight symmetries of the square."""
    modality: Tensor
    """(B, M) uniform; a modality is withheld where below its chance."""
    band: Tensor
    """(B, K) uniform; likewise for SED bands."""
    order: Tensor
    """(B, M) rank of each modality in the chain."""
    band_order: Tensor
    """(B, K) rank of each SED band within its modality."""
    prefix: Tensor
    """(B,) uniform; share of the chain that is read in both directions."""
    token: Tensor
    """(B, S) uniform for each token, in the order of the modalities; hidden where below its chance."""
    patches: Tensor
    """(B,) uniform; patches are read in random order where below its chance."""
    patch_order: Tensor
    """(B, S) uniform for each token; ranks of patches that are shuffled."""
    scalar: Tensor
    """(B, L) uniform for each of L scalars; one is withheld where below the chance of a band."""
    scalar_order: Tensor
    """(B, L) rank of each scalar within its modality."""

    def share(self, rank: int, world: int, count: int) -> Chances:
        """The rows of one process: `count` galaxies."""
        return Chances(**{k: v[rank::world][:count] for k, v in self.__dict__.items()})

    def to(self, device: torch.device) -> Chances:
        """Move to a device."""
        return Chances(**{k: v.to(device) for k, v in self.__dict__.items()})


def draw(
    seed: int, step: int, batch: int, modalities: int, bands: int, tokens: int = 0, scalars: int = 0
) -> Chances:
    """Draw the chances of a step for the global batch; those of single tokens for `tokens` of them."""
    generator = torch.Generator().manual_seed(_mix(seed, step))

    def uniform(n: int) -> Tensor:
        return torch.rand(batch, n, generator=generator)

    return Chances(
        turn=torch.randint(0, 8, (batch,), generator=generator),
        modality=uniform(modalities),
        band=uniform(bands),
        order=uniform(modalities).argsort(1),
        band_order=uniform(bands).argsort(1),
        prefix=uniform(1)[:, 0],
        token=uniform(tokens),
        patches=uniform(1)[:, 0],
        patch_order=uniform(tokens),
        scalar=uniform(scalars),
        scalar_order=uniform(scalars).argsort(1),
    )


def ranks(tokens: Tokens, chances: Chances, patches: float) -> dict[str, Tensor]:
    """Rank of each token in its modality: SED bands and scalars at random, patches with chance `patches`."""
    out, start = {}, 0
    shuffled = chances.patches < patches
    for name, t in tokens.items():
        n = t.valid.shape[1]
        if name == SED:
            out[name] = chances.band_order
        elif name == SCALARS:
            out[name] = chances.scalar_order
        elif patches:
            luck = chances.patch_order[:, start : start + n].argsort(1).argsort(1)
            out[name] = torch.where(shuffled[:, None], luck, torch.arange(n, device=luck.device))
        start += n
    return out


def prefixes(tokens: Tokens, chances: Chances) -> Tensor:
    """(B,) positions that are read in both directions: a random share of each galaxy's chain."""
    length = sum(t.valid.sum(dim=1) + t.valid.any(dim=1) for t in tokens.values())
    return (chances.prefix * length).long()


def hide(tokens: Tokens, chances: Chances, chance: float) -> dict[str, Tensor]:
    """(B, n) bool for each modality: the tokens that a masked model has to predict."""
    sizes = [t.valid.shape[1] for t in tokens.values()]
    return dict(zip(tokens, torch.split(chances.token < chance, sizes, dim=1), strict=True))


def _mix(seed: int, step: int) -> int:
    """Spread (seed, step) over 63 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    mask = (1 << 64) - 1
    x = (seed * 0x9E3779B97F4A7C15 + step + 1) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return (x ^ (x >> 31)) >> 1


def drop_at_random(tokens: Tokens, chances: Chances, modality: float, band: float) -> Tokens:
    """Withhold whole modalities, single SED bands and scalars from each galaxy.

    Parameters
    ----------
    tokens : Tokens
    chances : Chances
    modality : float
        Chance that a modality is withheld; a galaxy keeps at least one that it has.
    band : float
        Chance that an SED band, or a scalar, is withheld; each modality keeps at least one that it has.
    """
    names = list(tokens)
    has = torch.stack([tokens[n].valid.any(dim=1) for n in names], dim=1)  # (B, M)
    keep = _keep(has, chances.modality, modality)
    out: Tokens = {}
    for i, name in enumerate(names):
        t = tokens[name]
        stay = keep[:, i : i + 1].expand_as(t.valid)
        if name == SED:
            stay = stay & _keep(t.valid, chances.band, band)
        elif name == SCALARS:
            stay = stay & _keep(t.valid, chances.scalar, band)
        out[name] = replace(t, valid=t.valid & stay, weight=t.weight * stay[..., None])
    return out


def _keep(has: Tensor, luck: Tensor, chance: float) -> Tensor:
    """What is not withheld, and always the luckiest of those that are there."""
    luckiest = luck.masked_fill(~has, -1.0)
    return (luck >= chance) | (luckiest == luckiest.amax(dim=1, keepdim=True))
