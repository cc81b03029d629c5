"""Units as files state them (TUNIT, VOTable, ECSV, BUNIT), read with ``astropy.units``."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import numpy as np

from euclidfm.core.cells import as_numbers
from euclidfm.core.errors import InputError
from euclidfm.core.units import FLUX_UNITS

__all__ = ["StatedUnit", "degrees", "factor_between", "flux_unit", "stated_unit"]

_MAGNITUDES = {
    "mag",
    "abmag",
    "ab mag",
    "mag(ab)",
    "mag (ab)",
    "mag_ab",
    "ab",
    "ab magnitude",
    "magnitude",
    "mags",
}
_LUPTITUDES = {"luptitude", "luptitudes", "asinh mag", "asinh magnitude", "asinhmag", "mag(asinh)"}
_COUNTS = {"adu", "count", "counts", "ct", "cts", "dn", "electron", "electrons", "e-", "photon", "photons"}
_SEXAGESIMAL = re.compile(r"\s*[+-]?\d{1,3}(:|\s+|h|d)\s*\d{1,2}(:|\s+|m)")
_SPELT = {
    "nanomaggy": "nmgy",
    "nanomaggies": "nmgy",
    "nanomaggie": "nmgy",
    "nmaggy": "nmgy",
    "maggies": "mgy",
    "maggy": "mgy",
    "microjy": "uJy",
    "microjansky": "uJy",
    "micro-jansky": "uJy",
    "ujy": "uJy",
    "mujy": "uJy",
    "njy": "nJy",
    "nanojansky": "nJy",
    "jansky": "Jy",
    "jy": "Jy",
    "degrees": "deg",
    "degree": "deg",
    "radians": "rad",
    "hours": "hourangle",
    "hour": "hourangle",
    "hr": "hourangle",
    "h": "hourangle",
}
"""Spellings that ``astropy.units`` does not read, in lower case."""


@dataclass(frozen=True)
class StatedUnit:
    """What a unit measures.

    Attributes
    ----------
    kind : str
        ``flux``, ``magnitude``, ``luptitude``, ``counts``, ``angle``, ``brightness`` (flux by solid angle),
        ``none`` (nothing stated), ``other`` (known, but none of these) or ``unknown``.
    factor : float
        µJy, degrees or µJy per square arcsec of one unit; 1 of the other kinds.
    text : str
        As the file writes it.
    """

    kind: str
    factor: float
    text: str


def stated_unit(text: object) -> StatedUnit:
    """The unit that a file states; ``none`` if it states none."""
    written = "" if text is None else str(text).strip()
    low = " ".join(written.lower().split())
    if low in ("", "none", "unitless", "dimensionless"):
        return StatedUnit("none", 1.0, written)
    for kind, words in (("magnitude", _MAGNITUDES), ("luptitude", _LUPTITUDES)):
        if low in words:
            return StatedUnit(kind, 1.0, written)
    if low.split("/")[0].strip() in _COUNTS:
        return StatedUnit("counts", 1.0, written)
    return _parsed(written, _SPELT.get(low, written))


def _parsed(written: str, spelt: str) -> StatedUnit:
    import astropy.units as u

    unit = None
    for format_ in (None, "fits", "vounit", "cds", "ogip"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                unit = u.Unit(spelt, format=format_, parse_strict="raise")
            break
        except (ValueError, TypeError, AttributeError):
            continue
    if unit is None:
        return StatedUnit("unknown", 1.0, written)
    physical = getattr(unit, "physical_unit", None)
    if physical is not None:
        ab = physical.is_equivalent(u.Jy) and bool(np.isclose((1 * physical).to_value(u.AB), 1.0))
        return StatedUnit(
            "magnitude" if ab or physical == u.dimensionless_unscaled else "other", 1.0, written
        )
    for kind, base, size in (
        ("flux", u.uJy, 1.0),
        ("flux", u.nmgy, FLUX_UNITS["nanomaggy"]),
        ("brightness", u.uJy / u.arcsec**2, 1.0),
        ("angle", u.deg, 1.0),
    ):
        if unit.is_equivalent(base):
            return StatedUnit(
                kind,
                round(float(unit.to(base)), 15) * size if kind == "angle" else float(unit.to(base)) * size,
                written,
            )
    return StatedUnit("other", 1.0, written)


def degrees(
    where: object, name: str, values: np.ndarray, unit: object, *, longitude: bool = False
) -> np.ndarray:
    """Angles in degrees, from the unit that the file states; without one they are in degrees.

    Parameters
    ----------
    where : object
    name : str
    values : (N,) array
        Numbers, or text. Sexagesimal text is in hours for a longitude, else in degrees.
    unit : object
        As the file states it, or None.
    longitude : bool
        Whether it is a right ascension: angles from -360 to 0 are brought to 0 to 360.

    Raises
    ------
    InputError
        If the file states a unit that is no angle, or text is no angle.
    """
    if values.dtype.kind == "O" and any(_SEXAGESIMAL.match(str(v)) for v in values):
        return _sexagesimal(where, name, values, longitude)
    values = as_numbers(where, name, values)
    values = _in_degrees(where, name, values, unit)
    return np.where((values < 0) & (values >= -360), values + 360.0, values) if longitude else values


def _sexagesimal(where: object, name: str, values: np.ndarray, longitude: bool) -> np.ndarray:
    from astropy.coordinates import Angle

    out = np.full(len(values), np.nan)
    for i, v in enumerate(values):
        if not str(v).strip():
            continue
        try:
            out[i] = Angle(str(v).strip(), unit="hourangle" if longitude else "deg").deg
        except ValueError:
            msg = f"{where}: column {name!r} holds {v!r} in row {i + 1}, which is no angle; correct it"
            raise InputError(msg) from None
    return out


def _in_degrees(where: object, name: str, values: np.ndarray, unit: object) -> np.ndarray:
    stated = stated_unit(unit)
    if stated.kind in ("angle", "none", "unknown"):
        return values if stated.factor == 1.0 else values * stated.factor
    msg = f"{where}: column {name!r} has unit {stated.text!r}, which is no angle; degrees are expected"
    raise InputError(msg)


def flux_unit(where: object, name: str, said: str | None, unit: object) -> tuple[str, float]:
    """Which unit a column of photometry has, of what the file states and what the recipe says.

    Parameters
    ----------
    where : object
    name : str
    said : str, optional
        ``abmag``, ``luptitude`` or one of `FLUX_UNITS`, by the recipe.
    unit : object
        By the file, None or text.

    Returns
    -------
    unit : str
        ``abmag``, ``luptitude`` or ``ujy``.
    factor : float
        What brings the column to it.

    Raises
    ------
    InputError
        If the two contradict each other, or neither tells.
    """
    stated = stated_unit(unit)
    if stated.kind in ("none", "unknown"):
        return _said_alone(where, name, said, stated)
    if stated.kind == "flux":
        if said in (None, "") or (
            said in FLUX_UNITS and np.isclose(FLUX_UNITS[said], stated.factor, rtol=2e-3)
        ):
            return ("ujy", FLUX_UNITS[said]) if said else ("ujy", stated.factor)
    elif stated.kind in ("magnitude", "luptitude") and said in (None, "abmag", "luptitude"):
        return said or {"magnitude": "abmag"}.get(stated.kind, "luptitude"), 1.0
    if said is None:
        msg = (
            f"{where}: column {name!r} has unit {stated.text!r}, which can't be turned into µJy; give a "
            "column of fluxes or AB magnitudes"
        )
    else:
        msg = (
            f"{where}: column {name!r} has unit {stated.text!r}, but the recipe says {said}; correct the "
            "recipe, or leave unit out to take the file's"
        )
    raise InputError(msg)


def _said_alone(where: object, name: str, said: str | None, stated: StatedUnit) -> tuple[str, float]:
    if said in ("abmag", "luptitude"):
        return said, 1.0
    if said:
        return "ujy", FLUX_UNITS[said]
    known = ", ".join(("abmag", "luptitude", *FLUX_UNITS))
    if stated.kind == "unknown":
        msg = (
            f"{where}: column {name!r} has unit {stated.text!r}, which is not known; say unit in the recipe: "
            f"{known}"
        )
        raise InputError(msg)
    if "flux" in name.lower() or "maggi" in name.lower():
        msg = (
            f"{where}: neither the file nor the recipe states the unit of column {name!r}; say unit in the "
            f"recipe: {known}"
        )
        raise InputError(msg)
    return "abmag", 1.0


def factor_between(unit: object, wanted: str) -> float | None:
    """What brings a column from the unit that its file states to `wanted`; None if it can't be.

    1 if either is not stated or not known.
    """
    import astropy.units as u

    have, want = stated_unit(unit), stated_unit(wanted)
    if {have.kind, want.kind} & {"none", "unknown"} or have.text == want.text:
        return 1.0
    if have.kind == want.kind and have.kind != "other":
        return have.factor / want.factor
    try:
        return float(u.Unit(have.text).to(u.Unit(want.text)))
    except (ValueError, TypeError, u.UnitsError):
        return None
