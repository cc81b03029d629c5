"""Options of the command line that have a new name."""

from __future__ import annotations

from collections.abc import Iterable

from euclidfm.core.errors import InputError

__all__ = ["RENAMED_OPTIONS", "check_renamed"]

RENAMED_OPTIONS: dict[str, dict[str, str]] = {}
"""Per verb: old name of an option -> its name now, both without the leading ``--``."""


def check_renamed(verb: str, names: Iterable[str]) -> None:
    """Check that no option is given by its old name.

    An entry holds for everything below it: with ``{"model.tokens": "model.token"}`` the option
    ``model.tokens.size`` is answered with ``model.token.size``.

    Parameters
    ----------
    verb : str
    names : iterable of str
        Names of the options that are given, without the leading ``--``.

    Raises
    ------
    InputError
        With the new name, for an old one.
    """
    renamed = RENAMED_OPTIONS.get(verb, {})
    for name in names:
        for old in sorted(renamed, key=len, reverse=True):
            if name == old or name.startswith(f"{old}."):
                new = renamed[old] + name.removeprefix(old)
                msg = f"option --{name} of `{verb}` is now --{new}"
                raise InputError(msg)
