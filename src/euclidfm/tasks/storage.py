"""Files of fitted probes: the arrays as safetensors, the rest as JSON, never pickle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.checksums import check_card, check_files, with_checksums
from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json, versions, write_json, written_aside

__all__ = ["checked_load", "load_fitted", "save_fitted"]

FORMAT = 1


def save_fitted(
    folder: str | Path, name: str, card: Mapping[str, Any], arrays: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
    """Write ``<name>.safetensors`` and ``<name>.json`` to a folder.

    Parameters
    ----------
    folder : path
    name : str
    card : mapping
        Values that JSON can hold. The format, the versions of packages and checksums are added.
    arrays : mapping of str to mapping of str to array
        Arrays by part and name.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    tensors = {f"{g}.{k}": np.ascontiguousarray(v) for g, part in arrays.items() for k, v in part.items()}
    card = {"format": FORMAT, **card, "versions": versions()}
    with (
        written_aside(folder / f"{name}.safetensors") as file,
        written_aside(folder / f"{name}.json") as text,
    ):
        save_file(tensors, file)
        write_json(text, with_checksums(card, {f"{name}.safetensors": file}))


def load_fitted(
    folder: str | Path, name: str
) -> tuple[dict[str, Any], Callable[[str], dict[str, np.ndarray]]]:
    """Read what `save_fitted` wrote.

    Returns
    -------
    card : dict
    part : callable
        Arrays of a part by name; empty if there is no such part.

    Raises
    ------
    InputError
        If a file is missing, damaged, or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    card = read_json(folder / f"{name}.json")
    found = card.get("format") if isinstance(card, dict) else None
    if found != FORMAT:
        msg = f"{folder / name}.json has format {found}, this program reads {FORMAT}; fit it again"
        raise InputError(msg)
    check_card(folder / f"{name}.json", card, "fit it again")
    check_files(folder, card, "fit it again")
    try:
        tensors = load_file(folder / f"{name}.safetensors")
    except (FileNotFoundError, SafetensorError) as e:
        msg = f"{folder / name}.safetensors is missing or damaged ({e}); fit it again"
        raise InputError(msg) from None

    def part(of: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(f"{of}."): v for k, v in tensors.items() if k.startswith(f"{of}.")}

    return card, part


@contextmanager
def checked_load(folder: str | Path) -> Iterator[None]:
    """Errors raised in the block become an `InputError` that names the folder's files as damaged.

    Raises
    ------
    InputError
        If arrays or settings are missing, or of another shape.
    """
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as e:
        what = f"{type(e).__name__}: {e}".splitlines()[0]
        msg = f"the files in {folder} are damaged or do not belong together ({what}); fit it again"
        raise InputError(msg) from e
