"""Catalogues of a tile: photometry, morphology, spectroscopy and truth."""

from __future__ import annotations

import numpy as np

from euclidfm.core.bands import BANDS, SED_BANDS
from euclidfm.core.units import abmag_from_ujy, ujy_from_abmag
from euclidfm.simulate import zoo
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.field import NO_DATA
from euclidfm.simulate.tile import TRUTH, Source, Tile

__all__ = ["Row", "object_id", "rows"]

Row = dict[str, object]
"""A row of a table by column."""

VIS = SED_BANDS.index("VIS")
FLOOR = 0.02
"""Relative photometric error that no depth removes (calibration, template mismatch)."""


def object_id(ra: float, dec: float) -> int:
    """Q1 identifier of a position: sign(dec) * (round(1e7 ra) * 1e9 + round(1e7 |dec|))."""
    value = round(1e7 * ra) * 10**9 + round(1e7 * abs(dec))
    return -value if dec < 0 else value


def rows(cfg: SkyConfig, tile: Tile, tile_id: str, ra: np.ndarray, dec: np.ndarray) -> dict[str, list[Row]]:
    """All rows of the tile's sources: ``photometry``, ``morphology``, ``spectroscopy``, ``truth``."""
    out: dict[str, list[Row]] = {"photometry": [], "morphology": [], "spectroscopy": [], "truth": []}
    for s, a, d in zip(tile.sources, ra, dec, strict=True):
        rng = np.random.default_rng(s.seed)
        key: Row = {"OBJECT_ID": object_id(float(a), float(d))}
        photometry = (
            key | {"RIGHT_ASCENSION": float(a), "DECLINATION": float(d)} | _photometry(cfg, tile, s, rng)
        )
        out["photometry"].append(photometry)
        out["morphology"].append(key | _morphology(cfg, s, rng))
        spectrum = _spectrum(s, rng)
        if spectrum:
            jitter = rng.normal(0, 0.05 / 3600, 2)
            place: Row = {
                "TARGETID": 39_000_000_000_000_000 + tile.index * 1_000_000 + len(out["truth"]),
                "RA": float(a + jitter[0] / np.cos(np.radians(d))),
                "DEC": float(d + jitter[1]),
            }
            out["spectroscopy"].append(place | spectrum)
        truth: Row = {
            "object_id": key["OBJECT_ID"], "tile": tile_id, "ra": float(a), "dec": float(d), "kind": s.kind,
            "subtype": s.subtype, "blended": s.blended,
        }  # fmt: skip
        for name in TRUTH:
            truth[name] = s.truth.get(name, float("nan"))
        out["truth"].append(
            truth | {f"flux_{b}": float(f) for b, f in zip(cfg.sed_bands, s.flux, strict=True)}
        )
    return out


def _photometry(cfg: SkyConfig, tile: Tile, s: Source, rng: np.random.Generator) -> Row:
    m = s.measured
    size = tile.image["VIS"].shape[0]
    ix, iy = (int(np.clip(round(v), 0, size - 1)) for v in (s.x, s.y))
    vis = float(s.flux[VIS])
    re = m["R50"]
    row: Row = {}
    point = 1 / (1 + np.exp((m["MUMAX_MINUS_MAG"] + 2.55) / 0.06))
    vis_det = m["SEG_FLUX"] > 8e-2 and vis > 1e-3
    artefact = s.kind == "artefact"
    row["VIS_DET"] = int(vis_det)
    spurious = float(rng.beta(3, 3) if artefact else rng.beta(1, 12))
    row["SPURIOUS_PROB"], row["SPURIOUS_FLAG"] = spurious, int(spurious > 0.62)
    row["DET_QUALITY_FLAG"] = int(bool(tile.flag["VIS"][iy, ix] & 8)) * 4
    row["POINT_LIKE_PROB"] = (
        float(np.clip(point + 0.02 * rng.standard_normal(), 0, 1)) if vis_det else float("nan")
    )
    for name in (
        "MUMAX_MINUS_MAG",
        "MU_MAX",
        "SEMIMAJOR_AXIS",
        "KRON_RADIUS",
        "FWHM",
        "POSITION_ANGLE",
        "ELLIPTICITY",
    ):
        row[name] = m[name]
    row["SEGMENTATION_AREA"] = int(m["SEGMENTATION_AREA"])
    row["GAL_EBV"] = float(0.012 + 0.004 * np.sin(s.x / size * 3) + 0.001 * rng.standard_normal())

    def put(name: str, flux: float, error: float) -> None:
        row[f"FLUX_{name}"] = float(flux + error * rng.standard_normal())
        row[f"FLUXERR_{name}"] = float(error)

    kron = np.sqrt(m["SEGMENTATION_AREA"]) * BANDS["VIS"].pixel_rms_ujy * cfg.look.noise
    put("DETECTION_TOTAL", 0.95 * vis if vis_det else vis, float(np.hypot(kron, 0.01 * vis)))
    put("VIS_PSF", m["FLUX_VIS_1FWHM_APER"] * 1.9, m["FLUXERR_VIS_1FWHM_APER"] * 1.9)
    for k in (1, 2, 3, 4):
        row[f"FLUX_VIS_{k}FWHM_APER"] = m[f"FLUX_VIS_{k}FWHM_APER"]
        row[f"FLUXERR_VIS_{k}FWHM_APER"] = m[f"FLUXERR_VIS_{k}FWHM_APER"]
    for i, name in enumerate(cfg.sed_bands):
        if name == "VIS":
            continue
        b = BANDS[name]
        column = b.column.upper()
        sigma = float(ujy_from_abmag(b.depth_mag)) / 5 * cfg.look.noise
        seeing = b.psf_fwhm_arcsec if np.isfinite(b.psf_fwhm_arcsec) else 0.9
        sigma *= np.sqrt(1 + (re / (0.6 * seeing)) ** 2)
        captured = 0.92 * float(s.flux[i])
        error = float(np.hypot(sigma, FLOOR * captured))
        put(f"{column}_TEMPLFIT", captured, error)
        put(f"VIS_TO_{column}_TEMPLFIT", 0.92 * vis, float(np.hypot(0.5 * kron, 0.005 * vis)))
        ground = name not in tile.rms
        lost = (
            rng.random() < cfg.missing_band_fraction
            if ground
            else bool(tile.rms[name][iy, ix] >= NO_DATA / 10)
        )
        if lost:
            for stem in (f"{column}_TEMPLFIT", f"VIS_TO_{column}_TEMPLFIT"):
                row[f"FLUX_{stem}"] = row[f"FLUXERR_{stem}"] = float("nan")
    return row


def _morphology(cfg: SkyConfig, s: Source, rng: np.random.Generator) -> Row:
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
    seen = (mag < cfg.zoo_vis_limit or m["SEGMENTATION_AREA"] >= cfg.zoo_area_limit) and s.kind != "quasar"
    width = BANDS["VIS"].psf_fwhm_arcsec * cfg.look.psf
    visibility = 1 / (1 + np.exp(-(np.log(max(m["R50"], 0.01) / (1.6 * width)) * 2.5 + (22.3 - mag) * 0.8)))
    votes = zoo.answers(s.kind, s.subtype, float(q), float(visibility), rng)
    return out | {k: (v if seen else float("nan")) for k, v in votes.items()}


def _spectrum(s: Source, rng: np.random.Generator) -> Row:
    """A row of the spectroscopic table, or nothing if the source was not observed."""
    mag = float(abmag_from_ujy(max(float(s.flux[VIS]), 1e-6)))
    chance = {"galaxy": 0.95 / (1 + np.exp((mag - 23.6) / 0.35)), "star": 0.4, "quasar": 0.6}.get(s.kind, 0.0)
    u, v = rng.random(2)
    if u >= chance or (s.kind == "star" and mag > 22.5):
        return {}
    z = s.truth.get("z", 0.0) + rng.normal(0, 1e-4)
    failed = v < 0.02 + 0.06 * (mag > 22.5)
    if failed:
        z = float(rng.uniform(0, 2))
    mass_error = float(np.clip(rng.lognormal(-2.5, 0.4) * (1 + 0.3 * max(mag - 21, 0)), 0.03, 0.6))
    galaxy = s.kind == "galaxy"
    log_mass = s.truth.get("log_mass", float("nan")) + mass_error * rng.standard_normal()
    return {
        "Z": float(z), "ZERR": float(1e-4 * (1 + z)), "ZWARN": 4 if failed else 0,
        "SPECTYPE": {"galaxy": "GALAXY", "star": "STAR", "quasar": "QSO"}[s.kind],
        "LOGM": float(log_mass) if galaxy else float("nan"),
        "LOGM_ERR": mass_error if galaxy else float("nan"),
        "CHI2": float(rng.lognormal(1.9, 0.4) * (4 if failed else 1)),
    }  # fmt: skip
