"""Redshifts and stellar masses from an external table, joined on the sky."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.cells import as_numbers, as_text
from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.columns import canonical, read_columns
from euclidfm.ingest.catalogue.formats import Table, column_names
from euclidfm.ingest.catalogue.matching import match_one_to_one

__all__ = ["join_spectroscopy"]

MAX_CHI2, MAX_LOGM_ERR = 17.0, 0.25
"""Quality of the mass fits that become labels, as in the reference work."""

LOWEST_Z, HIGHEST_Z = -0.02, 20.0
"""Redshifts between which those of stars and galaxies lie; -9, -1 and 99 are marks of missing ones."""

KNOWN_TYPES = frozenset({"STAR", "GALAXY", "QSO"})
_SAME_TYPE = {"QUASAR": "QSO", "AGN": "QSO", "GAL": "GALAXY", "STELLAR": "STAR"}

_MASSES = ("logm", "logm_err", "chi2")


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

    Raises
    ------
    InputError
        If the table can't be read, lacks a column, or has masses without their errors and chi squares.
    """
    spec = _read(path)
    placed = np.isfinite(spec["right_ascension"]) & np.isfinite(spec["declination"])
    rows = np.flatnonzero(placed)
    match = match_one_to_one(ra, dec, spec["right_ascension"][rows], spec["declination"][rows], arcsec)
    at, row = match.first, rows[match.second]
    columns = _redshifts(spec, len(ra), at, row)
    columns |= _masses(spec, columns["spectype"] == "STAR", at, row)
    columns["flag_ambiguous_spec"] = match.ambiguous
    report: dict[str, Any] = {
        "spectra": len(placed),
        "without_position": int((~placed).sum()),
        "matched": len(at),
        "ambiguous": int(match.ambiguous.sum()),
        "z_spec": int(np.isfinite(columns["z_spec"]).sum()),
        "log_mass": int(np.isfinite(columns["log_mass"]).sum()),
    }
    if "spectype" not in spec:
        report["without_spectype"] = (
            "stars can't be told from galaxies: the table has no SPECTYPE (nor CLASS)"
        )
    return columns, report


def _read(path: Path) -> Table:
    """Columns of the table of spectra; the masses are all there, or none."""
    needed = ("right_ascension", "declination", "z", "zwarn")
    _one_redshift(path)
    spec = read_columns(path, needed, ("spectype", *_MASSES))
    for name in ("z", "zwarn", *_MASSES):
        if name in spec:
            spec[name] = as_numbers(path, name.upper(), spec[name])
    with np.errstate(invalid="ignore"):
        spec["z"] = np.where((spec["z"] > LOWEST_Z) & (spec["z"] < HIGHEST_Z), spec["z"], np.nan)
    if "spectype" in spec:
        spec["spectype"] = _types(path, spec["spectype"])
    have = [m for m in _MASSES if m in spec]
    if have and len(have) < len(_MASSES):
        missing = next(m for m in _MASSES if m not in spec)
        msg = (
            f"{path} has {have[0].upper()} but no {missing.upper()}, which the quality cut on masses needs; "
            "add it or drop the masses"
        )
        raise InputError(msg)
    return spec


def _one_redshift(path: Path) -> None:
    """Refuse a table of which two columns may be the redshift: a magnitude is often named Z too."""
    same = [n for n in column_names(path) if canonical(n) == "z"]
    if len(same) > 1:
        msg = f"{path}: {' and '.join(same)} may both be the redshift; leave one of them out, or rename it"
        raise InputError(msg)


def _types(path: Path, values: np.ndarray) -> np.ndarray:
    """Types of spectra as ``STAR``, ``GALAXY``, ``QSO`` or empty; letters and other words are refused."""
    texts = [t.upper() for t in as_text(values)]
    if texts and not (set(texts) - {""}) & KNOWN_TYPES and set(texts) & {"G", "S", "Q"}:
        msg = (
            f"{path}: SPECTYPE holds {', '.join(sorted(set(texts) - {''})[:4])}, and STAR, GALAXY or QSO are "
            "expected; write the types in full, else stars get redshifts"
        )
        raise InputError(msg)
    return np.array([_SAME_TYPE.get(t, t) for t in texts], object)


def _redshifts(spec: Table, n: int, at: np.ndarray, row: np.ndarray) -> Table:
    """Type and redshift of `n` objects, of which those `at` have the spectra `row`."""
    kind = np.full(n, "", object)
    kind[at] = spec["spectype"][row] if "spectype" in spec else ""
    secure = np.zeros(n, bool)
    secure[at] = spec["zwarn"][row] == 0
    z = np.full(n, np.nan, np.float32)
    z[at] = spec["z"][row]
    z[~secure | (kind == "STAR")] = np.nan
    star = np.full(n, np.nan, np.float32)
    star[secure & np.isin(kind, ["GALAXY", "QSO"])] = 0.0
    star[secure & (kind == "STAR")] = 1.0
    return {"z_spec": z, "is_star": star, "spectype": kind}


def _masses(spec: Table, star: np.ndarray, at: np.ndarray, row: np.ndarray) -> Table:
    """Stellar masses that pass the quality cut and are not of stars."""
    mass, error = np.full(len(star), np.nan, np.float32), np.full(len(star), np.nan, np.float32)
    if "logm" in spec:
        with np.errstate(invalid="ignore"):
            good = (spec["chi2"] < MAX_CHI2) & (spec["logm"] > 0) & (spec["logm_err"] < MAX_LOGM_ERR)
        use = good[row]
        mass[at[use]], error[at[use]] = spec["logm"][row[use]], spec["logm_err"][row[use]]
        mass[star] = error[star] = np.nan
    return {"log_mass": mass, "log_mass_err": error}
