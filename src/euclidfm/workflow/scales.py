"""Settings of `euclidfm reproduce` at each scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from euclidfm.core.errors import InputError

__all__ = ["SCALES", "ReproduceConfig", "scale"]


@dataclass(frozen=True, kw_only=True)
class ReproduceConfig:
    """A reproduction of the reference work's claims on a mock sky."""

    scale: str = "standard"
    """Name of the scale that the other settings come from."""
    seed: int = 1
    """Everything random follows from it."""
    galaxies: int = 20000
    """Galaxies of the mock sky; stars, quasars and artefacts come on top."""
    rarity_boost: float = 0.5
    """Frequency of rings, mergers and lenses, 0 (natural) to 1 (see `SkyConfig`)."""
    size: int = 64
    """Side of the cutouts in pixels."""
    vis_patch: int = 8
    nisp_patch: int = 16
    width: int = 192
    depth: int = 6
    steps: int = 2500
    """Pre-training steps."""
    batch: int = 128
    """Galaxies a step, of which the transformer reads a quarter and the image encoder all."""
    learning_rate: float = 1.5e-3
    separate_steps: int = 750
    """Pre-training steps of the models that are trained without SED, and on VIS alone."""
    fractions: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2, 0.5, 0.8, 1.0)
    """Shares of the labels."""
    repeats: int = 10
    """Repeats of each, with other labels and another initialisation."""
    slow_repeats: tuple[tuple[float, int], ...] = (
        (0.0, 5),
        (0.2, 2),
        (0.5, 1),
        (0.8, 0),
        (1.0, 1),
    )
    """Repeats of networks, boosters and kernel feature maps, as (lowest share of the labels, repeats).
    Their cost grows with the labels, while the scatter between repeats falls."""
    cnn_size: int = 32
    """Central crop of the supervised networks' cutouts, pixels."""
    other_galaxies: int = 4000
    """Galaxies of each of the other skies."""
    processes: int = 2
    """Processes that share skies and fits; the results do not depend on it."""
    real: str | None = None
    """Folder with real spectroscopic catalogues (see `euclidfm.studies.RealSEDConfig`)."""


SCALES: dict[str, dict[str, Any]] = {
    "quick": {
        "galaxies": 1500,
        "rarity_boost": 1.0,
        "vis_patch": 16,
        "width": 64,
        "depth": 4,
        "steps": 300,
        "learning_rate": 2e-3,
        "separate_steps": 100,
        "fractions": (0.1, 1.0),
        "repeats": 2,
        "slow_repeats": ((0.5, 1),),
        "other_galaxies": 600,
    },
    "standard": {},
    "full": {
        "galaxies": 100000,
        "width": 384,
        "depth": 8,
        "steps": 30000,
        "batch": 256,
        "learning_rate": 1e-3,
        "separate_steps": 30000,
        "slow_repeats": ((0.2, 3),),  # ten up to 10% of the labels
        "other_galaxies": 20000,
    },
}
"""Changes to the defaults. ``quick`` takes minutes, ``standard`` hours on two cores, ``full`` needs a GPU."""


def scale(name: str, **changes: Any) -> ReproduceConfig:
    """Settings of a scale, with changes.

    Raises
    ------
    InputError
        If there is no such scale.
    """
    if name not in SCALES:
        msg = f"there is no scale {name!r}; choose one of {', '.join(SCALES)}"
        raise InputError(msg)
    return replace(ReproduceConfig(scale=name, **SCALES[name]), **changes)
