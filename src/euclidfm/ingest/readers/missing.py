"""Marks of missing values: the numbers and words that a recipe lists, and those of surveys by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["SURVEY_MARKS", "is_missing", "marks_of"]

SURVEY_MARKS: dict[str, tuple[float, ...]] = {
    "sextractor": (99.0, -99.0),
    "bpz": (99.0, -99.0),
    "lephare": (-99.0, -99.9, -999.0, 99.0),
    "eazy": (-99.0, -99.9),
    "cosmos": (-99.0, -99.9, -999.0, 99.0),
    "des": (-9999.0, -99.0, 99.0),
    "sdss": (-9999.0, -1000.0, -9.0),
    "hsc": (-99.0, 99.0),
    "kids": (-99.0, 99.0, -999.0),
    "wise": (-999.0, 9999.0),
    "snana": (-9.0, -99.0),
    "drizzlepac": (3.4028234663852886e38, 99.99),
}
"""Marks of missing values by survey or program; a recipe names them under ``missing``."""


def marks_of(missing: Sequence[float | str]) -> tuple[list[float], set[str]]:
    """Numbers and words that mean a missing value, of the entries of a recipe."""
    numbers: list[float] = []
    words: set[str] = set()
    for mark in missing:
        if isinstance(mark, str):
            numbers += SURVEY_MARKS.get(mark.lower(), ())
            words.add(mark.strip())
        else:
            numbers.append(float(mark))
    return numbers, words


def is_missing(values: np.ndarray, missing: Sequence[float | str]) -> np.ndarray:
    """Which cells of a plain column are marks of a missing value, in the file's own unit; (N,) bool.

    A number is a mark if it agrees to one part in a million; 0 means 0 alone.
    """
    numbers, words = marks_of(missing)
    out = np.zeros(len(values), bool)
    if values.dtype.kind == "O":
        texts = [str(v).strip() for v in values]
        out |= np.isin(texts, list(words)) if words else False
        return out | np.array([_is_number(t, numbers) for t in texts], bool)
    as_floats = values.astype(float)
    for mark in numbers:
        out |= np.isclose(as_floats, mark, rtol=1e-6, atol=0.0)
    return out


def _is_number(text: str, numbers: list[float]) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return any(np.isclose(value, mark, rtol=1e-6, atol=0.0) for mark in numbers)
