"""Tables of VOTable documents; columns have the names that users know, not their XML identifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.ingest.readers.columns import Columns, Pick, take

__all__ = ["read_votable", "votable_columns"]


def read_votable(path: Path, pick: Pick) -> Columns:
    """Columns of the first table of a VOTable that has them."""
    from astropy.io.votable import parse

    return votable_columns(path, parse(path, verify="ignore"), pick)


def votable_columns(where: Path | str, votable: Any, pick: Pick = tuple) -> Columns:
    """Columns of a parsed VOTable; by default all of its first table.

    Raises
    ------
    InputError
        If the service that made it stopped at its row limit, or reports an error, or a
        column of ids has empty cells.
    """
    for resource in votable.resources:
        for info in resource.infos:
            if info.name == "QUERY_STATUS" and str(info.value).upper() == "OVERFLOW":
                msg = (
                    f"{where} is cut short: the service stopped at its row limit (OVERFLOW); "
                    "ask again with a higher MAXREC, or in pieces"
                )
                raise InputError(msg)
            if info.name == "QUERY_STATUS" and str(info.value).upper() == "ERROR":
                error = " ".join(str(info.content).split())
                msg = f"{where} holds no table but the service's error: {error}"
                raise InputError(msg)
    first: InputError | None = None
    for table in votable.iter_tables():
        names, fields = _names(table)
        try:
            pick(names)
        except InputError as e:
            first = first or e
            continue
        return _columns(where, table, names, fields, pick)
    if first is None:
        msg = f"{where} holds no table"
        raise InputError(msg)
    raise first


def _columns(
    where: Path | str, table: Any, names: tuple[str, ...], fields: dict[str, Any], pick: Pick
) -> Columns:
    return take(where, names, pick, lambda n: table.array[fields[n].ID], lambda n: fields[n].unit)


def _names(table: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names of the fields; an identifier counts where no field has it as its name."""
    fields = {f.name: f for f in reversed(table.fields)}
    return tuple(f.name for f in table.fields), {f.ID: f for f in table.fields} | fields
