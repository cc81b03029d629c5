"""The image encoder: a small convolutional network that summarises all images of a galaxy in one vector.

It reads the bands of all image modalities at once and at two scales: the central half of the cutout at full
resolution, and the whole cutout at half resolution. Bands that are missing are zero, and a mask says so.

Shapes: B galaxies, C bands, H and W pixels, E numbers of the summary.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from euclidfm.model.config import ModelConfig
from euclidfm.model.patches import join_patches
from euclidfm.model.tokenizer import Tokenizer
from euclidfm.model.tokens import Tokens

__all__ = ["ImageEncoder", "ImageSummary", "images_of"]

GROUPS = 8
"""Groups of channels that GroupNorm (Wu & He 2018) normalises together."""


class ImageSummary(nn.Module):
    """Image encoder of a model, with the linear read-out that trains it.

    Parameters
    ----------
    config : ModelConfig
        Fitted: it has the scaling of the read-out (`euclidfm.model.readout`).
    tokenizer : Tokenizer
        It gives the order of the patches.
    """

    mean: Tensor

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.config = config
        self.order = {m.name: tokenizer.patch_order(config.crop // m.patch) for m in config.images}
        size = ImageEncoder.size(config.image_encoder)
        self.encoder = ImageEncoder(sum(len(m.bands) for m in config.images), config.image_encoder)
        self.readout = nn.Linear(size, len(config.readout_center))
        self.register_buffer("mean", torch.zeros(size))

    def forward(self, tokens: Tokens) -> Tensor:
        """(B, E) summaries of the images; NaN for a galaxy without any."""
        seen = torch.stack([tokens[m.name].valid.any(1) for m in self.config.images]).any(0)
        summary = self.encoder(images_of(self.config, tokens, self.order))
        return summary.masked_fill(~seen[:, None], torch.nan)

    def predict(self, tokens: Tokens) -> Tensor:
        """(B, 1, K) predictions of the read-out's targets."""
        summary = self.encoder(images_of(self.config, tokens, self.order))
        return self.readout(summary)[:, None]


class ImageEncoder(nn.Module):
    """Convolutional encoder of (B, 2 C, H, W) images and masks.

    Parameters
    ----------
    bands : int
        Bands C of all image modalities.
    width : int
        Channels of the first stage, a multiple of 8. The second stage has twice as many, the third four
        times.
    """

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.centre, self.whole = Stages(2 * bands, width), Stages(2 * bands, width)
        self.norm = nn.LayerNorm(self.size(width))

    @staticmethod
    def size(width: int) -> int:
        """Numbers E of the summary: mean and maximum of the last two stages at both scales."""
        return 2 * 2 * (2 + 4) * width

    def forward(self, images: Tensor) -> Tensor:
        """(B, E) summaries of (B, 2 C, H, W) scaled pixels and masks, bands first, H = W."""
        edge = images.shape[-1] // 4
        centre = images[..., edge : images.shape[-2] - edge, edge : images.shape[-1] - edge]
        parts = [self.centre(centre), self.whole(F.avg_pool2d(images, 2))]
        return self.norm(torch.cat(parts, dim=1).float())


class Stages(nn.Module):
    """Three stages of convolutions, each at half the resolution of the one before."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.early = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2),
            ResidualBlock(width),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            ResidualBlock(2 * width),
        )
        self.late = nn.Sequential(
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1), ResidualBlock(4 * width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 12 width): mean and maximum over the pixels of the second and the third stage."""
        second = self.early(x.contiguous(memory_format=torch.channels_last))
        third = self.late(second)
        return torch.cat([pool(s) for s in (second, third) for pool in (_mean, _maximum)], dim=1)


class ResidualBlock(nn.Module):
    """Two convolutions behind GroupNorm and GELU, added to their input (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_first, self.norm_second = nn.GroupNorm(GROUPS, channels), nn.GroupNorm(GROUPS, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        inner = self.first(F.gelu(self.norm_first(x)))
        return x + self.second(F.gelu(self.norm_second(inner)))


def _mean(x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3))


def _maximum(x: Tensor) -> Tensor:
    return x.amax(dim=(2, 3))


def images_of(config: ModelConfig, tokens: Tokens, order: Mapping[str, np.ndarray]) -> Tensor:
    """(B, 2 C, H, W) images and masks from the patches of all image modalities.

    Parameters
    ----------
    config : ModelConfig
    tokens : Tokens
        Patches of a modality that was dropped are masked.
    order : dict of modality to array of int
        Order of the patches, as in `euclidfm.model.patches.cut_patches`.
    """
    pixels, masks = [], []
    for m in config.images:
        t = tokens[m.name]
        usable = (t.weight > 0).float()
        pixels.append(join_patches(t.target * usable, m.patch, order[m.name]))
        masks.append(join_patches(1 - usable, m.patch, order[m.name]))
    return torch.cat([*pixels, *masks], dim=1)
