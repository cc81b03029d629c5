"""A mock Euclid sky, written as the files of ``docs/sky-files.md``.

`SkyConfig` sets the size, the depth and the density of the sky; `simulate_sky` writes it. Read
in this order: `population` (the objects and their properties), `seds` (their colours), `images`
(their shapes through the PSF, artefacts, noise), `catalogue` (what a pipeline would measure and
list), `tile` (all of this for one tile), `sky` (tiles in parallel, and files), `validation`
(figures, and distances from real data).
"""

from __future__ import annotations

from euclidfm.simulate.config import PRESETS, SkyConfig
from euclidfm.simulate.sky import simulate_sky
from euclidfm.simulate.validation.run import validate_sky

__all__ = ["PRESETS", "SkyConfig", "simulate_sky", "validate_sky"]
