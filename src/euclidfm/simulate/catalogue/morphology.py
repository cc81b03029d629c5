"""Rows of the morphology catalogue: structural parameters, Sersic fits and Galaxy Zoo votes."""

from __future__ import annotations

import numpy as np

from euclidfm.core.bands import BANDS
from euclidfm.core.units import abmag_from_ujy
from euclidfm.simulate.catalogue.galaxy_zoo import draw_votes
from euclidfm.simulate.catalogue.photometry import Row
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.tile import Source

__all__ = ["morphology_row"]


def morphology_row(cfg: SkyConfig, s: Source, rng: np.random.Generator) -> Row:
    """Columns of the morphology catalogue (see ``docs/sky-files.md``)."""
    m = s.measured
    out: Row = {k: m[k] for k in ("CONCENTRATION", "ASYMMETRY", "SMOOTHNESS", "GINI", "MOMENT_20")}
    mag = float(abmag_from_ujy(max(m["SEG_FLUX"], 1e-6)))
    blur = 10 ** (0.03 * rng.standard_normal() * (1 + 10 ** (0.25 * (mag - 23))))
    extended = s.kind == "galaxy"
    bt = s.truth.get("bulge_fraction", 0.0)
    index = s.truth.get("sersic_index", 1.0) * bt + 1.0 * (1 - bt) + 0.5 * bt * (1 - bt)
    out["SERSIC_SERSIC_VIS_RADIUS"] = float(
        (s.truth["re_arcsec"] if extended else 0.03 + 0.5 * m["R50"]) * blur
    )
    out["SERSIC_SERSIC_VIS_INDEX"] = float(
        np.clip((index if extended else rng.uniform(0.5, 5)) * blur**1.5, 0.3, 5.5)
    )
    q = s.truth.get("axis_ratio", 1 - m["ELLIPTICITY"])
    out["SERSIC_SERSIC_VIS_AXIS_RATIO"] = float(np.clip(q * blur, 0.05, 1.0))
    out["SERSIC_ANGLE"] = float(
        (s.truth.get("position_angle", m["POSITION_ANGLE"]) + 2 * rng.standard_normal() + 90) % 180 - 90
    )
    voted = (mag < cfg.zoo_vis_limit or m["SEGMENTATION_AREA"] >= cfg.zoo_area_limit) and s.kind != "quasar"
    width = BANDS["VIS"].psf_fwhm_arcsec * cfg.conditions.psf
    visibility = 1 / (1 + np.exp(-(np.log(max(m["R50"], 0.01) / (1.6 * width)) * 2.5 + (22.3 - mag) * 0.8)))
    votes = draw_votes(s.kind, s.subtype, float(q), float(visibility), rng)
    return out | {k: (v if voted else float("nan")) for k, v in votes.items()}
