"""Redshifts and stellar masses from an external table, joined on the sky."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.columns import read_columns
from euclidfm.ingest.catalogue.formats import Table
from euclidfm.ingest.catalogue.matching import match_one_to_one

__all__ = ["join_spectroscopy"]

MAX_CHI2, MAX_LOGM_ERR = 17.0, 0.25
"""Quality of the mass fits that become labels, as in the reference work."""


def join_spectroscopy(
    path: Path, ra: np.ndarray, dec: np.ndarray, arcsec: float
) -> tuple[Table, dict[str, Any]]:
    """Labels of objects from a table of spectra.

    Parameters
    ----------
    path : path
        With RA, DEC, Z, ZWARN; optional SPECTYPE and (together) LOGM, LOGM_ERR, CHI2.
    ra, dec : (N,) degrees
    arcsec : float

    Returns
    -------
    columns : dict of (N,) arrays
        Those of `labels.SPEC`.
    report : dict
        Numbers of spectra, matches, ambiguous matches and labels.
    """
    masses = ("logm", "logm_err", "chi2")
    needed = ("right_ascension", "declination", "z", "zwarn")
    spec = read_columns(path, needed, ("spectype", *masses))
    have = [m for m in masses if m in spec]
    if have and len(have) < len(masses):
        missing = next(m for m in masses if m not in spec)
        msg = (
            f"{path} has {have[0].upper()} but no {missing.upper()}, which the quality cut on masses needs; "
            "add it or drop the masses"
        )
        raise InputError(msg)
    placed = np.isfinite(spec["right_ascension"]) & np.isfinite(spec["declination"])
    rows = np.flatnonzero(placed)
    match = match_one_to_one(ra, dec, spec["right_ascension"][rows], spec["declination"][rows], arcsec)
    at, row = match.first, rows[match.second]
    n = len(ra)

    kind = np.full(n, "", object)
    kind[at] = [str(s).strip().upper() for s in spec["spectype"][row]] if "spectype" in spec else ""
    sure = np.zeros(n, bool)
    sure[at] = spec["zwarn"][row] == 0
    z = np.full(n, np.nan, np.float32)
    z[at] = spec["z"][row]
    z[~sure | (kind == "STAR")] = np.nan
    star = np.where(
        sure & (kind == "STAR"), 1.0, np.where(sure & np.isin(kind, ["GALAXY", "QSO"]), 0.0, np.nan)
    )
    mass, mass_err = np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32)
    if len(have) == len(masses):
        with np.errstate(invalid="ignore"):
            good = (spec["chi2"] < MAX_CHI2) & (spec["logm"] > 0) & (spec["logm_err"] < MAX_LOGM_ERR)
        use = good[row]
        mass[at[use]], mass_err[at[use]] = spec["logm"][row[use]], spec["logm_err"][row[use]]
        mass[kind == "STAR"] = mass_err[kind == "STAR"] = np.nan
    columns: Table = {
        "z_spec": z,
        "log_mass": mass,
        "log_mass_err": mass_err,
        "is_star": star.astype(np.float32),
        "spectype": kind,
        "flag_ambiguous_spec": match.ambiguous,
    }
    report = {
        "spectra": len(placed),
        "without_position": int((~placed).sum()),
        "matched": len(at),
        "ambiguous": int(match.ambiguous.sum()),
        "z_spec": int(np.isfinite(z).sum()),
        "log_mass": int(np.isfinite(mass).sum()),
    }
    return columns, report
