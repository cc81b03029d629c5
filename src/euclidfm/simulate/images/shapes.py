"""From a galaxy's properties to the components that are drawn.

Bulges and ellipticals are Sersic profiles. Discs carry the structure of their subtype.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from euclidfm.simulate.images.components import Component
from euclidfm.simulate.images.discs import Disc, barred, edge_on, irregular, ring, smooth, spiral
from euclidfm.simulate.images.lenses import lens
from euclidfm.simulate.images.mergers import companion, merger, shells

__all__ = ["components"]

_STRUCTURES = {
    "spiral": spiral,
    "barred": barred,
    "ring": ring,
    "irregular": irregular,
    "edge_on": edge_on,
    "merger": merger,
}
"""How the disc of a subtype is drawn; all others are smooth."""


def components(
    subtype: str, galaxy: dict[str, float], bulge: np.ndarray, disc: np.ndarray, rng: np.random.Generator
) -> list[Component]:
    """Components of a galaxy.

    Parameters
    ----------
    subtype : str
    galaxy : dict
        `re_arcsec`, `bulge_re_arcsec`, `axis_ratio`, `position_angle` (degrees),
        `sersic_index`, `z`.
    bulge, disc : array
        Fluxes in the bands of the SED, µJy.
    rng : Generator
        The galaxy's own random numbers.
    """
    re, q = float(galaxy["re_arcsec"]), float(galaxy["axis_ratio"])
    angle = math.radians(galaxy["position_angle"])
    parts: list[Component] = []
    if bulge.sum() > 0:
        spheroid = subtype in ("elliptical", "lens") and disc.sum() == 0
        parts.append(
            Component(
                flux=bulge,
                re=galaxy["bulge_re_arcsec"],
                index=galaxy["sersic_index"],
                axis_ratio=q if spheroid else max(q, 0.6 + 0.3 * rng.random()),
                angle=angle,
            )
        )
    plane = Disc(re, q, angle)
    if disc.sum() > 0:
        parts += _STRUCTURES.get(subtype, smooth)(plane, disc, rng)
    elif subtype == "merger":
        parts[0] = replace(parts[0], flux=bulge * 0.75)
        parts += companion(plane, 0.15 * bulge, rng)
        parts.append(shells(plane, 0.1 * bulge, rng))
    if subtype == "lens":
        parts = [replace(p, flux=p.flux * 0.8) for p in parts]
        parts += lens(plane, 0.2 * (bulge + disc), rng)
    return parts
