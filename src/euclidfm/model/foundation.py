"""The foundation model: it reads a galaxy as a sequence of tokens and predicts each from those before it.

Training, embedding, fine-tuning and generation share one path: `prepare` (tokens to a batch of input
vectors), `encode` (through the blocks), then `decode` (to predictions) or `euclidfm.model.pooling` (to
embeddings).

The positional encoding of the *next* token (its modality, its position on the sky, its wavelength) is added
to each input. So one model predicts any token from any others, in any order.

Shapes: B galaxies, S slots, T positions, n tokens of a modality, M modalities, D width, P values of a token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.measure import measured_names
from euclidfm.model import checkpoint
from euclidfm.model.config import MEASURED, SCALARS, ModelConfig
from euclidfm.model.image_encoder import ImageSummary
from euclidfm.model.likelihood import Objective
from euclidfm.model.packing import pack
from euclidfm.model.readout import READOUT
from euclidfm.model.sequence import (
    Batch,
    ModalityEmbedding,
    PositionalEncoding,
    RotaryEncoding,
    TokenSequence,
    arrange,
)
from euclidfm.model.tokenizer import Tokenizer
from euclidfm.model.tokens import Tokens
from euclidfm.model.transformer import BlockStyle, KeyValueCache, Transformer

__all__ = ["FoundationModel"]


class FoundationModel(nn.Module):
    """Multi-modal transformer over image patches, SED points and scalars.

    Parameters
    ----------
    config : ModelConfig
    """

    modality_mean: Tensor
    skip_padding = True
    """Whether batches with much padding are read without it (`euclidfm.model.packing`)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = self.make_tokenizer()
        d, names, sizes = config.width, config.modalities, self.tokenizer.sizes()
        self.token_encoders, self.token_decoders = nn.ModuleDict(), nn.ModuleDict()
        for name, (features, values) in sizes.items():
            self.token_encoders[name] = self.make_token_encoder(features)
            self.token_decoders[name] = self.make_token_decoder(config.numbers * values)
        reads_next = self.has_next_positions and not config.masked
        self.begin = nn.Parameter(torch.randn(len(names), d) * 0.02) if self.has_begin_tokens else None
        self.end = nn.Parameter(torch.randn(d) * 0.02) if reads_next else None
        self.positions = self.make_positions()
        self.next_positions = self.make_positions(following=True) if reads_next else None
        rotary = config.positions == "rotary"
        self.rotary = RotaryEncoding(d // config.heads, self.has_begin_tokens) if rotary else None
        self.mask_token = nn.Parameter(torch.randn(d) * 0.02) if config.masked else None
        self.transformer = Transformer(d, config.depth, config.heads, self.block_style)
        self.objective = Objective(config, {n: values for n, (_, values) in sizes.items()}, self.fixed_dof)
        self.images = ImageSummary(config, self.tokenizer) if config.has_image_encoder else None
        self.register_buffer("modality_mean", torch.zeros(config.depth, len(names), d))

    # what another architecture replaces --------------------------------------------------------

    has_begin_tokens = True
    """Begin-of-modality tokens. Without them the first token of a galaxy is not predicted."""
    has_next_positions = True
    """Add the positional encoding of the next token to each input."""
    fixed_dof = 0.0
    """Degrees of freedom of the likelihood; 0: learned."""
    block_style = BlockStyle()

    def make_tokenizer(self) -> Tokenizer:
        """Make the tokenizer of this model."""
        return Tokenizer(self.config)

    def make_token_encoder(self, features: int) -> nn.Module:
        """Make the network from a token's features to the residual stream."""
        d = self.config.width
        return nn.Sequential(nn.Linear(features, d), nn.GELU(), nn.Linear(d, d))

    def make_token_decoder(self, outputs: int) -> nn.Module:
        """Make the network from the residual stream to a token's predictions."""
        return nn.Linear(self.config.width, outputs)

    def make_positions(self, following: bool = False) -> nn.Module:
        """Make the positional encoding of the tokens, or (`following`) of the next ones."""
        c = self.config
        added = PositionalEncoding if c.positions == "fourier" or following else ModalityEmbedding
        named = {SCALARS: len(c.scalars)} if c.scalars else {}
        named |= {MEASURED: len(measured_names(c.measured))} if c.measured else {}
        return added(len(c.modalities), c.width, begin=self.has_begin_tokens, named=named)

    def prepare(
        self,
        tokens: Tokens,
        order: Tensor | None = None,
        shuffle: dict[str, Tensor] | None = None,
        prefix: Tensor | None = None,
        masked: dict[str, Tensor] | None = None,
        bidirectional: bool = False,
    ) -> Batch:
        """Arrange tokens into sequences of input vectors.

        Parameters
        ----------
        tokens : Tokens
        order, shuffle : optional
            As in `euclidfm.model.sequence.arrange`.
        prefix : (B,) Tensor, optional
            Positions at the start of the sequence among which attention is bidirectional.
        masked : dict of modality to (B, n) bool Tensor, optional
            Tokens whose content is masked: the mask token (zero, for a model without one) replaces it.
        bidirectional : bool
            Whether attention is bidirectional everywhere; always so for a masked model.
        """
        sequence = self.arrange(tokens, order, shuffle)
        if bidirectional or self.config.masked:
            prefix = sequence.lengths
        mask = None if prefix is None else sequence.attention_mask(prefix)
        coords = {n: t.coords for n, t in tokens.items()}
        angles = None if self.rotary is None else self.rotary(coords, sequence.slots)
        packing = pack(sequence.lengths, sequence.slots.shape[1], mask) if self.skip_padding else None
        x = self._inputs(self._contents(tokens, masked), coords, sequence)
        return Batch(x, sequence, mask, angles, packing)

    def encode(
        self,
        batch: Batch,
        upto_layer: int | None = None,
        cache: KeyValueCache | None = None,
        blocks: Iterable[nn.Module] | None = None,
    ) -> Batch:
        """Pass a batch through the blocks that it has not passed yet.

        Parameters
        ----------
        batch : Batch
        upto_layer : int, optional
            Number of the last block to pass, counted from 1. Default: all blocks and the last norm.
        cache : KeyValueCache, optional
            Keys and values of earlier positions, extended by those of this batch.
        blocks : iterable of Module, optional
            Blocks in place of the model's own, such as fine-tuned copies.
        """
        own = list(self.transformer.blocks)[batch.layer : upto_layer] if blocks is None else blocks
        packing = batch.packing if cache is None else None
        final = upto_layer is None
        x = self.transformer(batch.x, batch.attn_mask, cache, batch.angles, packing, own, norm=final)
        return replace(batch, x=x, layer=self.config.depth if upto_layer is None else upto_layer)

    def decode(self, batch: Batch) -> dict[str, Tensor]:
        """Predictions (B, n, P) of each modality's tokens, in the modality's own order; see `forward`."""
        s, x = batch.sequence, batch.x
        where = s.positions if self.config.masked else s.positions - 1
        where = where.clamp(0, x.shape[1] - 1)
        out = {}
        for name, span in s.spans.items():
            at = where[:, span, None].expand(-1, -1, x.shape[-1])
            out[name] = self.token_decoders[name](x.gather(1, at))
        return out

    def forward(
        self,
        tokens: Tokens,
        order: Tensor | None = None,
        shuffle: dict[str, Tensor] | None = None,
        prefix: Tensor | None = None,
        masked: dict[str, Tensor] | None = None,
        read_out: Tokens | None = None,
    ) -> dict[str, Tensor]:
        """Predict each token from those before it in the sequence, or masked tokens from all others.

        Parameters
        ----------
        tokens, order, shuffle, prefix, masked
            As in `prepare`.
        read_out : Tokens, optional
            Galaxies whose images the image encoder summarises. Its predictions of their photometry come under
            the name `READOUT`.

        Returns
        -------
        dict of modality to (B, n, P) Tensor
            Scaled values. With the likelihood objective (B, n, 2 P), with mixtures (B, n, 3 P K): parameters
            of `Objective.distributions`. Absent tokens, and those without weight in `loss_targets`, have
            meaningless predictions.
        """
        out = self.decode(self.encode(self.prepare(tokens, order, shuffle, prefix, masked)))
        if read_out is not None and self.images is not None:
            out[READOUT] = self.images.predict(read_out)
        return out

    def arrange(
        self, tokens: Tokens, order: Tensor | None = None, shuffle: dict[str, Tensor] | None = None
    ) -> TokenSequence:
        """Order tokens as this model reads them (`euclidfm.model.sequence.arrange`)."""
        return arrange(tokens, order, shuffle, begin=self.begin is not None)

    def _contents(self, tokens: Tokens, masked: dict[str, Tensor] | None) -> Tensor:
        """(B, S, D) content of each slot: begin tokens, then the encoded tokens of each modality.

        Tokens are encoded in float32, whatever number format the blocks compute in: the 8 bits of bf16 would
        round a flux by up to one or two percent.
        """
        parts = []
        for i, (name, t) in enumerate(tokens.items()):
            if i == 0 and self.begin is not None:
                parts.append(self.begin[: len(tokens)].expand(len(t.valid), -1, -1))
            with torch.autocast(t.features.device.type, enabled=False):
                content = self.token_encoders[name](t.features)
            if masked is not None and self.mask_token is not None:
                content = torch.where(masked[name][..., None], self.mask_token.to(content.dtype), content)
            elif masked is not None:
                content = content.masked_fill(masked[name][..., None], 0.0)
            parts.append(content)
        return torch.cat(parts, dim=1)

    def _inputs(self, contents: Tensor, coords: dict[str, Tensor], sequence: TokenSequence) -> Tensor:
        """(B, T, D) input of each position: content, position, and position of the next token."""
        x = contents + self.positions(coords)
        x = x.gather(1, sequence.slots[..., None].expand(-1, -1, x.shape[-1]))
        if self.next_positions is None or self.end is None:
            return x
        following = self.next_positions(coords)  # (S, D)
        after = torch.cat([sequence.slots[:, 1:], torch.zeros_like(sequence.slots[:, :1])], dim=1)
        has_next = torch.zeros_like(after, dtype=torch.bool)
        has_next[:, :-1] = sequence.valid.gather(1, sequence.slots)[:, 1:]
        table = torch.cat([following, self.end[None]])
        # a look-up, not indexing: the gradient of indexing is summed in no fixed order on many threads
        return x + F.embedding(torch.where(has_next, after, len(following)), table)

    def loss_targets(
        self,
        tokens: Tokens,
        order: Tensor | None = None,
        shuffle: dict[str, Tensor] | None = None,
        prefix: Tensor | None = None,
        masked: dict[str, Tensor] | None = None,
    ) -> Tokens:
        """Keep the weights of the tokens that `forward` predicts, and set all others to zero."""
        if self.config.masked:
            predicted = masked or {m: torch.zeros_like(t.valid) for m, t in tokens.items()}
        elif prefix is None and self.begin is not None:
            return tokens
        else:
            s = self.arrange(tokens, order, shuffle)
            first = torch.ones_like(s.lengths) if prefix is None else prefix.clamp(min=1)
            predicted = {m: s.positions[:, span] >= first[:, None] for m, span in s.spans.items()}
        return {m: replace(t, weight=t.weight * predicted[m][..., None]) for m, t in tokens.items()}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.modality_mean.device

    def parameter_count(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def identity(self) -> str:
        """Short hash of the weights: the model's name in catalogues."""
        return checkpoint.identity(self.state_dict())

    def save(self, folder: str | Path, extra: Mapping[str, Any] | None = None) -> None:
        """Write ``model.safetensors`` and ``model.json`` to a folder."""
        checkpoint.write(folder, self.config, self.state_dict(), extra)

    @staticmethod
    def load(folder: str | Path, device: str | torch.device = "cpu") -> FoundationModel:
        """Load a model, of any architecture, from a run folder.

        Raises
        ------
        InputError
            If the folder holds no model, or a damaged one.
        """
        model: FoundationModel = checkpoint.load(folder)
        return model.to(device).eval()
