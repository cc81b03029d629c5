"""The foundation model: its losses, its surprise, its embeddings, and its files.

Shapes: B galaxies, n tokens of a modality, M modalities, D width, P values of a token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json, write_json, written_aside
from euclidfm.model.config import ModelConfig
from euclidfm.model.likelihood import StudentT, split
from euclidfm.model.mixture import Mixture, mixture
from euclidfm.model.network import Network
from euclidfm.model.patches import patch_order
from euclidfm.model.sequence import every
from euclidfm.model.tokenizer import Tokens

__all__ = ["FoundationModel"]

FORMAT = 1


class FoundationModel(Network):
    """Multi-modal transformer over image patches and SED points.

    Parameters
    ----------
    config : ModelConfig

    Examples
    --------
    >>> model = FoundationModel.load("run/")  # doctest: +SKIP
    """

    def distribution(self, modality: str, raw: Tensor) -> StudentT | Mixture:
        """What a predictor's numbers (B, n, 2 P or 3 P K) say of a modality's values."""
        say = mixture if self.config.likelihood == "mixture" else split
        return say(raw, self.tails[modality]())

    def distributions(self, predictions: dict[str, Tensor], tokens: Tokens) -> dict[str, StudentT | Mixture]:
        """What a model with the likelihood objective predicts for the measured values of tokens."""
        return {m: self.distribution(m, p).with_error(tokens[m].error) for m, p in predictions.items()}

    def loss_sums(self, predictions: dict[str, Tensor], tokens: Tokens) -> dict[str, tuple[Tensor, Tensor]]:
        """Loss of each modality: the weighted sum over its values, and the sum of weights.

        Huber loss, or negative log-likelihood in nats; there errors count in the scale, not as weights.
        """
        out, counts = {}, self.counts(tokens)
        if self.config.objective == "likelihood":
            for name, d in self.distributions(predictions, tokens).items():
                here = (tokens[name].weight > 0).float()
                out[name] = (-(d.log_density(tokens[name].target) * here).sum(), counts[name])
            return out
        for name, t in tokens.items():
            huber = F.huber_loss(predictions[name].float(), t.target, reduction="none")
            out[name] = ((huber * t.weight).sum(), counts[name])
        return out

    def counts(self, tokens: Tokens) -> dict[str, Tensor]:
        """Sum of the weights of each modality's values; with the likelihood, their number."""
        if self.config.objective == "likelihood":
            return {m: (t.weight > 0).float().sum() for m, t in tokens.items()}
        return {m: t.weight.sum() for m, t in tokens.items()}

    @torch.inference_mode()
    def surprise(
        self, tokens: Tokens, order: Tensor | None = None, shuffle: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """How little each token was foreseen from those before it: its negative log-likelihood.

        A masked model is asked four times, each time for a quarter of the tokens from the others. Read a
        model that was trained in random order in random order (`euclidfm.model.sequence.random_orders`): in
        the default order of the SED bands each is an extrapolation, and the densities come out too narrow.

        Returns
        -------
        dict of modality to (B, n) Tensor
            Sum over the token's unmasked values of -ln p, in nats, of values in scaled units; NaN for
            tokens that are absent or not predicted.

        Raises
        ------
        InputError
            If the model was not trained with the likelihood objective.
        """
        if self.config.objective != "likelihood":
            msg = "this model has no likelihood, so no surprise: pre-train with --model.objective likelihood"
            raise InputError(msg)
        out = {m: torch.full(t.valid.shape, torch.nan, device=t.valid.device) for m, t in tokens.items()}
        for part in range(4 if self.masked else 1):
            hidden = every(tokens, part, 4) if self.masked else None
            asked = self.asked(tokens, order, shuffle, None, hidden)
            predictions = self(tokens, order, shuffle, None, hidden)
            for m, d in self.distributions(predictions, tokens).items():
                here = asked[m].weight > 0
                nats = -(d.log_density(tokens[m].target) * here).sum(-1)
                out[m] = torch.where(here.any(-1) & tokens[m].valid, nats, out[m])
        return out

    @torch.inference_mode()
    def embed(
        self, tokens: Tokens, layer: int | None = None, both_ways: bool | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Embed a batch of galaxies.

        The chain runs backwards by default: photometry first, then the images, each modality seeing those
        before it (measured: the few SED tokens say most about redshift when nothing stands before them).
        A masked model and one with prefix attention let all tokens see each other.

        Parameters
        ----------
        tokens : Tokens
        layer : int, optional
            Block whose output is used (1 to depth); default the config's.
        both_ways : bool, optional
            Whether all tokens see each other; default as the model was trained.

        Returns
        -------
        joint : (B, M D) Tensor
            The means of the M modalities, joined; for one that a galaxy lacks its typical value over
            the training galaxies, which says nothing. NaN for a galaxy without any.
        by_modality : dict of str to (B, D) Tensor
            Mean over the modality's tokens; NaN where it is absent.
        """
        joint, means, _ = self.embed_with_core(tokens, layer, both_ways)
        return joint, means

    @torch.inference_mode()
    def embed_with_core(
        self, tokens: Tokens, layer: int | None = None, both_ways: bool | None = None
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """As `embed`, and for each image modality the mean over its central tokens.

        Returns
        -------
        joint, by_modality
            As of `embed`.
        core : dict of str to (B, D) Tensor
            Mean over the patches whose centres lie in the middle half of the cutout (each way): most of
            the others hold sky. NaN where there are none.
        """
        layer = layer or self.config.layer
        ((_, states),) = self._states(tokens, (layer,), both_ways)
        means = {name: _mean(v, valid) for name, (v, valid) in states.items()}
        core = {
            name: _mean(states[name][0], states[name][1] & self._central(name))
            for name in (m.name for m in self.config.images)
            if name in states
        }
        parts = [torch.where(v.isnan(), self.typical[layer - 1, i], v) for i, v in enumerate(means.values())]
        joint = torch.cat(parts, dim=1)
        nothing = torch.stack([v[:, 0].isnan() for v in means.values()]).all(0)
        return joint.masked_fill(nothing[:, None], torch.nan), means, core

    def _central(self, modality: str) -> Tensor:
        """(n,) bool: tokens, in their order, whose patches lie in the middle half of the cutout."""
        patch = next(m.patch for m in self.config.images if m.name == modality)
        side = self.config.crop // patch
        raster = torch.as_tensor(patch_order(self.config.tokens.patch_order, side), device=self.device)
        away = [((at + 0.5) / side - 0.5).abs() <= 0.25 for at in (raster // side, raster % side)]
        return away[0] & away[1]

    def _means(
        self, tokens: Tokens, layers: Iterable[int], both_ways: bool | None = None
    ) -> dict[int, dict[str, Tensor]]:
        """Mean over each modality's tokens after the given blocks; NaN where it is absent."""
        return {
            number: {name: _mean(v, valid) for name, (v, valid) in states.items()}
            for number, states in self._states(tokens, layers, both_ways)
        }

    def _states(
        self, tokens: Tokens, layers: Iterable[int], both_ways: bool | None = None
    ) -> Iterator[tuple[int, dict[str, tuple[Tensor, Tensor]]]]:
        """After each of the given blocks: each modality's states (B, n, D) and which are valid (B, n)."""
        rank = torch.arange(len(tokens), device=self.device)
        b = next(iter(tokens.values())).valid.shape[0]
        layout = self.layout(tokens, (rank.flip(0) if self.config.embed_backwards else rank).expand(b, -1))
        if both_ways is None:
            both_ways = self.masked or self.config.attention == "prefix"
        seen = layout.both_ways(layout.lengths) if both_ways else None
        x, turn = self.inputs(self.content(tokens), tokens, layout), self.turns(tokens, layout)
        at = layout.positions.clamp(max=x.shape[1] - 1)[..., None].expand(-1, -1, x.shape[-1])
        packing = self.packing(layout, seen)
        if packing is not None:
            x, turn = packing.pack(x), None if turn is None else packing.pack(turn)
        for number, block in enumerate(self.transformer.blocks[: max(layers)], 1):
            x = block(x, seen, None, turn, packing)
            if number in layers:
                by_slot = (x if packing is None else packing.unpack(x)).float().gather(1, at)
                yield (
                    number,
                    {n: (by_slot[:, span], layout.valid[:, span]) for n, span in layout.spans.items()},
                )

    @torch.inference_mode()
    def fit_typical(self, batches: Iterable[Tokens]) -> None:
        """Set each modality's typical embedding: the mean over the galaxies of some batches that have it."""
        layers = range(1, self.config.depth + 1)
        total = torch.zeros_like(self.typical, dtype=torch.float64)
        count = torch.zeros(len(self.config.modalities), 1, dtype=torch.float64, device=self.device)
        for tokens in batches:
            for layer, means in self._means(tokens, layers).items():
                for i, v in enumerate(means.values()):
                    total[layer - 1, i] += v.double().nansum(0)
                    count[i] += (~v[:, 0].isnan()).sum() if layer == 1 else 0
        self.typical.copy_((total / count.clamp(min=1)).float())

    def save(self, folder: str | Path, extra: Mapping[str, Any] | None = None) -> None:
        """Write ``model.safetensors`` and ``model.json`` to a folder."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with written_aside(folder / "model.safetensors") as aside:
            save_file({k: v.contiguous() for k, v in self.state_dict().items()}, aside)
        card = {"format": FORMAT, "config": asdict(self.config), "identity": self.identity()}
        write_json(folder / "model.json", card | dict(extra or {}))

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> FoundationModel:
        """Load a model from a run folder.

        Raises
        ------
        InputError
            If the folder holds no model, or a damaged one.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        if not (folder / "model.json").is_file():
            msg = f"{folder} holds no model (no model.json); train one with `euclidfm pretrain`"
            raise InputError(msg)
        card = read_json(folder / "model.json")
        if card.get("format") != FORMAT:
            msg = f"{folder / 'model.json'} has format {card.get('format')}, this program reads {FORMAT}"
            raise InputError(msg)
        model = cls(ModelConfig.from_dict(card["config"]))
        try:
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except (SafetensorError, RuntimeError, OSError) as e:
            msg = f"{folder / 'model.safetensors'} is missing, damaged or of another model ({e})"
            raise InputError(msg) from None
        return model.to(device).eval()

    def identity(self) -> str:
        """Short hash of the weights: the model's name in catalogues."""
        digest = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]


def _mean(states: Tensor, valid: Tensor) -> Tensor:
    """(B, D): mean over the valid of (B, n, D); 0 / 0 is NaN, for a modality that is absent."""
    return (states * valid[..., None]).sum(1) / valid.sum(1, keepdim=True)
