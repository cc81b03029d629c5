"""Parquet tables, with the units that astropy or others wrote into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from euclidfm.ingest.readers.columns import Columns, Pick, take

__all__ = ["read_parquet", "schema_units"]


def read_parquet(path: Path, pick: Pick) -> Columns:
    """Columns of a Parquet file."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        units = schema_units(schema)
        have = tuple(schema.names)
        return take(
            path,
            have,
            pick,
            lambda name: file.read([name]).column(name),
            units.get,
        )


def schema_units(schema: Any) -> dict[str, str]:
    """Units in the metadata of an Arrow schema: of each field (``unit``), or in astropy's header."""
    found = {}
    for field in schema:
        about = field.metadata or {}
        unit = about.get(b"unit") or about.get(b"units") or about.get(b"UNIT") or b""
        if unit:
            found[field.name] = unit.decode("utf-8", "replace")
    header = (schema.metadata or {}).get(b"table_meta_yaml")
    if header:
        from astropy.table.meta import get_header_from_yaml

        try:
            about = get_header_from_yaml(header.decode("utf-8", "replace").split("\n"))
        except Exception:  # a header that astropy can't read holds no unit
            return found
        found |= {c["name"]: str(c["unit"]) for c in about.get("datatype", []) if c.get("unit")}
    return found
