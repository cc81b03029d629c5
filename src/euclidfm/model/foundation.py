"""The foundation model: reads a galaxy as a chain of tokens and predicts each from those before.

Each position is told what it has to predict: the embedding of the *next* token's place (its
modality, its place on the sky, its wavelength) is added to the input, so that one model predicts
any token from any others, in any order.

Shapes: B galaxies, S slots, T positions, D width, P values of a token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.errors import InputError
from euclidfm.files import read_json, write_json
from euclidfm.model.chain import Chain, chain
from euclidfm.model.config import ModelConfig
from euclidfm.model.tokens import Tokens, token_sizes
from euclidfm.model.transformer import Transformer

__all__ = ["FoundationModel"]

FORMAT = 1


class FoundationModel(nn.Module):
    """Multi-modal autoregressive transformer over image patches and SED points.

    Parameters
    ----------
    config : ModelConfig

    Examples
    --------
    >>> model = FoundationModel.load("run/")  # doctest: +SKIP
    """

    typical: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        d, names = config.width, config.modalities
        self.read = nn.ModuleDict()
        self.predict = nn.ModuleDict()
        for name, (features, values) in token_sizes(config).items():
            self.read[name] = nn.Sequential(nn.Linear(features, d), nn.GELU(), nn.Linear(d, d))
            self.predict[name] = nn.Linear(d, values)
        self.begin = nn.Parameter(torch.randn(len(names), d) * 0.02)
        self.end = nn.Parameter(torch.randn(d) * 0.02)
        self.here = Place(len(names), d)
        self.next = Place(len(names), d)
        self.transformer = Transformer(d, config.depth, config.heads, config.mlp_ratio)
        self.register_buffer("typical", torch.zeros(config.depth, len(names), d))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.begin.device

    def parameter_count(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def _inputs(self, tokens: Tokens, layout: Chain) -> Tensor:
        """Input of each position: content, place, and the place of the next token. (B, T, D)."""
        names = list(tokens)
        b = layout.valid.shape[0]
        begin = self.begin[: len(names)].expand(b, -1, -1)
        content = torch.cat([begin, *(self.read[n](tokens[n].features) for n in names)], dim=1)
        coords = {n: tokens[n].coords for n in names}
        here, following = self.here(coords), self.next(coords)  # (S, D), (S + 1, D) with "the end"
        x = content + here
        x = x.gather(1, layout.slots[..., None].expand(-1, -1, x.shape[-1]))
        after = torch.cat([layout.slots[:, 1:], layout.slots.new_zeros(b, 1)], dim=1)
        has_next = torch.zeros_like(after, dtype=torch.bool)
        has_next[:, :-1] = layout.valid.gather(1, layout.slots)[:, 1:]
        places = torch.cat([following, self.end[None]])
        # a look-up, not indexing: the gradient of indexing is summed in no fixed order on many threads
        return x + F.embedding(torch.where(has_next, after, len(here)), places)

    def forward(
        self, tokens: Tokens, order: Tensor | None = None, shuffle: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Predict each token from those before it in the chain.

        Returns
        -------
        dict of modality to (B, n, P) Tensor
            Prediction of each token, in the modality's own order; scaled units. Predictions of
            absent tokens are meaningless.
        """
        layout = chain(tokens, order, shuffle)
        hidden = self.transformer(self._inputs(tokens, layout))
        before = (layout.positions - 1).clamp(0, hidden.shape[1] - 1)
        out = {}
        for name, span in layout.spans.items():
            at = before[:, span, None].expand(-1, -1, hidden.shape[-1])
            out[name] = self.predict[name](hidden.gather(1, at))
        return out

    @staticmethod
    def loss_sums(predictions: dict[str, Tensor], tokens: Tokens) -> dict[str, tuple[Tensor, Tensor]]:
        """Huber loss of each modality: the weighted sum over its values, and the sum of weights."""
        out = {}
        for name, t in tokens.items():
            huber = F.huber_loss(predictions[name].float(), t.target, reduction="none")
            out[name] = ((huber * t.weight).sum(), t.weight.sum())
        return out

    @torch.inference_mode()
    def embed(self, tokens: Tokens, layer: int | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Embed a batch of galaxies.

        The chain runs backwards here: photometry first, then the images, each modality seeing those
        before it (measured: the few SED tokens say most about redshift when nothing stands before them).

        Parameters
        ----------
        tokens : Tokens
        layer : int, optional
            Block whose output is used (1 to depth); default the config's.

        Returns
        -------
        joint : (B, M D) Tensor
            The means of the M modalities, joined; for one that a galaxy lacks its typical value over
            the training galaxies, which says nothing. NaN for a galaxy without any.
        by_modality : dict of str to (B, D) Tensor
            Mean over the modality's tokens; NaN where it is absent.
        """
        layer = layer or self.config.layer
        means = self._means(tokens, (layer,))[layer]
        parts = [torch.where(v.isnan(), self.typical[layer - 1, i], v) for i, v in enumerate(means.values())]
        joint = torch.cat(parts, dim=1)
        nothing = torch.stack([v[:, 0].isnan() for v in means.values()]).all(0)
        return joint.masked_fill(nothing[:, None], torch.nan), means

    def _means(self, tokens: Tokens, layers: Iterable[int]) -> dict[int, dict[str, Tensor]]:
        """Mean over each modality's tokens after the given blocks; NaN where it is absent."""
        last_first = torch.arange(len(tokens) - 1, -1, -1, device=self.device)
        b = next(iter(tokens.values())).valid.shape[0]
        layout = chain(tokens, last_first.expand(b, -1))
        x = self._inputs(tokens, layout)
        at = layout.positions.clamp(max=x.shape[1] - 1)[..., None].expand(-1, -1, x.shape[-1])
        out = {}
        for number, block in enumerate(self.transformer.blocks[: max(layers)], 1):
            x = block(x)
            if number in layers:
                by_slot = x.float().gather(1, at)
                out[number] = {
                    name: (by_slot[:, span] * layout.valid[:, span, None]).sum(1)
                    / layout.valid[:, span, None].sum(1)  # 0 / 0 is NaN: absent
                    for name, span in layout.spans.items()
                }
        return out

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
        aside = folder / ".model.safetensors.partial"
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, aside)
        aside.replace(folder / "model.safetensors")
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


class Place(nn.Module):
    """Embedding of a token's place: its modality, where on the sky, at which wavelength."""

    wave: Tensor

    def __init__(self, modalities: int, width: int, frequencies: int = 8) -> None:
        super().__init__()
        self.begin = nn.Parameter(torch.randn(modalities, width) * 0.02)
        self.modality = nn.Parameter(torch.randn(modalities, width) * 0.02)
        self.project = nn.Linear(6 * frequencies, width)
        # periods from 0.8 arcsec to 100 arcsec, and from 0.2 to 25 in ln(wavelength)
        octaves = 2.0 ** torch.arange(frequencies)
        scale = torch.tensor([0.8, 0.8, 0.2])
        self.register_buffer("wave", 2 * torch.pi / (scale[:, None] * octaves), persistent=False)

    def forward(self, coords: dict[str, Tensor]) -> Tensor:
        """(S, D) for the begin tokens and then each modality's tokens."""
        parts = [self.begin[: len(coords)]]
        for i, c in enumerate(coords.values()):
            phase = (c[:, :, None] * self.wave).flatten(1)
            parts.append(self.project(torch.cat([phase.sin(), phase.cos()], -1)) + self.modality[i])
        return torch.cat(parts)
