"""Checksums of the files of a product, so that a damaged file is never used.

A product such as a model is a JSON file (the *card*) with binary files beside it. The card holds the SHA-256
of each of these files, and one of its own contents. Cards of earlier versions have none and are read without
a check.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain

__all__ = ["check_card", "check_files", "with_checksums"]

_OWN, _FILES = "sha256", "files"
"""Keys of the card: the checksum of its other keys, and the checksums of the files by name."""


def with_checksums(card: Mapping[str, Any], files: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Add the checksums of some files, and of the card itself, to a card.

    Parameters
    ----------
    card : mapping
        Values that JSON can hold.
    files : mapping of str to path, optional
        Where each file lies now, by its name in the finished product.

    Returns
    -------
    dict
        The card, to be written as JSON.
    """
    named = dict(plain(card))
    if files:
        named[_FILES] = {name: _sum_of(path) for name, path in files.items()}
    return named | {_OWN: _sum_of_card(named)}


def check_card(file: str | Path, card: Mapping[str, Any], remedy: str) -> None:
    """Compare a card, as it was read from `file`, with its own checksum.

    Parameters
    ----------
    file : path
        For the message.
    card : mapping
    remedy : str
        What the user should do, such as ``"fit it again"``.

    Raises
    ------
    InputError
        If the card was changed after it was written.
    """
    rest = {k: v for k, v in card.items() if k != _OWN}
    if _OWN in card and card[_OWN] != _sum_of_card(rest):
        msg = f"{file} is damaged: its contents differ from its checksum; {remedy}"
        raise InputError(msg)


def check_files(folder: str | Path, card: Mapping[str, Any], remedy: str, most: int | None = None) -> None:
    """Compare the files of a folder with the checksums in the card.

    Parameters
    ----------
    folder : path
    card : mapping
    remedy : str
        What the user should do.
    most : int, optional
        Larger files, in bytes, are not read. By default all are.

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    for name, expected in (card.get(_FILES) or {}).items():
        path = Path(folder) / name
        if not path.is_file():
            msg = f"{path} is missing; {remedy}"
            raise InputError(msg)
        if most is not None and path.stat().st_size > most:
            continue
        if _sum_of(path) != expected:
            msg = f"{path} is damaged or of another product (its checksum is not that of its card); {remedy}"
            raise InputError(msg)


def _sum_of(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _sum_of_card(card: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain(card), sort_keys=True).encode()).hexdigest()
