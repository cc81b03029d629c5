"""What the image encoder learns: a linear read-out of the image summary predicts the galaxy's photometry.

The targets are the mean asinh magnitude over the bands and the colours of bands next to each other in
wavelength, each standardised over the training galaxies. Photometry needs no labels. To predict it the
summary has to hold fluxes, colours and whatever in an image goes with a redshift. Where there is no
photometry, as with plain pictures, the numbers measured on the images (`euclidfm.measure`) take its place.

Shapes: B galaxies, K SED bands.
"""

from __future__ import annotations

import torch
from torch import Tensor

from euclidfm.model.config import MEASURED, SED, ModelConfig
from euclidfm.model.tokens import ModalityTokens, Tokens

__all__ = ["READOUT", "readout_targets", "sed_summary"]

READOUT = "READOUT"
"""Name of the predictions and targets of the read-out beside those of the modalities."""

ERROR_SOFTENING = 0.3
"""Errors of a standardised target that are larger than this lower its weight in the loss."""


def sed_summary(values: Tensor, here: Tensor, wavelength: Tensor) -> tuple[Tensor, Tensor]:
    """Mean asinh flux over the bands, and differences of bands that are next to each other.

    Parameters
    ----------
    values : (B, K) Tensor
        Scaled asinh fluxes.
    here : (B, K) bool Tensor
        Which are measured.
    wavelength : (K,) Tensor

    Returns
    -------
    summary : (B, K) Tensor
    known : (B, K) bool Tensor
    """
    order = wavelength.argsort()
    values, here = values[:, order], here[:, order]
    mean = (values * here).sum(1, keepdim=True) / here.sum(1, keepdim=True).clamp(min=1)
    known = torch.cat([here.any(1, keepdim=True), here[:, 1:] & here[:, :-1]], dim=1)
    return torch.cat([mean, values[:, 1:] - values[:, :-1]], dim=1), known


def readout_targets(config: ModelConfig, tokens: Tokens) -> ModalityTokens | None:
    """Standardised targets (B, 1, K) of the read-out with their weights; None for a model without one.

    They come from the SED, or from the measured numbers for a model without SED. Both count even where their
    tokens are dropped afterwards, so call this before that.
    """
    if not config.has_image_encoder:
        return None
    if config.sed:
        target, weight = _sed_targets(config, tokens[SED])
    else:
        target, weight = tokens[MEASURED].target[..., 0], tokens[MEASURED].weight[..., 0]
    return ModalityTokens(
        features=target[:, None, :0],
        target=target[:, None],
        weight=weight[:, None],
        valid=(weight > 0).any(1, keepdim=True),
        coords=torch.zeros(1, 3, device=target.device),
    )


def _sed_targets(config: ModelConfig, sed: ModalityTokens) -> tuple[Tensor, Tensor]:
    """Standardised mean magnitude and colours (B, K), and their weights."""
    wavelength = sed.coords[:, 2]
    summary, known = sed_summary(sed.target[..., 0], sed.weight[..., 0] > 0, wavelength)
    center, spread = (
        torch.tensor(v, device=summary.device) for v in (config.readout_center, config.readout_spread)
    )
    error = torch.zeros_like(summary) if sed.error is None else sed.error[..., 0][:, wavelength.argsort()]
    error = torch.cat(
        [torch.zeros_like(error[:, :1]), (error[:, 1:] ** 2 + error[:, :-1] ** 2).sqrt()], dim=1
    )
    weight = known / (1 + (error / spread / ERROR_SOFTENING) ** 2)
    return ((summary - center) / spread).masked_fill(~known, 0.0), weight
