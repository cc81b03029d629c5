"""A mock Euclid sky, written as the files of ``docs/sky-files.md``.

`SkyConfig` says how large, how deep and how dense; `simulate_sky` writes it. The reading
path: `population` (who is there), `seds` (their colours), `morphology` (their shapes),
`render` (through the PSF), `artefacts`, `tile` (mosaics and noise), `measure` and
`catalogue` (what a pipeline would list), `sky` (tiles in parallel), `validate`
(figures, and distances from real data).
"""

from __future__ import annotations

from euclidfm.simulate.config import PRESETS, SkyConfig
from euclidfm.simulate.sky import simulate_sky
from euclidfm.simulate.validation.run import validate_sky

__all__ = ["PRESETS", "SkyConfig", "simulate_sky", "validate_sky"]
