"""Columns as they come out of a file, with the units that it states and the lines that they stood on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.cells import plain
from euclidfm.core.errors import InputError

__all__ = ["Columns", "Pick", "take", "units_of"]

Pick = Callable[[tuple[str, ...]], tuple[str, ...]]
"""Chooses columns among those of a table."""

_ELEMENT = re.compile(r"(.+)\[(\d+)\]")


class Columns(dict[str, np.ndarray]):
    """Columns of equal length by name.

    Attributes
    ----------
    units : dict of str
        Units that the file states, by column.
    lines : (N,) array of int, optional
        Line of the file that each row stood on, for text.
    rows : (N,) array of int, optional
        Number from 1 of each row in the table, where it is a part of it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.units: dict[str, str] = {}
        self.lines: np.ndarray | None = None
        self.rows: np.ndarray | None = None

    def row_name(self, number: int) -> str:
        """How a message names row `number` (from 1)."""
        row = number if self.rows is None else self.rows[number - 1]
        return f"row {row}" if self.lines is None else f"row {row} (line {self.lines[number - 1]})"


def units_of(table: dict[str, np.ndarray]) -> dict[str, str]:
    """Units that the file of a table states; empty for a plain mapping."""
    return getattr(table, "units", {})


def take(
    where: Path | str,
    names: tuple[str, ...],
    pick: Pick,
    column: Callable[[str], Any],
    unit: Callable[[str], object] = lambda name: None,
) -> Columns:
    """The picked columns of a table.

    Parameters
    ----------
    where : path or str
        For messages.
    names : tuple of str
        All columns. A column with several values a row may be picked as ``NAME[0]``.
    pick : callable
    column, unit : callables
        Cells and unit of a column by its name.

    Raises
    ------
    InputError
        If a picked name stands there twice, or a column is not one value a row.
    """
    out = Columns()
    for wanted in pick(names):
        element = None if wanted in names else _ELEMENT.fullmatch(wanted)
        name = element[1] if element else wanted
        if names.count(name) > 1:
            msg = f"{where} has {names.count(name)} columns named {name!r}; rename one of them"
            raise InputError(msg)
        cells = column(name)
        out[wanted] = plain(
            where, wanted, _element(where, wanted, cells, int(element[2])) if element else cells
        )
        stated = unit(name)
        if stated not in (None, ""):
            out.units[wanted] = str(stated)
    return out


def _element(where: Path | str, name: str, cells: Any, number: int) -> np.ndarray:
    rows = cells.to_pylist() if hasattr(cells, "to_pylist") else cells
    if isinstance(rows, np.ndarray) and rows.ndim == 2 and number < rows.shape[1]:
        return np.asarray(rows[:, number])
    values = [
        None if r is None or number >= len(np.atleast_1d(r)) else np.atleast_1d(r)[number] for r in rows
    ]
    if all(v is None for v in values):
        msg = f"{where}: {name} is beyond the values of a row, which are counted from 0"
        raise InputError(msg)
    return np.array(values, object)
