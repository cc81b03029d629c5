"""All catalogue rows of a tile: photometry, morphology, spectroscopy and truth."""

from __future__ import annotations

import numpy as np

from euclidfm.simulate.catalogue.morphology import morphology_row
from euclidfm.simulate.catalogue.photometry import Row, photometry_row
from euclidfm.simulate.catalogue.spectroscopy import spectroscopy_row
from euclidfm.simulate.config import SkyConfig
from euclidfm.simulate.tile import TRUTH, Source, Tile

__all__ = ["catalogue_rows", "object_id"]


def object_id(ra: float, dec: float) -> int:
    """Q1 identifier of a position: sign(dec) * (round(1e7 ra) * 1e9 + round(1e7 |dec|))."""
    value = round(1e7 * ra) * 10**9 + round(1e7 * abs(dec))
    return -value if dec < 0 else value


def catalogue_rows(
    cfg: SkyConfig, tile: Tile, tile_id: str, ra: np.ndarray, dec: np.ndarray
) -> dict[str, list[Row]]:
    """All rows of the tile's sources: ``photometry``, ``morphology``, ``spectroscopy``, ``truth``.

    Parameters
    ----------
    cfg : SkyConfig
    tile : Tile
    tile_id : str
    ra, dec : array of shape ``(sources,)``
        Degrees.
    """
    out: dict[str, list[Row]] = {"photometry": [], "morphology": [], "spectroscopy": [], "truth": []}
    for s, a, d in zip(tile.sources, ra.tolist(), dec.tolist(), strict=True):
        rng = np.random.default_rng(s.seed)
        key: Row = {"OBJECT_ID": object_id(a, d)}
        position: Row = {"RIGHT_ASCENSION": a, "DECLINATION": d}
        out["photometry"].append(key | position | photometry_row(cfg, tile, s, rng))
        out["morphology"].append(key | morphology_row(cfg, s, rng))
        spectrum = spectroscopy_row(s, rng)
        if spectrum:
            jitter = rng.normal(0, 0.05 / 3600, 2)
            target: Row = {
                "TARGETID": 39_000_000_000_000_000 + tile.index * 1_000_000 + len(out["truth"]),
                "RA": float(a + jitter[0] / np.cos(np.radians(d))),
                "DEC": float(d + jitter[1]),
            }
            out["spectroscopy"].append(target | spectrum)
        out["truth"].append(_truth_row(cfg, s, tile_id, object_id(a, d), a, d))
    return out


def _truth_row(cfg: SkyConfig, s: Source, tile_id: str, identity: int, ra: float, dec: float) -> Row:
    row: Row = {
        "object_id": identity, "tile": tile_id, "ra": ra, "dec": dec, "kind": s.kind, "subtype": s.subtype,
        "blended": s.blended,
    }  # fmt: skip
    row |= {name: s.truth.get(name, float("nan")) for name in TRUTH}
    return row | {f"flux_{b}": float(f) for b, f in zip(cfg.sed_bands, s.flux, strict=True)}
