"""One mapping table of catalogue columns: ESA's FITS, IRSA's TAP and the merged Parquet.

The three name the same columns differently: ESA's are in capitals, IRSA's in lower case with an
underscore for every other sign, the merged table's have the product's name before that. Inside
ingest a column has its canonical name: the lower-case name of ESA's product.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from euclidfm.core.cells import as_ids, as_numbers
from euclidfm.core.errors import InputError
from euclidfm.core.stated_units import degrees, factor_between
from euclidfm.ingest.catalogue.formats import Table, read_picked
from euclidfm.ingest.readers.columns import Columns, units_of

__all__ = ["ALIASES", "GZ_QUESTIONS", "PREFIXES", "canonical", "find_columns", "normalised", "read_columns"]

GZ_QUESTIONS: dict[str, tuple[str, ...]] = {
    "smooth_or_featured": ("smooth", "featured_or_disk", "artifact_star_zoom"),
    "disk_edge_on": ("yes", "no"),
    "has_spiral_arms": ("yes", "no"),
    "merging": ("none", "minor_disturbance", "major_disturbance", "merger"),
}
"""Galaxy Zoo Euclid questions that labels are made from, with all their answers."""

ALIASES: dict[str, str] = {
    # other name (after `canonical`'s rules) : canonical name
    "ra": "right_ascension",
    "dec": "declination",
    "objectid": "object_id",
    "id_str": "object_id",
    "tileid": "tile_index",
    "smooth_or_featured_problem": "smooth_or_featured_artifact_star_zoom",
    "smooth_or_featured_artifact": "smooth_or_featured_artifact_star_zoom",
    # spectroscopy: DESI's names, their lower-case forms and common others
    "targetid": "target_id",
    "redshift": "z",
    "z_spec": "z",
    "target_ra": "right_ascension",
    "target_dec": "declination",
    "zwarning": "zwarn",
    "class": "spectype",
    "raj2000": "right_ascension",
    "dej2000": "declination",
    "decj2000": "declination",
    "_raj2000": "right_ascension",
    "_dej2000": "declination",
    "ra_icrs": "right_ascension",
    "de_icrs": "declination",
    "alpha_j2000": "right_ascension",
    "delta_j2000": "declination",
    "logmstar": "logm",
}
"""Names that differ by more than case and prefix."""

PREFIXES: dict[str, str] = {
    # prefix in the merged table : what the rest of the name must begin with for the prefix to go
    "mer_": "[a-z]",
    "morph_": "[a-z]",
    "morphology_": "[a-z]",
    "phz_": "phz_|flux_",
    "class_": "phz_classification",
    "physparam_": "phz_pp_|phys_param_",
}
"""Prefixes of the merged table that ESA's products do not have.

``phz_median`` is ESA's own name, so ``phz_`` goes only where it is there twice; ``class_phz_flags``
and ``physparam_phz_flags`` keep their prefix, since they are not the ``phz_flags`` of the redshifts;
``galaxysed_``, ``starsed_``, ``physparamqso_``, ``physparamnir_``, ``z_``, ``lines_``, ``models_``
and ``cutouts_`` stay, since without them names of different products would meet.
"""

_PREFIX = re.compile("^(?:" + "|".join(f"{p}(?={rest})" for p, rest in PREFIXES.items()) + ")")
_SIGN = re.compile(r"[^0-9a-z_]")
_RELEASE_SUFFIX = re.compile(r"[-_]euclid(?=[-_])")


def canonical(name: str) -> str:
    """Canonical name of a catalogue column.

    Lower case, other signs as underscores (``E(B-V)`` is ``e_b_v_``, IRSA's rule), without the
    merged table's prefix, without the ``-euclid`` and ``_fraction`` of Galaxy Zoo's own catalogue.
    """
    text = _SIGN.sub("_", _RELEASE_SUFFIX.sub("", name.strip().lower()))
    text = _PREFIX.sub("", text)
    if any(text.startswith(f"{q}_") for q in GZ_QUESTIONS):
        text = text.removesuffix("_fraction")
    return ALIASES.get(text, text)


def read_columns(path: Path, needed: Iterable[str], optional: Iterable[str] = (), remedy: str = "") -> Table:
    """Columns of a catalogue by their canonical names.

    Parameters
    ----------
    path : path
    needed, optional : iterables of canonical names
        A needed column that is absent is an error; an absent optional one is left out.
    remedy : str
        What to do about an absent column; default the advice for a MER catalogue.

    Raises
    ------
    InputError
        If a needed column is missing, or ids are stored as floats.
    """
    found: dict[str, str] = {}

    def pick(names: tuple[str, ...]) -> tuple[str, ...]:
        found.clear()
        found.update(find_columns(path, names, needed, optional, remedy))
        return tuple(found.values())

    raw, _ = read_picked(Path(path), pick)
    return normalised(path, found, raw)


def find_columns(
    where: Path | str,
    names: Iterable[str],
    needed: Iterable[str],
    optional: Iterable[str] = (),
    remedy: str = "",
) -> dict[str, str]:
    """Names that a table gives to canonical columns.

    Parameters
    ----------
    where : path or str
        The table, for messages.
    names : iterable of str
        What the table has.
    needed, optional : iterables of canonical names
    remedy : str
        What to do about an absent column; default the advice for a MER catalogue.

    Raises
    ------
    InputError
        If a needed column is missing.
    """
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(canonical(name), name)
    needed = tuple(needed)
    for name in needed:
        if name not in found:
            msg = f"{where} has no column {name.upper()} (nor {name}, mer_{name}); {remedy or _remedy(name)}"
            raise InputError(msg)
    return {c: found[c] for c in dict.fromkeys((*needed, *optional)) if c in found}


def normalised(where: Path | str, found: Mapping[str, str], raw: Mapping[str, np.ndarray]) -> Table:
    """Columns under their canonical names: ids as signed 64-bit integers, fluxes in µJy, angles in degrees.

    Units that the file states count; without one, fluxes are in µJy and positions in degrees, the units of
    the MER catalogue.

    Raises
    ------
    InputError
        If an id is no integer, or a flux or a position is in a unit that can't be converted.
    """
    units = units_of(raw) if isinstance(raw, Columns) else {}
    table = {c: raw[name] for c, name in found.items()}
    for c in ("object_id", "target_id"):
        if c in table:
            table[c] = exact_ids(where, found[c], table[c])
    for c, name in found.items():
        if c in ("right_ascension", "declination"):
            longitude = c == "right_ascension"
            table[c] = degrees(where, name, table[c], units.get(name), longitude=longitude)
        elif c.startswith(("flux_", "fluxerr_")) and units.get(name):
            factor = factor_between(units[name], "uJy")
            if factor is None:
                unit = units[name]
                msg = f"{where}: column {name} has unit {unit!r}, and uJy is expected; convert the fluxes"
                raise InputError(msg)
            if factor != 1.0:
                table[c] = as_numbers(where, name, table[c]) * factor
    return table


def _remedy(name: str) -> str:
    if name.startswith(("flux_", "fluxerr_")):
        return "leave its band out of sed_bands, or give the full catalogue"
    return "give the full MER_FINAL catalogue, or a selection that does not use it"


def exact_ids(path: Path | str, name: str, ids: np.ndarray) -> np.ndarray:
    """Ids as signed 64-bit integers (`core.cells.as_ids`).

    Q1 ids need 63 bits: one that has been a float is another id.
    """
    return as_ids(path, name, ids)
