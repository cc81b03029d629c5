"""Completing a sequence: missing tokens are predicted one by one, each from all tokens before it.

The given tokens come first. Each new token becomes an input of the tokens after it. A key-value
cache makes a token cost one position and not the whole sequence. A masked model has no order to cache; it
predicts each missing token from all known ones.

Shapes: B galaxies, n tokens of a modality, P values of a token, T positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from euclidfm.core.errors import InputError
from euclidfm.model.config import SED
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.sequence import TokenSequence
from euclidfm.model.tokens import Tokens
from euclidfm.model.transformer import KeyValueCache

__all__ = ["Completed", "complete"]


@dataclass
class Completed:
    """Tokens after generation."""

    tokens: Tokens
    """The given ones and the generated ones, all valid."""
    made: dict[str, Tensor]
    """(B, n) bool: the token was generated."""
    scale: dict[str, Tensor]
    """(B, n, P) scale of a generated value's distribution, in scaled units; NaN without likelihood."""


@torch.inference_mode()
def complete(
    model: FoundationModel,
    tokens: Tokens,
    wanted: dict[str, Tensor],
    *,
    temperature: float = 0.0,
    seeds: Sequence[int] | None = None,
    cache: bool = True,
) -> Completed:
    """Generate missing tokens of a batch of galaxies.

    Parameters
    ----------
    model : FoundationModel
    tokens : Tokens
        Those that are valid are given.
    wanted : dict of modality to (B, n) bool Tensor
        Tokens to generate, none of them given; a modality left out is not generated.
    temperature : float
        0: the location (mean) of each token's distribution; 1: a draw from it; between: a draw brought
        nearer to the location.
    seeds : sequence of B int, optional
        Seed of each galaxy's draws, so that they do not depend on its company; default 0, 1, ...
    cache : bool
        Use a key-value cache; otherwise the full sequence is recomputed for each token.

    Raises
    ------
    InputError
        If draws are requested from a model without likelihood, or if the galaxies have no observed token.
    """
    if temperature and not model.objective.has_likelihood:
        msg = "this model predicts no distribution to draw from: use temperature 0, or train a likelihood"
        raise InputError(msg)
    filling = _Filling(model, tokens, wanted, temperature, seeds)
    first = filling.first
    if first < filling.length and first == 0 and not model.config.masked:
        msg = "a model without begin tokens can't start a sequence: give at least one token of each galaxy"
        raise InputError(msg)
    if cache and not model.config.masked:
        filling.run_cached()
    else:
        filling.run_plainly()
    return Completed(filling.tokens, filling.wanted, filling.scale)


class _Filling:
    """Galaxies whose wanted tokens are being filled in, position by position."""

    def __init__(
        self,
        model: FoundationModel,
        tokens: Tokens,
        wanted: dict[str, Tensor],
        temperature: float,
        seeds: Sequence[int] | None,
    ) -> None:
        self.model, self.temperature = model, temperature
        none = {m: torch.zeros_like(t.valid) for m, t in tokens.items()}
        self.wanted = {m: (none | wanted)[m] & ~t.valid for m, t in tokens.items()}
        self.tokens: Tokens = {
            m: replace(
                t,
                features=t.features.clone(),
                target=t.target.clone(),
                weight=t.weight.clone(),
                valid=t.valid | self.wanted[m],
            )
            for m, t in tokens.items()
        }
        self.scale = {m: torch.full_like(t.target, torch.nan) for m, t in tokens.items()}
        b = len(next(iter(none.values())))
        self.rngs = [np.random.default_rng(s) for s in (range(b) if seeds is None else seeds)]
        self.order, self.shuffle = self._orders()
        self.sequence: TokenSequence = model.arrange(self.tokens, self.order, self.shuffle)
        by_slot = torch.zeros_like(self.sequence.valid)
        for m, span in self.sequence.spans.items():
            by_slot[:, span] = self.wanted[m]
        self.here = by_slot.gather(1, self.sequence.slots)  # (B, T) wanted at this position
        self.length = self.here.shape[1]
        some = self.here.any(dim=0).nonzero()
        self.first = int(some[0]) if len(some) else self.length
        """First position at which a token of any galaxy is wanted."""

    def _orders(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Modalities without wanted tokens first, and in each modality the given tokens first."""
        late = torch.stack([w.any(dim=1) for w in self.wanted.values()], dim=1).long()
        order = late.argsort(dim=1, stable=True).argsort(dim=1)
        inside = {m: w.long().argsort(dim=1, stable=True).argsort(dim=1) for m, w in self.wanted.items()}
        return order, inside

    def run_cached(self) -> None:
        """Read the given tokens at once, then one position at a time."""
        if self.first == self.length:
            return
        model, cache = self.model, KeyValueCache()
        prefix = None
        if model.config.attention == "prefix":
            prefix = torch.full_like(self.sequence.lengths, self.first)
        batch = model.prepare(self.tokens, self.order, self.shuffle, prefix, masked=self.wanted)
        state = model.encode(batch.at(slice(0, self.first)), cache=cache).x[:, -1]
        for p in range(self.first, self.length):
            one = replace(batch.at(slice(p, p + 1)), attn_mask=None)  # it attends to all before it
            for m, rows, i in self._at(p):
                self._fill(m, rows, i, model.token_decoders[m](state[rows]))
                content = model.token_encoders[m](self.tokens[m].features[rows, i])
                one.x = one.x.index_add(0, rows, content[:, None])
            if p + 1 < self.length:
                state = model.encode(one, cache=cache).x[:, 0]

    def run_plainly(self) -> None:
        """Recompute the full sequence for each position."""
        prefix = None
        if self.model.config.attention == "prefix":
            prefix = torch.full_like(self.sequence.lengths, self.first)
        remaining = {m: w.clone() for m, w in self.wanted.items()}
        for p in range(self.first, self.length):
            masked = remaining if self.model.config.masked else None
            predictions = self.model(self.tokens, self.order, self.shuffle, prefix, masked)
            for m, rows, i in self._at(p):
                self._fill(m, rows, i, predictions[m][rows, i])
                remaining[m][rows, i] = False

    def _at(self, p: int) -> list[tuple[str, Tensor, Tensor]]:
        """Modality, galaxies and their token that are wanted at a position."""
        out = []
        for m, span in self.sequence.spans.items():
            slot = self.sequence.slots[:, p]
            rows = (self.here[:, p] & (slot >= span.start) & (slot < span.stop)).nonzero()[:, 0]
            if len(rows):
                out.append((m, rows, slot[rows] - span.start))
        return out

    def _fill(self, m: str, rows: Tensor, i: Tensor, raw: Tensor) -> None:
        """Predict or draw token i of each of R galaxies from the decoder output (R, P, 2 P or 3 P K)."""
        value = raw
        if self.model.objective.has_likelihood:
            t = self.model.objective.distribution(m, raw)
            self.scale[m][rows, i] = t.scale
            value = t.location
            if self.temperature:
                wide = t.with_error(self._median_error(value)) if m == SED else t
                value = value + self.temperature * (wide.draw(*self._draws(rows, t.dof)) - value)
        self.tokens[m].target[rows, i] = value.float()
        self.tokens[m].weight[rows, i] = 1.0
        self.tokens[m].features[rows, i] = self._features(m, rows, i, value.float())

    def _draws(self, rows: Tensor, dof: Tensor) -> tuple[Tensor, Tensor]:
        """Uniform numbers (used only by a mixture) and Student-t draws; the shape of each is (R, P)."""
        nu = dof.detach().cpu().numpy()
        student = np.stack([self.rngs[r].standard_t(nu) for r in rows.tolist()])
        uniform = np.zeros_like(student)
        if self.model.config.likelihood == "mixture":
            uniform = np.stack([self.rngs[r].random(len(nu)) for r in rows.tolist()])
        one, two = (torch.from_numpy(a.astype(np.float32)).to(dof.device) for a in (uniform, student))
        return one, two

    def _median_error(self, value: Tensor) -> Tensor:
        """Error of an SED point at the survey's median depth, which is twice a band's softening b.

        In scaled units, with the bands' mean ln b: 2 b / sqrt(f^2 + 4 b^2) = 1 / cosh(asinh(f / 2 b)).
        """
        c = self.model.config
        soft = np.mean(np.log(list(c.sed_softening_ujy.values()))) if c.sed_softening_ujy else -3.0
        return 1.0 / torch.cosh(value * c.sed_spread + c.sed_center - float(soft)) / c.sed_spread

    def _features(self, m: str, rows: Tensor, i: Tensor, value: Tensor) -> Tensor:
        """Input features of a generated token: nothing masked, at the known depth."""
        c = self.model.config
        image = next((x for x in c.images if x.name == m), None)
        if image is not None:
            depths = self.tokens[m].features[rows, i][:, -len(image.bands) :]
            usable = torch.ones_like(value, dtype=torch.bool)
            return self.model.tokenizer.image_features(value, usable, depths)
        if m == SED:
            relative = self._median_error(value) * c.sed_spread
            known = np.ones(len(value), bool)
            values, errors = (v[:, 0].cpu().numpy() for v in (value, relative))
            made = self.model.tokenizer.sed_features(values, errors, known)
            return torch.from_numpy(made).to(value.device)
        return value
