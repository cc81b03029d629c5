"""Stamps: the pixels and flag bits that one object adds to a mosaic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["FLAG_BITS", "Stamp"]

FLAG_BITS = {"invalid": 1, "hot": 2, "cold": 4, "saturated": 8, "cosmic_ray": 16, "ghost": 32}
"""Bits of the flag maps."""


@dataclass(frozen=True)
class Stamp:
    """Pictures and flags of one object.

    Attributes
    ----------
    image : array of shape ``(bands, size, size)``
        µJy per pixel.
    flag : array of shape ``(bands, size, size)``, int32
    """

    image: np.ndarray
    flag: np.ndarray
