"""Mappings of a YAML file as dataclasses, with errors that name the file and the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError

__all__ = ["made"]


def made(file: Path, where: str, kind: Any, item: Any) -> Any:
    """An object of the dataclass `kind` from a mapping of YAML.

    Parameters
    ----------
    file : Path
    where : str
        Place in the file, for messages.
    kind : dataclass
    item : mapping
        Its fields.

    Raises
    ------
    InputError
        If it is no mapping, has an unknown key, or lacks one.
    """
    known = {f.name for f in fields(kind)}
    if not isinstance(item, Mapping):
        msg = f"{file}: {where} must be a list of mappings with {', '.join(sorted(known))}; got {item!r}"
        raise InputError(msg)
    unknown = set(item) - known
    if unknown:
        msg = f"{file}: unknown key {sorted(unknown)[0]!r} in {where}; known: {', '.join(sorted(known))}"
        raise InputError(msg)
    try:
        return kind(**item)
    except TypeError as e:
        msg = f"{file}: {where} is incomplete ({str(e).split('__init__() ')[-1]})"
        raise InputError(msg) from None
