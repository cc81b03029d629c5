"""Random augmentations of galaxies in training: symmetries, dropped modalities, order, masked tokens.

The random numbers of a step are drawn for the global batch from (seed, step) and split among the processes,
so that neither a resume nor the number of processes changes them.

Shapes: B galaxies, M modalities, K SED bands, L scalars, S tokens of a complete galaxy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from euclidfm.model import Tokens
from euclidfm.model.config import SCALARS, SED

__all__ = [
    "AugmentationDraws",
    "draw_augmentations",
    "drop_modalities",
    "prefix_lengths",
    "random_masks",
    "random_ranks",
]

MASKED_SHARE = 0.5
"""Fraction of the tokens that a masked model has to predict. It was not tuned."""
SHUFFLED_SHARE = 0.5
"""Fraction of the galaxies whose patches are shuffled with ``random_order: patches``; the rest keep the order
from the centre outwards, in which models are validated and embed. It was not tuned."""


@dataclass(frozen=True)
class AugmentationDraws:
    """Random numbers of B galaxies."""

    symmetry: Tensor
    """(B,) one of the eight symmetries of the square."""
    modality: Tensor
    """(B, M) uniform; a modality is dropped where this is below the probability."""
    band: Tensor
    """(B, K) uniform; the same for SED bands."""
    order: Tensor
    """(B, M) rank of each modality in the sequence."""
    band_order: Tensor
    """(B, K) rank of each SED band within its modality."""
    prefix: Tensor
    """(B,) uniform; fraction of the sequence that is bidirectional."""
    token: Tensor
    """(B, S) uniform for each token, in the order of the modalities; masked where below the probability."""
    patches: Tensor
    """(B,) uniform; patches are shuffled where this is below the probability."""
    patch_order: Tensor
    """(B, S) uniform for each token; gives the ranks of shuffled patches."""
    scalar: Tensor
    """(B, L) uniform; a scalar is dropped where this is below the probability of a band."""
    scalar_order: Tensor
    """(B, L) rank of each scalar within its modality."""

    def split(self, rank: int, world_size: int, count: int) -> AugmentationDraws:
        """The draws of one process, which has `count` galaxies of the batch."""
        return AugmentationDraws(**{k: v[rank::world_size][:count] for k, v in self.__dict__.items()})

    def take(self, rows: slice) -> AugmentationDraws:
        """The draws of some of the galaxies."""
        return AugmentationDraws(**{k: v[rows] for k, v in self.__dict__.items()})

    def to(self, device: torch.device) -> AugmentationDraws:
        """Move to a device."""
        return AugmentationDraws(**{k: v.to(device) for k, v in self.__dict__.items()})


def draw_augmentations(
    seed: int, step: int, batch: int, modalities: int, bands: int, tokens: int = 0, scalars: int = 0
) -> AugmentationDraws:
    """Draw the random numbers of a step for the global batch.

    Parameters
    ----------
    seed, step : int
        They alone determine the result.
    batch, modalities, bands, tokens, scalars : int
        The sizes B, M, K, S and L.
    """
    generator = torch.Generator().manual_seed(_mix(seed, step))

    def uniform(n: int) -> Tensor:
        return torch.rand(batch, n, generator=generator)

    return AugmentationDraws(  # the order of the draws is part of the result
        symmetry=torch.randint(0, 8, (batch,), generator=generator),
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


def random_ranks(tokens: Tokens, draws: AugmentationDraws, patches: bool) -> dict[str, Tensor]:
    """Random rank of each token within its modality: SED bands, scalars and, if `patches`, image patches."""
    out, start = {}, 0
    shuffled = draws.patches < SHUFFLED_SHARE
    for name, t in tokens.items():
        n = t.valid.shape[1]
        if name == SED:
            out[name] = draws.band_order
        elif name == SCALARS:
            out[name] = draws.scalar_order
        elif patches:
            ranks = draws.patch_order[:, start : start + n].argsort(1).argsort(1)
            out[name] = torch.where(shuffled[:, None], ranks, torch.arange(n, device=ranks.device))
        start += n
    return out


def prefix_lengths(tokens: Tokens, draws: AugmentationDraws) -> Tensor:
    """(B,) positions of each galaxy's bidirectional prefix: a random fraction of its sequence."""
    length = sum(t.valid.sum(dim=1) + t.valid.any(dim=1) for t in tokens.values())
    return (draws.prefix * length).long()


def random_masks(tokens: Tokens, draws: AugmentationDraws) -> dict[str, Tensor]:
    """(B, n) bool for each modality: the tokens that a masked model has to predict."""
    sizes = [t.valid.shape[1] for t in tokens.values()]
    return dict(zip(tokens, torch.split(draws.token < MASKED_SHARE, sizes, dim=1), strict=True))


def _mix(seed: int, step: int) -> int:
    """Spread (seed, step) over 63 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    mask = (1 << 64) - 1
    x = (seed * 0x9E3779B97F4A7C15 + step + 1) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return (x ^ (x >> 31)) >> 1


def drop_modalities(tokens: Tokens, draws: AugmentationDraws, modality: float, band: float) -> Tokens:
    """Drop modalities, single SED bands and scalars of each galaxy.

    Parameters
    ----------
    tokens : Tokens
    draws : AugmentationDraws
    modality : float
        Probability to drop a modality. A galaxy keeps at least one that it has.
    band : float
        Probability to drop an SED band or a scalar. Each modality keeps at least one that it has.
    """
    names = list(tokens)
    present = torch.stack([tokens[n].valid.any(dim=1) for n in names], dim=1)  # (B, M)
    kept_modality = _kept(present, draws.modality, modality)
    out: Tokens = {}
    for i, name in enumerate(names):
        t = tokens[name]
        kept = kept_modality[:, i : i + 1].expand_as(t.valid)
        if name == SED:
            kept = kept & _kept(t.valid, draws.band, band)
        elif name == SCALARS:
            kept = kept & _kept(t.valid, draws.scalar, band)
        out[name] = replace(t, valid=t.valid & kept, weight=t.weight * kept[..., None])
    return out


def _kept(present: Tensor, draws: Tensor, probability: float) -> Tensor:
    """Where nothing is dropped; of what is present, the largest draw is always kept."""
    candidates = draws.masked_fill(~present, -1.0)
    return (draws >= probability) | (candidates == candidates.amax(dim=1, keepdim=True))
