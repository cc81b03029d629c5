"""Quarantine: what was left out, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Quarantine"]

_SCHEMA = pa.schema(
    [
        pa.field("object_id", pa.int64()),
        pa.field("ra", pa.float64()),
        pa.field("dec", pa.float64()),
        pa.field("tile", pa.int64()),
        pa.field("file", pa.string()),
        pa.field("reason", pa.string()),
    ]
)


@dataclass
class Quarantine:
    """Objects and files that were left out, one record each."""

    records: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records)

    def add(
        self,
        reason: str,
        *,
        file: str = "",
        tile: int = -1,
        object_id: int | None = None,
        ra: float | None = None,
        dec: float | None = None,
    ) -> None:
        """Record one file (without `object_id`) or object."""
        row = {"object_id": object_id, "ra": ra, "dec": dec, "tile": tile, "file": file, "reason": reason}
        self.records.append(row)

    def add_objects(
        self,
        reason: str | Sequence[str],
        object_id: Iterable[Any],
        ra: Any,
        dec: Any,
        *,
        file: str,
        tile: int,
    ) -> None:
        """Record several objects; `reason` is one for all or one each."""
        ids = list(object_id)
        reasons = [reason] * len(ids) if isinstance(reason, str) else list(reason)
        for i, a, d, why in zip(ids, np.asarray(ra, float), np.asarray(dec, float), reasons, strict=True):
            self.add(
                why,
                file=file,
                tile=tile,
                object_id=int(i),
                ra=float(a) if np.isfinite(a) else None,
                dec=float(d) if np.isfinite(d) else None,
            )

    def table(self) -> pa.Table:
        """The records as an Arrow table."""
        return pa.Table.from_pylist(self.records, schema=_SCHEMA)
