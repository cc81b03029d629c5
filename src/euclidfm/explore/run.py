"""Access to the contents of a run folder, which are read on demand.

N is the number of galaxies of the run. They have the order of its embeddings. A run without embeddings has
the order of its store.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from euclidfm.core.errors import InputError
from euclidfm.core.files import read_json
from euclidfm.core.ids import match_ids
from euclidfm.core.progress import Progress, silent
from euclidfm.core.run_folder import RunFolder
from euclidfm.discover.search import SimilarityIndex
from euclidfm.embeddings.table import EmbeddingTable
from euclidfm.explore.maps import MapKind, map_of, sky_plane
from euclidfm.explore.table import ColumnSet, Source
from euclidfm.store import Galaxies, GalaxyStore

__all__ = ["RunData"]

_KEPT = 512
"""Number of galaxies whose pixels are kept in memory."""


class RunData:
    """A run to display. The folder has the layout that `euclidfm demo` writes; parts may be missing.

    Parameters
    ----------
    folder : path
        Folder with ``embeddings.parquet`` or ``store/``. All other files are optional.
    kind : {"auto", "umap", "pca"}
        Method of the map, see `map_of`.
    progress : callable, optional
        Called while the map is computed.

    Raises
    ------
    InputError
        If the folder holds neither embeddings nor a store.
    """

    def __init__(self, folder: Path, kind: MapKind = "auto", progress: Progress = silent) -> None:
        self.folder = RunFolder(folder.resolve())
        if not self.folder.path.is_dir():
            msg = f"{folder} is not a folder; give the folder of a run, as `euclidfm demo` makes one"
            raise InputError(msg)
        emb, store = self.folder.embeddings, self.folder.store
        self.emb = EmbeddingTable.read(emb) if emb.is_file() else None
        self.store = GalaxyStore.open(store) if (store / "store.json").is_file() else None
        if self.emb is None and self.store is None:
            msg = (
                f"{folder} holds neither embeddings.parquet nor store/; make them with `euclidfm ingest`"
                " and `euclidfm embed`, or a whole run with `euclidfm demo`"
            )
            raise InputError(msg)
        self.lock = threading.Lock()
        self._pixels: OrderedDict[int, Galaxies] = OrderedDict()
        base: Any = self.emb if self.emb is not None else self.store
        names = ("object_id", "ra", "dec")
        self.ids, self.ra, self.dec = (
            np.asarray(getattr(base, n) if self.emb is not None else base.column(n)) for n in names
        )
        self.store_rows = (
            np.full(len(self), -1)
            if self.store is None
            else match_ids(self.ids, np.asarray(self.store.column("object_id")))
        )
        self.map: np.ndarray | None = None
        self.map_kind = ""
        if self.emb is not None:
            self.map, self.map_kind = map_of(self.emb, self.folder.map, kind, progress)
        self.sky, self.sky_centre = sky_plane(self.ra, self.dec)
        self.outliers = self._table(self.folder.outliers)
        self.density = self._density_file()
        self.columns = ColumnSet(self._sources())

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ratings_file(self) -> Path:
        """CSV file of the ratings, see `discover.ratings`."""
        return self.folder.ratings

    def missing(self) -> list[dict[str, str]]:
        """List the missing parts of the run, each with the command that makes it."""
        f = self.folder
        probe = f"euclidfm probe {f.embeddings} --store {f.store} --task photoz --density true"
        pretrain = f"euclidfm pretrain {f.store} --out {f.model.path} --model.objective likelihood"
        there = [
            ("cutouts and SEDs", self.store, f"euclidfm ingest SKY --out {f.store}"),
            (
                "the map and neighbours",
                self.emb,
                f"euclidfm embed {f.model.path} {f.store} --out {f.embeddings}",
            ),
            ("outliers", self.outliers, f"euclidfm outliers {f.embeddings} --out {f.outliers}"),
            ("p(z)", self.density, f"{probe} --out {f.probe('photoz').path}"),
            ("surprisal maps", self.likelihood_model(), pretrain),
        ]
        return [{"what": what, "command": command} for what, have, command in there if have is None]

    def likelihood_model(self) -> dict[str, Any] | None:
        """Return the config of the model, or None if it has no likelihood or the run has no store."""
        card = self.folder.model.card
        config = read_json(card).get("config", {}) if card.is_file() and self.store is not None else {}
        return dict(config) if config.get("objective") == "likelihood" else None

    def row(self, object_id: int) -> int:
        """Return the row of a galaxy.

        Raises
        ------
        KeyError
            If the run has no galaxy with this id.
        """
        at = int(np.searchsorted(self._sorted[0], object_id))
        if at >= len(self) or self._sorted[0][at] != object_id:
            raise KeyError(object_id)
        return int(self._sorted[1][at])

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.ids, kind="stable")
        return self.ids[order], order

    def galaxy(self, row: int) -> Galaxies | None:
        """Read one galaxy with its pixels; None if the store does not have it."""
        if self.store is None or self.store_rows[row] < 0:
            return None
        with self.lock:
            if row not in self._pixels:
                self._pixels[row] = self.store.read([int(self.store_rows[row])])
                if len(self._pixels) > _KEPT:
                    self._pixels.popitem(last=False)
            self._pixels.move_to_end(row)
            return self._pixels[row]

    def index(self, space: str) -> SimilarityIndex:
        """Return the similarity index of a space. The index of the last space is kept.

        Raises
        ------
        InputError
            If the run has no embeddings, or no such space.
        """
        if self.emb is None:
            msg = f"{self.folder.path} has no embeddings.parquet; make it with `euclidfm embed`"
            raise InputError(msg)
        if space not in self.spaces:
            msg = f"no space {space!r}; the spaces are {', '.join(self.spaces)}"
            raise InputError(msg)
        with self.lock:
            if self._index is None or self._index.space != space:
                self._index = SimilarityIndex(self.emb, space=space, engine="numpy")
            return self._index

    @property
    def spaces(self) -> list[str]:
        """Names of the spaces in which galaxies can be compared."""
        return [] if self.emb is None else ["joint", *self.emb.by_modality, *self.emb.spaces]

    _index: SimilarityIndex | None = None

    def _table(self, path: Path) -> pa.Table | None:
        if not path.is_file():
            return None
        try:
            table = pq.read_table(path, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as e:
            msg = f"{path} is not a readable Parquet file ({e}); make it again"
            raise InputError(msg) from None
        return table if "object_id" in table.column_names else None

    def _density_file(self) -> pq.ParquetFile | None:
        path = self.folder.probe("photoz").densities
        if not path.is_file():
            return None
        file = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        return file if {"object_id", "pz"} <= set(file.schema_arrow.names) else None

    def pz(self, row: int) -> tuple[list[float], np.ndarray] | None:
        """Return the redshift grid and the density p(z) of a galaxy; None if it has no density."""
        if self.density is None:
            return None
        grid = json.loads((self.density.schema_arrow.metadata or {}).get(b"pz_grid", b"[]"))
        with self.lock:
            at = int(self._density_rows[row])
            if at < 0 or not grid:
                return None
            for group in range(self.density.num_row_groups):
                size = self.density.metadata.row_group(group).num_rows
                if at < size:
                    break
                at -= size
            if self._densities is None or self._densities[0] != group:
                column = self.density.read_row_group(group, ["pz"]).column("pz").combine_chunks()
                self._densities = (group, np.asarray(column.flatten()).reshape(-1, len(grid)))
            density = self._densities[1][at]
        return (grid, density) if np.isfinite(density).all() else None

    _densities: tuple[int, np.ndarray] | None = None

    @cached_property
    def _density_rows(self) -> np.ndarray:
        assert self.density is not None
        return match_ids(self.ids, self.density.read(["object_id"]).column("object_id").to_numpy())

    def _sources(self) -> list[Source]:
        everyone = np.arange(len(self))
        place = {"object_id": self.ids, "ra": self.ra, "dec": self.dec}
        if self.emb is not None:
            place["split"] = np.asarray(self.emb.split).astype(str)
        out = [Source("identity", pa.table(place), everyone, {"ra": "deg", "dec": "deg"})]
        for probe in self.folder.probes():
            out += self._joined(f"predicted: {probe.path.name}", probe.predictions)
        if self.outliers is not None:
            out += self._joined("outliers", self.folder.outliers)
        if self.store is not None:
            about = {
                c.name: " ".join(filter(None, (c.description, f"[{c.unit}]" if c.unit else "")))
                for c in self.store.info.columns
            }
            about |= {f"flux{e}_{b}": "µJy" for e in ("", "err") for b in self.store.info.sed_names}
            out.append(Source("store", self.store.index, self.store_rows, about))
        if self.map is not None:
            table = pa.table({"map_x": self.map[:, 0], "map_y": self.map[:, 1]})
            out.append(Source("map", table, everyone, {}))
        return out

    def _joined(self, title: str, path: Path) -> list[Source]:
        table = self._table(path)
        if table is None:
            return []
        prefix = "outlier_" if title == "outliers" else ""
        renamed = [n if n == "object_id" else prefix + n for n in table.column_names]
        if title.startswith("predicted"):
            renamed = [f"{title.split(': ')[1]}_class" if n == "class" else n for n in renamed]
        rows = match_ids(self.ids, table.column("object_id").to_numpy())
        return [Source(title, table.rename_columns(renamed), rows, {})]
