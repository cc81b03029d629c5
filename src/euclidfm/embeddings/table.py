"""The embedding catalogue: a Parquet table that TOPCAT, lsdb or DuckDB also read.

Shapes: N galaxies, D width of the vectors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain, written_aside
from euclidfm.core.tables import column_for

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["IMAGES", "MEASURED", "PHOTOMETRY", "EmbeddingTable"]

MEASURED, PHOTOMETRY = "measured", "photometry"
"""Names of the spaces of measured numbers and of fluxes."""

IMAGES = "images"
"""Name of the space of the image summaries."""


@dataclass
class EmbeddingTable:
    """Vectors of N galaxies with their identity.

    Attributes
    ----------
    object_id : (N,) int64
    ra, dec : (N,) float64, degrees
    split : (N,) str
        ``train``, ``validation`` or ``test`` of the store.
    vectors : (N, E) float32
        Joint embedding: the image summary and the mean of the SED tokens, joined (without an image encoder
        the means of all modalities). A part that the galaxy lacks has its mean over the training galaxies.
        NaN for a galaxy that has none.
    by_modality : dict of str to (N, D) float32
        Embedding of each modality; a row of NaN where the galaxy lacks it.
    spaces : dict of str to (N, E) float32
        Further spaces; NaN where a galaxy has none. ``images`` is the image summary. ``shape`` (with several
        symmetries) is of the first image modality: the mean over the central patches and the symmetries, and
        the standard deviation of the central mean over the symmetries, which is large for asymmetric or
        double objects. ``measured`` (if asked for) holds numbers measured on the images
        (`euclidfm.measure`). ``photometry`` (if the SED is seen) holds the K fluxes, then their K errors, in
        µJy, in order of wavelength.
    info : dict
        Identity of the model and the data, layer, pooling, modalities used.
    columns : dict of str to (N,) array
        What else is known of each galaxy: ``release`` (an object_id is unique within one), flags,
        magnitudes, labels.
    """

    object_id: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    split: np.ndarray
    vectors: np.ndarray
    by_modality: dict[str, np.ndarray] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    spaces: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.object_id)

    def __repr__(self) -> str:
        width = self.vectors.shape[1] if self.vectors.ndim == 2 else 0
        return f"<EmbeddingTable: {len(self)} galaxies, {width} numbers each, {'+'.join(self.by_modality)}>"

    def take(self, rows: np.ndarray) -> EmbeddingTable:
        """The given rows (indices or a boolean mask)."""
        return EmbeddingTable(
            **{k: getattr(self, k)[rows] for k in ("object_id", "ra", "dec", "split", "vectors")},
            by_modality={m: v[rows] for m, v in self.by_modality.items()},
            info=self.info,
            columns={n: v[rows] for n, v in self.columns.items()},
            spaces={n: v[rows] for n, v in self.spaces.items()},
        )

    @classmethod
    def concat(cls, tables: Sequence[EmbeddingTable]) -> EmbeddingTable:
        """Tables of the same columns, one after the other; the first one's `info`."""
        first = tables[0]

        def joined(name: str) -> dict[str, np.ndarray]:
            return {k: np.concatenate([getattr(t, name)[k] for t in tables]) for k in getattr(first, name)}

        plain_columns = ("object_id", "ra", "dec", "split", "vectors")
        plain_parts: dict[str, Any] = {
            k: np.concatenate([getattr(t, k) for t in tables]) for k in plain_columns
        }
        named_parts: dict[str, Any] = {name: joined(name) for name in ("by_modality", "columns", "spaces")}
        return cls(**plain_parts, **named_parts, info=first.info)

    def updated(self, newer: EmbeddingTable) -> EmbeddingTable:
        """The catalogue with the galaxies of another: new ones added, known ones replaced in place.

        A galaxy is identified by its object_id and, if the catalogues give it, its release.

        Raises
        ------
        InputError
            If the two were not made by the same model in the same way, or have other columns.
        """
        for what in ("model", "layer", "modalities", "symmetries", "precision"):
            old = "float32" if what == "precision" else None  # catalogues from before it was noted
            ours, theirs = (t.info.get(what, old) for t in (self, newer))
            if ours != theirs:
                msg = (
                    f"the embeddings differ in {what} ({ours} and {theirs}): "
                    "embed the new galaxies as the old ones were, or write another file"
                )
                raise InputError(msg)
        if any(set(getattr(self, n)) != set(getattr(newer, n)) for n in ("columns", "by_modality", "spaces")):
            msg = (
                "the embeddings do not have the same columns; "
                "embed both stores with the same --columns and the same --measured"
            )
            raise InputError(msg)
        place = {key: row for row, key in enumerate(self._keys())}
        row = np.array([place.get(key, -1) for key in newer._keys()], np.int64)
        known, fresh = row >= 0, newer.take(row < 0)

        def joined(old: np.ndarray, new: np.ndarray, added: np.ndarray) -> np.ndarray:
            out = np.concatenate([old, added])
            out[row[known]] = new[known]
            return out

        plain_columns = ("object_id", "ra", "dec", "split", "vectors")
        return EmbeddingTable(
            **{k: joined(getattr(self, k), getattr(newer, k), getattr(fresh, k)) for k in plain_columns},
            by_modality={
                m: joined(v, newer.by_modality[m], fresh.by_modality[m]) for m, v in self.by_modality.items()
            },
            spaces={n: joined(v, newer.spaces[n], fresh.spaces[n]) for n, v in self.spaces.items()},
            info=self.info | {"store": f"{self.info.get('store')} + {newer.info.get('store')}"},
            columns={
                n: joined(v.astype(object), newer.columns[n].astype(object), fresh.columns[n].astype(object))
                if v.dtype.kind in "OUS"
                else joined(v, newer.columns[n], fresh.columns[n])
                for n, v in self.columns.items()
            },
        )

    def _keys(self) -> list[tuple[str, int]]:
        release = self.columns.get("release", np.full(len(self), "", dtype=object))
        return list(zip(release.astype(str).tolist(), self.object_id.tolist(), strict=True))

    def column_of(self, labels: Any, name: str) -> np.ndarray:
        """A label for each galaxy of this table, joined by `object_id`.

        Parameters
        ----------
        labels : pyarrow or astropy table, pandas frame or mapping
            With a column ``object_id`` and the label; any order, any subset.
        name : str

        Returns
        -------
        (N,) array
            NaN (or an empty string) where the label is not known.

        Raises
        ------
        InputError
            If a column is missing, or an id stands twice.
        """
        return column_for(self.object_id, labels, name)

    def to_arrow(self) -> pa.Table:
        """Arrow table: object_id, ra, dec, split, vector, other columns, vector_<modality>, space_<name>."""
        data: dict[str, pa.Array] = {
            "object_id": pa.array(self.object_id, pa.int64()),
            "ra": pa.array(self.ra, pa.float64()),
            "dec": pa.array(self.dec, pa.float64()),
            "split": pa.array([str(s) for s in self.split], pa.string()),
            "vector": _list_column(self.vectors),
        }
        data |= {n: pa.array(v.tolist() if v.dtype.kind in "OUS" else v) for n, v in self.columns.items()}
        data |= {f"vector_{m}": _list_column(v) for m, v in self.by_modality.items()}
        data |= {f"space_{n}": _list_column(v) for n, v in self.spaces.items()}
        return pa.table(data).replace_schema_metadata({"euclidfm": json.dumps(plain(self.info))})

    def to_astropy(self) -> Table:
        """Astropy table with the same columns."""
        from astropy.table import Table

        columns = {"object_id": self.object_id, "ra": self.ra, "dec": self.dec, "split": self.split}
        columns |= {n: v.astype(str) if v.dtype == object else v for n, v in self.columns.items()}
        columns |= {"vector": self.vectors} | {f"vector_{m}": v for m, v in self.by_modality.items()}
        columns |= {f"space_{n}": v for n, v in self.spaces.items()}
        return Table(columns, meta=dict(self.info))

    def write(self, path: str | Path) -> None:
        """Write as Parquet."""
        with written_aside(path) as aside:
            pq.write_table(self.to_arrow(), aside, write_page_checksum=True)

    @classmethod
    def read(cls, path: str | Path) -> EmbeddingTable:
        """Read a table that `write` made.

        Raises
        ------
        InputError
            If the file is missing, damaged, or not an embedding catalogue.
        """
        try:
            table = pq.read_table(path, page_checksum_verification=True)
        except FileNotFoundError:
            msg = f"{path} does not exist; make embeddings with `euclidfm embed`"
            raise InputError(msg) from None
        except (pa.ArrowInvalid, OSError) as e:
            msg = f"{path} is not a readable Parquet file ({e}); make the embeddings again"
            raise InputError(msg) from None
        own = ("object_id", "ra", "dec", "split")
        for needed in ("vector", *own):
            if needed not in table.column_names:
                msg = f"{path} has no column {needed!r}; it is not an embedding catalogue of `euclidfm embed`"
                raise InputError(msg)
        names = [n for n in table.column_names if n.startswith("vector_")]
        spaces = [n for n in table.column_names if n.startswith("space_")]
        more = [n for n in table.column_names if n not in (*own, "vector", *names, *spaces)]
        return cls(
            **{k: table.column(k).to_numpy() for k in own},
            vectors=_matrix(table, "vector"),
            by_modality={n.removeprefix("vector_"): _matrix(table, n) for n in names},
            info=current_info(json.loads((table.schema.metadata or {}).get(b"euclidfm", b"{}"))),
            columns={n: table.column(n).to_numpy() for n in more},
            spaces={n.removeprefix("space_"): _matrix(table, n) for n in spaces},
        )


def current_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """How embeddings were made, by the present names, whatever the version that wrote it."""
    return {"symmetries" if k == "turns" else k: v for k, v in info.items()}


def _list_column(matrix: np.ndarray) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(matrix, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    column = table.column(name).combine_chunks()
    return np.asarray(column.flatten().to_numpy()).reshape(table.num_rows, -1)
