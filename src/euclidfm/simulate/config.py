"""What a mock sky is made of: one frozen configuration, and presets of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from euclidfm.core.bands import BANDS, EUCLID_BANDS, PIXEL_ARCSEC, SED_BANDS
from euclidfm.core.errors import InputError
from euclidfm.simulate.population.selection import galaxy_density

__all__ = ["PRESETS", "Preset", "SkyConfig"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How an observation differs from Q1.

    Attributes
    ----------
    noise : float
        Factor on every RMS and photometric error.
    psf : float
        Factor on every PSF width.
    vis_limit : float
        Faintest catalogued VIS magnitude (AB).
    psf_beta : float
        Moffat index of the PSF.
    sed_bands : tuple of str
        Bands of the catalogue; the ground-based ones differ between surveys.
    note : str
        What it stands for.
    """

    noise: float = 1.0
    psf: float = 1.0
    vis_limit: float = 24.5
    psf_beta: float = 3.0
    sed_bands: tuple[str, ...] = SED_BANDS
    note: str = ""


PRESETS: dict[str, Preset] = {
    "q1-like": Preset(note="Depths and PSFs of Euclid Q1."),
    "deeper": Preset(noise=0.4, vis_limit=25.5, note="Like the Euclid Deep fields: 1 mag deeper."),
    "shallower": Preset(noise=2.5, vis_limit=23.5, note="1 mag shallower than Q1."),
    "other-survey": Preset(
        noise=1.6, psf=1.5, vis_limit=24.0, psf_beta=2.2,
        sed_bands=("u", "g_hsc", "r_megacam", "i_panstarrs", "z_hsc", "VIS", "Y", "J", "H"),
        note="Another telescope: PSFs half as wide again with broader wings, noisier, northern ground bands.",
    ),
}  # fmt: skip
"""The presets of ``SkyConfig.preset`` by name."""


OBJECTS_PER_TILE = 1000
"""Objects of a tile when the number of tiles is left open: some hundreds of megabytes of memory."""

_SHARES = ("star_fraction", "quasar_fraction", "artefact_fraction", "blend_fraction", "missing_band_fraction")


@dataclass(frozen=True, kw_only=True)
class SkyConfig:
    """A mock sky.

    Attributes
    ----------
    objects : int
        Catalogued objects in the whole sky.
    galaxies : int or None
        Galaxies in the whole sky, to within a few per tile; if given, `objects` follows from
        it and the shares of the other kinds.
    tiles : int
        Number of tiles; the unit of parallel work. 0: one for every thousand objects.
    seed : int
        Everything random follows from it.
    preset : str
        One of `PRESETS`.
    processes : int
        Worker processes, 0: one a core. The files do not depend on it.
    density : float or None
        Catalogued objects per square arcminute; with `objects` and `tiles` it sets the
        size of a tile. The default packs more than ten times the real sky's bright
        galaxies into a tile, so that a small sky holds many of them. None: the density
        that the mass functions and the selection give.
    star_fraction, quasar_fraction, artefact_fraction : float
        Shares of the catalogued objects; the rest are galaxies.
    rarity_boost : float
        0: rings, mergers and lenses are as rare as in nature; 1: a few per cent each, so
        that a small sky can test searches. In between: geometric interpolation.
    faint_thinning : float
        Galaxies fainter than VIS 20.5 are kept with probability
        ``10**(-faint_thinning * (VIS - 20.5))``, which favours bright and extended ones
        as the selections of morphology catalogues do; 0 keeps the natural counts.
    zoo_vis_limit : float
        Galaxies brighter than this in VIS (AB) have Galaxy Zoo columns...
    zoo_area_limit : int
        ...or with a segmentation area of at least this many pixels.
    blend_fraction : float
        Share of objects put on top of another one's outskirts, besides chance overlaps.
    missing_band_fraction : float
        Share of ground-based fluxes that are missing (NaN).
    """

    objects: int = 3600
    galaxies: int | None = None
    tiles: int = 0
    seed: int = 1
    preset: str = "q1-like"
    processes: int = 1
    density: float | None = 60.0
    star_fraction: float = 0.13
    quasar_fraction: float = 0.025
    artefact_fraction: float = 0.035
    rarity_boost: float = 1.0
    faint_thinning: float = 0.4
    zoo_vis_limit: float = 21.0
    zoo_area_limit: int = 700
    blend_fraction: float = 0.03
    missing_band_fraction: float = 0.04

    def __post_init__(self) -> None:
        for name in _SHARES:
            value = getattr(self, name)
            _require(0 <= value <= 1, f"{name} must be between 0 and 1", value)
        shares = self.star_fraction + self.quasar_fraction + self.artefact_fraction
        _require(shares <= 1, "the fractions of stars, quasars and artefacts must sum to at most 1", shares)
        if self.galaxies is not None:
            _require(self.galaxies >= 1, "galaxies must be at least 1", self.galaxies)
            _require(shares < 1, "a sky with galaxies needs room beside the other kinds", shares)
            object.__setattr__(self, "objects", int(np.ceil(self.galaxies / (1 - shares))))
        _require(self.objects >= 1, "objects must be at least 1", self.objects)
        if self.tiles == 0:
            object.__setattr__(self, "tiles", -(-self.objects // OBJECTS_PER_TILE))
        _require(1 <= self.tiles <= self.objects, "tiles must be between 1 and objects", self.tiles)
        _require(self.seed >= 0, "seed must not be negative", self.seed)
        _require(self.processes >= 0, "processes must not be negative", self.processes)
        _require(self.density is None or self.density > 0, "density must be positive", self.density)
        _require(self.preset in PRESETS, f"preset must be one of {', '.join(PRESETS)}", self.preset)
        _require(0 <= self.rarity_boost <= 1, "rarity_boost must be between 0 and 1", self.rarity_boost)
        _require(self.tile_pixels <= 20000, "a tile must not exceed 20000 pixels; use more tiles", self.tiles)

    @property
    def conditions(self) -> Preset:
        """The preset's numbers."""
        return PRESETS[self.preset]

    def tile_objects(self, index: int) -> int:
        """Objects of tile `index`: as even as possible."""
        base, rest = divmod(self.objects, self.tiles)
        return base + (index < rest)

    @property
    def natural_density(self) -> float:
        """Catalogued objects per square arcminute of a sky as dense as the real one."""
        others = self.star_fraction + self.quasar_fraction + self.artefact_fraction
        galaxies = galaxy_density(self.curves, self.conditions.vis_limit, self.faint_thinning)
        return galaxies / max(1 - others, 1e-3)

    @property
    def sed_bands(self) -> tuple[str, ...]:
        """Bands of the catalogue."""
        return self.conditions.sed_bands

    @property
    def curves(self) -> tuple[str, ...]:
        """Response curves of those bands."""
        return tuple(BANDS[b].curve for b in self.sed_bands)

    @property
    def tile_pixels(self) -> int:
        """Side of a tile in pixels, a multiple of 8, at least 256."""
        arcmin2 = self.objects / self.tiles / (self.density or self.natural_density)
        side = 60.0 / PIXEL_ARCSEC * np.sqrt(arcmin2)
        return max(256, int(np.ceil(side / 8) * 8))

    def psf_fwhm(self) -> Mapping[str, float]:
        """PSF width of each imaged band in arcsec."""
        return {b: BANDS[b].psf_fwhm_arcsec * self.conditions.psf for b in EUCLID_BANDS}


def _require(condition: bool, rule: str, value: object) -> None:
    if not condition:
        msg = f"sky configuration: {rule} (got {value})"
        raise InputError(msg)
