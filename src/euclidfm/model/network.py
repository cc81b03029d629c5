"""The foundation model: reads a galaxy as a chain of tokens and predicts each from those before.

Each position is told what it has to predict: the embedding of the *next* token's place (its
modality, its place on the sky, its wavelength) is added to the input, so that one model predicts
any token from any others, in any order.

Shapes: B galaxies, S slots, T positions, D width, P values of a token.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.model.config import SCALARS, ModelConfig
from euclidfm.model.heads import predictor, reader
from euclidfm.model.likelihood import Tails
from euclidfm.model.packing import Packing, pack
from euclidfm.model.positions import Kind, LearnedPlace, Place, Rotary
from euclidfm.model.sequence import Chain, chain
from euclidfm.model.tokenizer import Tokens, token_sizes
from euclidfm.model.transformer import Transformer

__all__ = ["Network"]


class Network(nn.Module):
    """Reader, transformer and predictors of a model, without losses and files.

    Parameters
    ----------
    config : ModelConfig
    """

    typical: Tensor
    packed = True
    """Whether batches with much padding are read without it (`euclidfm.model.packing`)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        d, names, how = config.width, config.modalities, config.tokens
        self.read = nn.ModuleDict()
        self.predict = nn.ModuleDict()
        for name, (features, values) in token_sizes(config).items():
            self.read[name] = reader(how.reader, features, d, how.bias)
            self.predict[name] = predictor(how.predictor, d, config.numbers * values, how.bias)
        self.masked = config.predict == "masked"
        tell_next = how.tell_next and not self.masked
        self.begin = nn.Parameter(torch.randn(len(names), d) * 0.02) if how.begin else None
        self.end = nn.Parameter(torch.randn(d) * 0.02) if tell_next else None
        self.here = self._place()
        self.next = self._place(coming=True) if tell_next else None
        self.rotary = Rotary(d // config.heads, how.begin) if how.places == "rotary" else None
        self.hidden = nn.Parameter(torch.randn(d) * 0.02) if self.masked else None
        self.transformer = Transformer(d, config.depth, config.heads, config.mlp_ratio, config.blocks)
        if config.objective == "likelihood":
            bands = {m.name: len(m.bands) for m in config.images}
            sizes = token_sizes(config)
            self.tails = nn.ModuleDict({n: Tails(sizes[n][1], bands.get(n, 1), config.dof) for n in names})
        self.register_buffer("typical", torch.zeros(config.depth, len(names), d))

    def _place(self, coming: bool = False) -> nn.Module:
        c = self.config
        if c.tokens.places == "learned":
            return LearnedPlace(c.modalities, c.vectors, c.width, c.tokens)
        named = {SCALARS: len(c.scalars)} if c.scalars else {}
        if c.tokens.places == "rotary" and not coming:
            return Kind(len(c.modalities), c.width, begin=c.tokens.begin, named=named)
        return Place(len(c.modalities), c.width, begin=c.tokens.begin, named=named)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.typical.device

    def parameter_count(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def layout(
        self, tokens: Tokens, order: Tensor | None = None, shuffle: dict[str, Tensor] | None = None
    ) -> Chain:
        """Lay out a batch of galaxies as this model reads them (`euclidfm.model.sequence.chain`)."""
        return chain(tokens, order, shuffle, begin=self.begin is not None)

    def content(self, tokens: Tokens, hidden: dict[str, Tensor] | None = None) -> Tensor:
        """What is read at each slot: begin tokens, then the tokens of each modality. (B, S, D).

        In float32 whatever the blocks compute in: the 8 bits of bf16 round a flux by up to a percent or two.
        """
        parts = []
        for i, (name, t) in enumerate(tokens.items()):
            if i == 0 and self.begin is not None:
                parts.append(self.begin[: len(tokens)].expand(len(t.valid), -1, -1))
            with torch.autocast(t.features.device.type, enabled=False):
                read = self.read[name](t.features)
            if self.hidden is not None and hidden is not None:
                read = torch.where(hidden[name][..., None], self.hidden.to(read.dtype), read)
            parts.append(read)
        return torch.cat(parts, dim=1)

    def inputs(self, content: Tensor, tokens: Tokens, layout: Chain) -> Tensor:
        """Input of each position: content, place, and the place of the next token. (B, T, D)."""
        coords = {n: t.coords for n, t in tokens.items()}
        here = self.here(coords)  # (S, D)
        x = content + here
        x = x.gather(1, layout.slots[..., None].expand(-1, -1, x.shape[-1]))
        if self.next is None or self.end is None:
            return x
        following = self.next(coords)  # (S, D)
        after = torch.cat([layout.slots[:, 1:], torch.zeros_like(layout.slots[:, :1])], dim=1)
        has_next = torch.zeros_like(after, dtype=torch.bool)
        has_next[:, :-1] = layout.valid.gather(1, layout.slots)[:, 1:]
        places = torch.cat([following, self.end[None]])
        # a look-up, not indexing: the gradient of indexing is summed in no fixed order on many threads
        return x + F.embedding(torch.where(has_next, after, len(here)), places)

    def packing(self, layout: Chain, seen: Tensor | None) -> Packing | None:
        """How to read a batch without its padding; None if it has hardly any."""
        return pack(layout.lengths, layout.slots.shape[1], seen) if self.packed else None

    def turns(self, tokens: Tokens, layout: Chain) -> Tensor | None:
        """Rotations of each position, (B, T, 2, D/2H), of a model with rotary places."""
        if self.rotary is None:
            return None
        turn: Tensor = self.rotary({n: t.coords for n, t in tokens.items()}, layout.slots)
        return turn

    def forward(
        self,
        tokens: Tokens,
        order: Tensor | None = None,
        shuffle: dict[str, Tensor] | None = None,
        prefix: Tensor | None = None,
        hidden: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Predict each token from those before it in the chain, or (a masked model) from all others.

        Parameters
        ----------
        tokens : Tokens
        order, shuffle : optional
            As in `euclidfm.model.sequence.chain`.
        prefix : (B,) Tensor, optional
            Positions at the start of the chain that see each other; the tokens there are not predicted.
        hidden : dict of modality to (B, n) bool Tensor, optional
            Tokens that a masked model has to predict and may not read.

        Returns
        -------
        dict of modality to (B, n, P) Tensor
            Prediction of each token, in the modality's own order; scaled units. Predictions of
            absent tokens, and of those that `asked` leaves out, are meaningless. With the likelihood
            objective (B, n, 2 P), with mixtures (B, n, 3 P K): see `distributions`.
        """
        layout = self.layout(tokens, order, shuffle)
        if self.masked:
            prefix = layout.lengths
        seen = None if prefix is None else layout.both_ways(prefix)
        x = self.inputs(self.content(tokens, hidden), tokens, layout)
        packing = self.packing(layout, seen)
        hidden_states = self.transformer(x, seen, turn=self.turns(tokens, layout), packing=packing)
        where = layout.positions if self.masked else layout.positions - 1
        where = where.clamp(0, hidden_states.shape[1] - 1)
        out = {}
        for name, span in layout.spans.items():
            at = where[:, span, None].expand(-1, -1, hidden_states.shape[-1])
            out[name] = self.predict[name](hidden_states.gather(1, at))
        return out

    def asked(
        self,
        tokens: Tokens,
        order: Tensor | None = None,
        shuffle: dict[str, Tensor] | None = None,
        prefix: Tensor | None = None,
        hidden: dict[str, Tensor] | None = None,
    ) -> Tokens:
        """The same tokens, with weight in the loss only for those that `forward` really predicts."""
        if self.masked:
            ask = hidden or {m: torch.zeros_like(t.valid) for m, t in tokens.items()}
        elif prefix is None and self.begin is not None:
            return tokens
        else:
            layout = self.layout(tokens, order, shuffle)
            first = torch.ones_like(layout.lengths) if prefix is None else prefix.clamp(min=1)
            ask = {m: layout.positions[:, span] >= first[:, None] for m, span in layout.spans.items()}
        return {m: replace(t, weight=t.weight * ask[m][..., None]) for m, t in tokens.items()}
