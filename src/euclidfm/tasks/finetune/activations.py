"""Galaxies as a model's lower blocks leave them: computed once, kept in memory, read by the blocks above.

Fine-tuning trains only the blocks near the top. What enters them does not change, so each galaxy passes the
blocks below once, whatever the number of steps. The states are kept in float32 without padding: 70 kB for a
galaxy of 92 tokens and width 192. In float16 a probe, which reads directions of tiny variance, predicted
other values than from `embed` (redshifts of a toy off by up to 0.07).

Shapes: B galaxies, T positions, M modalities, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from euclidfm.core.errors import InputError
from euclidfm.model import FoundationModel, tokenize
from euclidfm.model.tokenizer import withhold
from euclidfm.store import GalaxyStore

__all__ = ["Hidden", "HiddenBatch", "pooled"]

_CHUNK = 128


@dataclass
class HiddenBatch:
    """States of some galaxies, padded at the end of each."""

    x: Tensor
    """(B, T, D) states."""
    pool: Tensor
    """(B, M, T) weights of the mean over each modality's tokens; all 0 for a modality that is absent."""
    seen: Tensor | None
    """(B, 1, T, T) which position sees which; None: causal."""
    turn: Tensor | None
    """(B, T, 2, D/2H) rotations of a model with rotary places."""


@dataclass
class _State:
    x: np.ndarray
    kind: np.ndarray
    turn: np.ndarray | None


class Hidden:
    """States that enter block `start` of a model, by row of a store and symmetry of the square.

    Parameters
    ----------
    model : FoundationModel
    store : GalaxyStore
    modalities : sequence of str
        What the model may see.
    start : int
        Blocks below the trained ones: 0 keeps what enters the first.
    batch : int
        Galaxies at a time.

    Raises
    ------
    InputError
        If the model lacks a modality, or the store's cutouts are too small for it.
    """

    def __init__(
        self,
        model: FoundationModel,
        store: GalaxyStore,
        modalities: Sequence[str] = (),
        start: int = 0,
        batch: int = 64,
    ) -> None:
        config = model.config
        self.keep = tuple(modalities) or config.modalities
        for m in self.keep:
            if m not in config.modalities:
                msg = f"the model has no modality {m!r}; it has {', '.join(config.modalities)}"
                raise InputError(msg)
        self.model, self.store, self.start, self.batch_size = model, store, start, batch
        self.both_ways = model.masked or config.attention == "prefix"
        info = store.info
        shown = [b for m in config.images if m.name in self.keep for b in m.bands]
        self.bands = tuple(b for b in shown if b in info.image_bands)
        if self.bands and info.image_size < config.crop:
            msg = f"cutouts of {store.path} are {info.image_size} px, the model needs {config.crop}"
            raise InputError(msg)
        self.waves = info.wavelengths_nm
        self._kept: dict[tuple[int, int], _State] = {}

    def missing(self, rows: np.ndarray, turns: np.ndarray | None = None) -> int:
        """How many of the given states are not there yet."""
        return len(self._unknown(rows, turns))

    def prepare(self, rows: np.ndarray, turns: np.ndarray | None = None, limit: int = 0) -> int:
        """Compute states that are not there yet.

        Parameters
        ----------
        rows : (n,) array of int
            Rows of the store.
        turns : (n,) array of int, optional
            Symmetry of each, 0 to 7; default 0.
        limit : int
            Compute at most so many (0: all), so that a caller can show progress.

        Returns
        -------
        int
            How many were computed.
        """
        todo = self._unknown(rows, turns)
        todo = todo[:limit] if limit else todo
        for i in range(0, len(todo), self.batch_size):
            self._compute(todo[i : i + self.batch_size])
        return len(todo)

    def forget_turned(self) -> None:
        """Drop all states but those of unturned galaxies."""
        self._kept = {k: v for k, v in self._kept.items() if k[1] == 0}

    def exists(self, rows: np.ndarray) -> np.ndarray:
        """(n,) bool: the galaxy has any token at all."""
        return np.array([len(self._kept[int(r), 0].kind) > 0 for r in rows], bool)

    def batch(self, rows: np.ndarray, turns: np.ndarray | None = None) -> HiddenBatch:
        """States of prepared galaxies, in the given order."""
        states = [self._kept[key] for key in _keys(rows, turns)]
        d, m = self.model.config.width, len(self.model.config.modalities)
        longest = max(1, *(len(s.kind) for s in states))
        x = np.zeros((len(states), longest, d), np.float32)
        kind = np.full((len(states), longest), -1, np.int8)
        for i, s in enumerate(states):
            x[i, : len(s.kind)] = s.x
            kind[i, : len(s.kind)] = s.kind
        hot = (kind[:, None, :] == np.arange(m)[:, None]).astype(np.float32)
        pool = hot / np.maximum(hot.sum(axis=2, keepdims=True), 1.0)
        seen = None
        if self.both_ways:
            lengths = np.array([len(s.kind) for s in states])
            place = np.arange(longest)
            causal = place[:, None] >= place
            seen = torch.from_numpy((causal | (place < lengths[:, None, None]))[:, None])
        turn = None
        if self.model.rotary is not None:
            first = next((s.turn for s in states if s.turn is not None), None)
            shape = first.shape[1:] if first is not None else (2, 1)
            turns_of = np.zeros((len(states), longest, *shape), np.float32)
            for i, s in enumerate(states):
                if s.turn is not None:
                    turns_of[i, : len(s.kind)] = s.turn
            turn = torch.from_numpy(turns_of)
        return HiddenBatch(torch.from_numpy(x), torch.from_numpy(pool), seen, turn)

    @torch.no_grad()
    def vectors(self, rows: np.ndarray, blocks: nn.ModuleList | None = None) -> np.ndarray:
        """(n, M D) joint embeddings of prepared galaxies, by the model's own upper blocks or the given ones.

        A galaxy without any token gets typical values; see `exists`.
        """
        layer = self.model.config.layer
        own = self.model.transformer.blocks[self.start : layer] if blocks is None else blocks
        typical = self.model.typical[layer - 1]
        parts = [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]
        out = [pooled(own, self.batch(r), typical) for r in parts]
        return torch.cat(out).double().numpy() if out else np.empty((0, typical.numel()))

    def _unknown(self, rows: np.ndarray, turns: np.ndarray | None) -> list[tuple[int, int]]:
        return sorted(set(_keys(rows, turns)) - self._kept.keys(), key=lambda k: (k[1], k[0]))

    @torch.no_grad()
    def _compute(self, keys: list[tuple[int, int]]) -> None:
        model = self.model
        rows, turns = (np.array(a) for a in zip(*keys, strict=True))
        galaxies = self.store.read(rows, self.bands)
        tokens = withhold(tokenize(model.config, galaxies, self.waves, turns), self.keep)
        rank = torch.arange(len(tokens))
        order = rank.flip(0) if model.config.embed_backwards else rank
        layout = model.layout(tokens, order.expand(len(rows), -1))
        x, turn = model.inputs(model.content(tokens), tokens, layout), model.turns(tokens, layout)
        seen = layout.both_ways(layout.lengths) if self.both_ways else None
        packing = model.packing(layout, seen)
        packed_turn = turn
        if packing is not None:
            x, packed_turn = packing.pack(x), None if turn is None else packing.pack(turn)
        for block in model.transformer.blocks[: self.start]:
            x = block(x, seen, None, packed_turn, packing)
        if packing is not None:
            x = packing.unpack(x)
        kinds = np.full(layout.valid.shape[1], -1, np.int8)  # begin tokens belong to no mean
        for i, span in enumerate(layout.spans.values()):
            kinds[span] = i
        kind = kinds[layout.slots.numpy()]
        for i, (key, n) in enumerate(zip(keys, layout.lengths.tolist(), strict=True)):
            own = None if turn is None else turn[i, :n].numpy().astype(np.float32)
            self._kept[key] = _State(x[i, :n].numpy().copy(), kind[i, :n], own)


def pooled(blocks: nn.ModuleList, batch: HiddenBatch, typical: Tensor) -> Tensor:
    """(B, M D) joint embedding after the given blocks; `typical` (M, D) where a modality is absent."""
    x = batch.x
    for block in blocks:
        x = block(x, batch.seen, None, batch.turn)
    means = batch.pool @ x  # (B, M, D)
    here = batch.pool.any(dim=2, keepdim=True)
    return torch.where(here, means, typical).flatten(1)


def _keys(rows: np.ndarray, turns: np.ndarray | None) -> list[tuple[int, int]]:
    turned = np.zeros(len(rows), int) if turns is None else turns
    return [(int(r), int(t)) for r, t in zip(rows, turned, strict=True)]
