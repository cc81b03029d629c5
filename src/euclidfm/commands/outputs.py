"""Outputs of the commands, which are checked before the work begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from euclidfm.core.files import check_output

__all__ = ["check_outputs"]

_TABLES = (".parquet", ".csv", ".fits")
_FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "embed": {"out": ()},
    "predict": {"out": (".parquet", ".fits")},
    "search": {"out": _TABLES, "sheet": ()},
    "outliers": {"out": _TABLES, "sheet": ()},
    "report": {"out": ()},
    "info": {"quality": ()},
}
"""Per verb: arguments that name files to write, with the endings that are possible (empty: any)."""


def check_outputs(verb: str, arguments: Mapping[str, Any]) -> None:
    """Check that the outputs of a command can be written. Other verbs write a folder, their ``out``.

    Parameters
    ----------
    verb : str
    arguments : mapping
        Keyword arguments of the command.

    Raises
    ------
    InputError
        If one of them can't be written.
    """
    files = _FILES.get(verb, {})
    for name in files or ("out",):
        value = arguments.get(name)
        for path in value if isinstance(value, list | tuple) else [value]:
            if path is not None:
                check_output(path, folder=not files, endings=files.get(name, ()))
