"""Embeddings of a batch: the states of a block, averaged over each modality's tokens and joined.

Shapes: B galaxies, n tokens of a modality, M modalities, D width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from euclidfm.model.foundation import FoundationModel
from euclidfm.model.sequence import Batch
from euclidfm.model.tokens import Tokens

__all__ = ["Embedding", "embed_tokens", "fit_modality_means", "prepare_to_embed"]


class Embedding(NamedTuple):
    """Embeddings of a batch of galaxies."""

    joint: Tensor
    """(B, M D) the modalities' means, joined. A modality that a galaxy lacks has its mean over the training
    galaxies. NaN for a galaxy without any modality."""
    by_modality: dict[str, Tensor]
    """(B, D) mean over the modality's tokens; NaN where it is absent."""
    central: dict[str, Tensor]
    """(B, D) for each image modality the mean over the patches whose centres lie in the middle half of the
    cutout each way (most others hold sky); NaN where there are none."""


def prepare_to_embed(model: FoundationModel, tokens: Tokens, bidirectional: bool | None = None) -> Batch:
    """Arrange tokens for embedding.

    The sequence runs backwards by default: photometry first, then the images, each modality attending to
    those before it. Attention is bidirectional for a masked model and for one with prefix attention, unless
    `bidirectional` says otherwise.
    """
    if bidirectional is None:
        bidirectional = model.config.bidirectional
    rank = torch.arange(len(tokens), device=model.device)
    galaxies = next(iter(tokens.values())).valid.shape[0]
    order = (rank.flip(0) if model.config.embed_backwards else rank).expand(galaxies, -1)
    return model.prepare(tokens, order, bidirectional=bidirectional)


@torch.inference_mode()
def embed_tokens(
    model: FoundationModel, tokens: Tokens, layer: int | None = None, bidirectional: bool | None = None
) -> Embedding:
    """Embed a batch of galaxies.

    Parameters
    ----------
    model : FoundationModel
    tokens : Tokens
    layer : int, optional
        Block whose output is pooled (1 to depth); default the config's.
    bidirectional : bool, optional
        Whether all tokens attend to each other; default as the model was trained.
    """
    layer = layer or model.config.layer
    states = model.encode(prepare_to_embed(model, tokens, bidirectional), layer).by_modality()
    means = {name: _mean(v, valid) for name, (v, valid) in states.items()}
    central = {
        m.name: _mean(states[m.name][0], states[m.name][1] & model.tokenizer.is_central(m).to(model.device))
        for m in model.config.images
    }
    absent = model.modality_mean[layer - 1]
    filled = [torch.where(v.isnan(), absent[i], v) for i, v in enumerate(means.values())]
    nothing = torch.stack([v[:, 0].isnan() for v in means.values()]).all(0)
    return Embedding(torch.cat(filled, dim=1).masked_fill(nothing[:, None], torch.nan), means, central)


@torch.inference_mode()
def fit_modality_means(model: FoundationModel, batches: Iterable[Tokens]) -> None:
    """Set a model's mean embeddings: of each modality after each block, over galaxies that have it."""
    total = torch.zeros_like(model.modality_mean, dtype=torch.float64)
    count = torch.zeros(len(model.config.modalities), 1, dtype=torch.float64, device=model.device)
    for tokens in batches:
        batch = prepare_to_embed(model, tokens)
        for layer in range(1, model.config.depth + 1):
            batch = model.encode(batch, layer)
            for i, (states, valid) in enumerate(batch.by_modality().values()):
                mean = _mean(states, valid)
                total[layer - 1, i] += mean.double().nansum(0)
                count[i] += (~mean[:, 0].isnan()).sum() if layer == 1 else 0
    model.modality_mean.copy_((total / count.clamp(min=1)).float())


def _mean(states: Tensor, valid: Tensor) -> Tensor:
    """(B, D): mean over the valid of (B, n, D); 0 / 0 is NaN, for a modality that is absent."""
    return (states * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)
