"""Cache of the activations below the fine-tuned blocks.

Fine-tuning trains only the blocks near the top. The activations that enter them do not change, so each galaxy
passes the blocks below once, whatever the number of steps. They are kept in float32 without padding: 70 kB
for a galaxy of 92 tokens and width 192. In float16 the predictions of a probe, which also uses directions of
tiny variance, differed from those of `embed` (redshifts of a toy by up to 0.07).

Shapes: B galaxies, T positions, M modalities, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from euclidfm.core.errors import InputError
from euclidfm.model.foundation import FoundationModel
from euclidfm.model.pooling import prepare_to_embed
from euclidfm.model.scaling import check_images
from euclidfm.model.sequence import Batch, TokenSequence
from euclidfm.model.tokens import drop_modalities
from euclidfm.store import GalaxyStore

__all__ = ["ActivationCache"]

_CHUNK = 128


@dataclass
class _Activations:
    """What is kept of one galaxy with T tokens."""

    x: np.ndarray
    """(T, D) states."""
    modality: np.ndarray
    """(T,) number of each token's modality; -1 for begin tokens."""
    angles: np.ndarray | None
    """(T, 2, D/2H) rotary positions."""


class ActivationCache:
    """Activations that enter block `start` of a model, by row of a store and symmetry of the square.

    Parameters
    ----------
    model : FoundationModel
    store : GalaxyStore
    modalities : sequence of str
        Modalities that the model may see.
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
        info = store.info
        shown = [b for m in config.images if m.name in self.keep for b in m.bands]
        self.bands = tuple(b for b in shown if b in info.image_bands)
        check_images(config, store, self.bands)
        self._kept: dict[tuple[int, int], _Activations] = {}

    def missing(self, rows: np.ndarray, symmetries: np.ndarray | None = None) -> int:
        """How many of the given galaxies are not in the cache."""
        return len(self._unknown(rows, symmetries))

    def prepare(self, rows: np.ndarray, symmetries: np.ndarray | None = None, limit: int = 0) -> int:
        """Compute activations that are not in the cache.

        Parameters
        ----------
        rows : (n,) array of int
            Rows of the store.
        symmetries : (n,) array of int, optional
            Symmetry of each, 0 to 7; default 0.
        limit : int
            Compute at most this many (0: all), so that a caller can show progress.

        Returns
        -------
        int
            How many were computed.
        """
        todo = self._unknown(rows, symmetries)
        todo = todo[:limit] if limit else todo
        for i in range(0, len(todo), self.batch_size):
            self._compute(todo[i : i + self.batch_size])
        return len(todo)

    def forget_symmetries(self) -> None:
        """Drop all activations but those of galaxies as they are in the store."""
        self._kept = {k: v for k, v in self._kept.items() if k[1] == 0}

    def exists(self, rows: np.ndarray) -> np.ndarray:
        """(n,) bool: the galaxy has any token at all."""
        return np.array([len(self._kept[int(r), 0].modality) > 0 for r in rows], bool)

    def pooled(
        self,
        rows: np.ndarray,
        symmetries: np.ndarray | None = None,
        blocks: Iterable[nn.Module] | None = None,
    ) -> Tensor:
        """(B, M D) joint embeddings of cached galaxies, by the model's own upper blocks or the given ones.

        A modality that is absent has its mean over the training galaxies.
        """
        batch, share = self._batch(rows, symmetries)
        layer = self.model.config.layer
        means = share @ self.model.encode(batch, layer, blocks=blocks).x  # (B, M, D)
        here = share.any(dim=2, keepdim=True)
        return torch.where(here, means, self.model.modality_mean[layer - 1].detach()).flatten(1)

    @torch.no_grad()
    def vectors(self, rows: np.ndarray, blocks: nn.ModuleList | None = None) -> np.ndarray:
        """(n, M D) joint embeddings of cached galaxies, float64; see `pooled`."""
        parts = [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]
        out = [self.pooled(r, blocks=blocks) for r in parts]
        width = self.model.modality_mean[0].numel()
        return torch.cat(out).double().numpy() if out else np.empty((0, width))

    def _unknown(self, rows: np.ndarray, symmetries: np.ndarray | None) -> list[tuple[int, int]]:
        return sorted(set(_keys(rows, symmetries)) - self._kept.keys(), key=lambda k: (k[1], k[0]))

    @torch.no_grad()
    def _compute(self, keys: list[tuple[int, int]]) -> None:
        model = self.model
        rows, symmetries = (np.array(a) for a in zip(*keys, strict=True))
        galaxies = self.store.read(rows, self.bands)
        tokens = model.tokenizer(galaxies, self.store.info.wavelengths_nm, symmetries)
        batch = model.encode(prepare_to_embed(model, drop_modalities(tokens, self.keep)), self.start)
        s = batch.sequence
        of_slot = np.full(s.valid.shape[1], -1, np.int8)
        for i, span in enumerate(s.spans.values()):
            of_slot[span] = i
        modality = of_slot[s.slots.numpy()]
        for i, (key, n) in enumerate(zip(keys, s.lengths.tolist(), strict=True)):
            angles = None if batch.angles is None else batch.angles[i, :n].numpy().astype(np.float32)
            self._kept[key] = _Activations(batch.x[i, :n].numpy().copy(), modality[i, :n], angles)

    def _batch(self, rows: np.ndarray, symmetries: np.ndarray | None) -> tuple[Batch, Tensor]:
        """Cached galaxies, padded at the end of each, and (B, M, T) weights of the mean over a modality."""
        kept = [self._kept[key] for key in _keys(rows, symmetries)]
        config = self.model.config
        lengths = torch.tensor([len(s.modality) for s in kept])
        longest = max(1, int(lengths.max()))
        x = np.zeros((len(kept), longest, config.width), np.float32)
        modality = np.full((len(kept), longest), -1, np.int8)
        for i, s in enumerate(kept):
            x[i, : len(s.modality)] = s.x
            modality[i, : len(s.modality)] = s.modality
        member = (modality[:, None, :] == np.arange(len(config.modalities))[:, None]).astype(np.float32)
        share = member / np.maximum(member.sum(axis=2, keepdims=True), 1.0)
        place = torch.arange(longest).expand(len(kept), -1)
        sequence = TokenSequence(place, place, place < lengths[:, None], {})
        mask = sequence.attention_mask(lengths) if config.bidirectional else None
        angles = self._angles(kept, longest) if self.model.rotary is not None else None
        batch = Batch(torch.from_numpy(x), sequence, mask, angles, layer=self.start)
        return batch, torch.from_numpy(share)

    @staticmethod
    def _angles(kept: list[_Activations], longest: int) -> Tensor:
        """(B, T, 2, D/2H) rotary positions, zeros in the padding."""
        first = next((s.angles for s in kept if s.angles is not None), None)
        shape = first.shape[1:] if first is not None else (2, 1)
        out = np.zeros((len(kept), longest, *shape), np.float32)
        for i, s in enumerate(kept):
            if s.angles is not None:
                out[i, : len(s.modality)] = s.angles
        return torch.from_numpy(out)


def _keys(rows: np.ndarray, symmetries: np.ndarray | None) -> list[tuple[int, int]]:
    own = np.zeros(len(rows), int) if symmetries is None else symmetries
    return [(int(r), int(t)) for r, t in zip(rows, own, strict=True)]
