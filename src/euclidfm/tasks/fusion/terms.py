"""Terms of a fusion: one block of numbers in one form, as standardised features.

Shapes: n galaxies, k raw numbers of a block, m features.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from euclidfm.embeddings.table import PHOTOMETRY
from euclidfm.tasks.baselines.photometry import (
    AsinhMagnitudes,
    colours,
    fill_missing,
    gaussian_of,
    products,
)
from euclidfm.tasks.heads.base import Scaler
from euclidfm.tasks.heads.maps import FeatureMap

__all__ = ["Term", "forms_of"]

NARROW = 64
"""Largest number of numbers in a block whose squares and products are tried."""

KERNEL_SCALE = 10.0
"""Rows of kernel features have length one at most; scaled so, they weigh as much as a hundred features."""


def forms_of(block: str, width: int) -> tuple[str, ...]:
    """Forms in which a block can enter, the plainest first."""
    if block == PHOTOMETRY:
        return ("quadratic", "kernel")
    return ("linear", "quadratic", "kernel") if width <= NARROW else ("linear", "kernel")


@dataclass
class Term:
    """A block in one form.

    Attributes
    ----------
    block : str
        ``photometry`` holds K fluxes, then their K errors (µJy). It becomes the mean asinh magnitude and
        adjacent colours; missing bands are replaced by their expectation given the others. Of other blocks,
        missing numbers become the mean.
    form : {"linear", "quadratic", "kernel"}
    weight : float
        Factor of the standardised features: the prior standard deviation of their coefficients.
    """

    block: str
    form: str
    weight: float = 1.0
    seed: int = 0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Such as ``photometry (quadratic)``."""
        return f"{self.block} ({self.form})"

    def settings(self) -> dict[str, Any]:
        """Settings without arrays."""
        return {k: v for k, v in self.__dict__.items() if k != "arrays"}

    def fit(self, raw: np.ndarray) -> np.ndarray:
        """Fit to the (n, k) raw numbers of the training galaxies; returns their (n, m) features."""
        if self.block == PHOTOMETRY:
            flux, error = np.split(np.asarray(raw, float), 2, axis=1)
            scale = AsinhMagnitudes.of(flux, error)
            mean, covariance = gaussian_of(scale.magnitudes(flux))
            self.arrays = {"softening": scale.softening, "mean": mean, "covariance": covariance}
        x = self._base(raw)
        self._keep("base", Scaler.of(x))
        if self.form == "quadratic":
            if self.block != PHOTOMETRY:
                self._fit_map(x)
            self._keep("products", Scaler.of(self._products(x)))
        elif self.form == "kernel":
            self._fit_map(x)
        return self(raw)

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """(n, m) features times the weight."""
        x = self._base(raw)
        if self.form == "quadratic":
            return self.weight * self._scaler("products")(self._products(x))
        scaled = self._scaler("base")(x)
        if self.form == "kernel":
            scaled = KERNEL_SCALE * self._map()(scaled)[:, scaled.shape[1] :]
        return self.weight * scaled

    def _base(self, raw: np.ndarray) -> np.ndarray:
        if self.block != PHOTOMETRY:
            return np.asarray(raw, float)
        m = self._magnitudes(raw)
        return np.concatenate([m.mean(axis=1, keepdims=True), colours(m)], axis=1)

    def _magnitudes(self, raw: np.ndarray) -> np.ndarray:
        flux, _ = np.split(np.asarray(raw, float), 2, axis=1)
        m = AsinhMagnitudes(softening=self.arrays["softening"]).magnitudes(flux)
        return fill_missing(m, self.arrays["mean"], self.arrays["covariance"])

    def _products(self, x: np.ndarray) -> np.ndarray:
        if self.block != PHOTOMETRY:
            return self._map()(self._scaler("base")(x))
        return products(x)

    def _fit_map(self, x: np.ndarray) -> None:
        found = self._map()
        found.fit(self._scaler("base")(x))
        self.arrays |= found.arrays

    def _map(self) -> FeatureMap:
        own = {k: v for k, v in self.arrays.items() if k in ("rotation", "centres", "unmix")}
        if self.form == "quadratic":
            return FeatureMap(kind="quadratic", leading=14, arrays=own)
        return FeatureMap(
            kind="kernel", leading=16, width=1.4, whiten=0.5, centres=300, seed=self.seed, arrays=own
        )

    def _keep(self, name: str, scaler: Scaler) -> None:
        self.arrays |= {f"{name}_{k}": v for k, v in scaler.__dict__.items()}

    def _scaler(self, name: str) -> Scaler:
        return Scaler(**{k: self.arrays[f"{name}_{k}"] for k in ("mean", "scale", "flagged")})
