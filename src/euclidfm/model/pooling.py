"""Embeddings of a batch: the image summary, and the states of a block averaged over each modality's tokens.

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
    """(B, E + D ...) the parts of the embedding, joined: the image summary and the means of the modalities
    that are not images; without an image encoder the means of all modalities. A part that a galaxy lacks has
    its mean over the training galaxies. NaN for a galaxy without any."""
    by_modality: dict[str, Tensor]
    """(B, D) mean over the modality's tokens; NaN where it is absent."""
    central: dict[str, Tensor]
    """(B, D) for each image modality the mean over the patches whose centres lie in the middle half of the
    cutout each way (most others hold sky); NaN where there are none."""
    images: Tensor | None
    """(B, E) summary of all images; NaN where there are none. None: the model has no image encoder."""


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
    absent = dict(zip(means, model.modality_mean[layer - 1], strict=True))
    images = None if model.images is None else model.images(tokens)
    parts = dict(means)
    if model.images is not None and images is not None:
        pictures = {m.name for m in model.config.images}
        parts = {"": images} | {n: v for n, v in means.items() if n not in pictures}
        absent[""] = model.images.mean
    filled = [torch.where(v.isnan(), absent[name], v) for name, v in parts.items()]
    nothing = torch.stack([v[:, 0].isnan() for v in parts.values()]).all(0)
    return Embedding(
        torch.cat(filled, dim=1).masked_fill(nothing[:, None], torch.nan), means, central, images
    )


@torch.inference_mode()
def fit_modality_means(model: FoundationModel, batches: Iterable[Tokens]) -> None:
    """Set a model's mean embeddings: of each modality after each block, and of the image summary.

    Each mean is over the galaxies that have the modality.
    """
    summaries: list[Tensor] = []
    total = torch.zeros_like(model.modality_mean, dtype=torch.float64)
    count = torch.zeros(len(model.config.modalities), 1, dtype=torch.float64, device=model.device)
    for tokens in batches:
        summaries += [] if model.images is None else [model.images(tokens)]
        batch = prepare_to_embed(model, tokens)
        for layer in range(1, model.config.depth + 1):
            batch = model.encode(batch, layer)
            for i, (states, valid) in enumerate(batch.by_modality().values()):
                mean = _mean(states, valid)
                total[layer - 1, i] += mean.double().nansum(0)
                count[i] += (~mean[:, 0].isnan()).sum() if layer == 1 else 0
    model.modality_mean.copy_((total / count.clamp(min=1)).float())
    if model.images is not None and summaries:
        model.images.mean.copy_(torch.cat(summaries).nanmean(0).nan_to_num(0.0))


def _mean(states: Tensor, valid: Tensor) -> Tensor:
    """(B, D): mean over the valid of (B, n, D); 0 / 0 is NaN, for a modality that is absent."""
    return (states * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)
