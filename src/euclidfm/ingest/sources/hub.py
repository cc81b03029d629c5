"""Ingest of data sets of the Hugging Face hub, or of folders of their files, with ``datasets``.

A recipe defines the meaning of the columns. Rows are streamed in small batches, so memory does not grow
with the data set. Each file of the data set is a work unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.formats import Table, arrow_column
from euclidfm.ingest.catalogue.labels import FLAGS
from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.catalogue.row_splits import split_rows
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.files import short
from euclidfm.ingest.images.cutouts import cutout_flags
from euclidfm.ingest.plan import UNIT_ROWS, Plan, absent_images
from euclidfm.ingest.quarantine import Quarantine
from euclidfm.ingest.selection import CutFlow
from euclidfm.ingest.sources.hub_images import cut_images
from euclidfm.ingest.sources.table import needed_columns, rows_of
from euclidfm.store.schema import Galaxies, StoreInfo

__all__ = ["DatasetUnit", "plan_dataset"]

ROWS = 64
"""Number of rows that are read together."""


def plan_dataset(cfg: IngestConfig) -> Plan:
    """Find the splits and files of a data set. The work units read the rows.

    Raises
    ------
    InputError
        If ``datasets`` is not installed, or there is no such data set.
    """
    recipe = PhotometryRecipe.load(cfg.recipe or "")
    images = recipe.images
    if images is None:
        msg = f"recipe {recipe.name!r} has no images section, so it can't read the data set {cfg.source}"
        raise InputError(msg)
    bands = tuple(b for b in images.bands if b in cfg.bands) or (images.bands if cfg.bands else ())
    info = StoreInfo(
        image_bands=bands,
        image_size=cfg.size if bands else 0,
        pixel_arcsec=images.pixel_arcsec,
        sed_bands=recipe.sed_bands,
        columns=(*recipe.store_columns, *FLAGS),
        release=cfg.release or recipe.release or recipe.name,
        provenance={"kind": "data set", **recipe.provenance},
    )
    units = []
    for split in recipe.splits or dict.fromkeys(_split_names(cfg, recipe), ""):
        data = _load(cfg, recipe, split)
        n = _shards(data)
        units += [DatasetUnit(cfg, split, k, n, _rows(data, n), bands) for k in range(n)]
    local = Path(cfg.source)
    files = sorted(str(p) for p in local.rglob("*") if p.is_file()) if local.is_dir() else []
    return Plan(info=info, units=units, files=files)


@dataclass
class DatasetUnit:
    """One file (shard) of a split of a data set."""

    cfg: IngestConfig
    split: str
    shard: int
    shards: int
    rows: int
    bands: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name shown by the progress bar."""
        return f"{self.split} {self.shard + 1}/{self.shards}"

    @property
    def files(self) -> list[str]:
        """Files of this unit; empty, since the plan lists all files."""
        return []

    def batches(self, quarantine: Quarantine) -> Iterator[Galaxies]:
        """Read galaxies in the order of the data set. Repeated ids of the shard go to quarantine."""
        cfg = self.cfg
        recipe = PhotometryRecipe.load(cfg.recipe or "")
        data = _load(cfg, recipe, self.split)
        if self.shards > 1:
            data = data.shard(num_shards=self.shards, index=self.shard)
        seen: set[int] = set()
        for batch in self._tables(data):
            galaxies, kept = rows_of(
                f"{cfg.source} split {self.split}",
                recipe.splits.get(self.split) or None,
                _columns(cfg.source, batch, recipe),
                recipe,
                CutFlow(),
                quarantine,
            )
            fresh = np.array([_first(int(i), seen) for i in galaxies.object_id], bool)
            quarantine.add_objects(
                "its id occurs earlier in the data set",
                galaxies.object_id[~fresh],
                galaxies.ra[~fresh],
                galaxies.dec[~fresh],
                file=f"{cfg.source} split {self.split}",
                tile=-1,
            )
            galaxies, kept = galaxies.take(fresh), kept[fresh]
            if len(galaxies):
                yield self._with_images(galaxies, batch.take(pa.array(kept)), recipe)

    def _tables(self, data: Any) -> Iterator[pa.Table]:
        """Read the rows as Arrow tables of at most `ROWS` rows."""
        try:
            for batch in data.with_format("arrow").iter(batch_size=ROWS):
                yield batch.combine_chunks()
        except (InputError, GeneratorExit):
            raise
        except Exception as e:
            name = f"{self.cfg.source} split {self.split}"
            msg = f"{name} broke off ({type(e).__name__}: {short(e)}); run the same command again to go on"
            raise InputError(msg) from e

    def _with_images(self, galaxies: Galaxies, batch: pa.Table, recipe: PhotometryRecipe) -> Galaxies:
        """Add splits, images and flags to the galaxies."""
        n, cfg = len(galaxies), self.cfg
        galaxies.split = split_rows(galaxies, recipe, cfg)
        masked, edge = np.ones((0, n)), np.zeros(n, bool)
        galaxies.images, galaxies.masks, galaxies.noise = absent_images(self.bands, n, cfg.size)
        if recipe.images is not None and self.bands:
            cut = cut_images(cfg.source, batch, recipe.images, self.bands, cfg.size)
            galaxies.images, galaxies.masks, galaxies.noise = cut.images, cut.masks, cut.noise
            edge = cut.edge
            masked = np.stack([m.mean(axis=(1, 2)) for m in cut.masks.values()])
        galaxies.columns |= cutout_flags(masked, edge, np.zeros(n, np.int64))
        return galaxies


def _first(i: int, seen: set[int]) -> bool:
    """Return whether an id is new, and add it to the ids seen."""
    new = i not in seen
    seen.add(i)
    return new


def _columns(source: str, batch: pa.Table, recipe: PhotometryRecipe) -> Table:
    """Read the columns that the recipe names. A dot in a name leads into a nested column."""
    out: Table = {}
    for name in needed_columns(recipe):
        outer, *inner = (name,) if name in batch.column_names else name.split(".")
        if outer not in batch.column_names:
            have = ", ".join(batch.column_names)
            msg = f"{source} has no column {outer!r}; it has {have}; correct recipe {recipe.name!r}"
            raise InputError(msg)
        column = batch.column(outer)
        for part in inner:
            if not pa.types.is_struct(column.type) or column.type.get_field_index(part) < 0:
                msg = f"{source}: column {outer!r} holds no {part!r}; correct recipe {recipe.name!r}"
                raise InputError(msg)
            column = pc.struct_field(column, part)
        out[name] = arrow_column(source, name, column)
    return out


def _split_names(cfg: IngestConfig, recipe: PhotometryRecipe) -> list[str]:
    """List the names of the splits of the data set."""
    datasets = _package(cfg)
    path = Path(cfg.source)
    if (path / "state.json").is_file():
        return ["train"]
    try:
        if (path / "dataset_dict.json").is_file():
            return [str(s) for s in datasets.load_from_disk(str(path))]
        return [str(s) for s in datasets.get_dataset_split_names(_where(cfg), recipe.config)]
    except Exception as e:
        raise _unreadable(cfg, e) from e


def _load(cfg: IngestConfig, recipe: PhotometryRecipe, split: str) -> Any:
    """Open a split. It is streamed; with ``fetch: copy`` it is downloaded to the cache first."""
    datasets = _package(cfg)
    path = Path(cfg.source)
    try:
        if (path / "state.json").is_file():
            return datasets.load_from_disk(str(path))
        if (path / "dataset_dict.json").is_file():
            return datasets.load_from_disk(str(path))[split]
        copy = cfg.fetch == "copy"
        return datasets.load_dataset(
            _where(cfg), recipe.config, split=split, streaming=not copy, cache_dir=cfg.cache if copy else None
        )
    except Exception as e:
        raise _unreadable(cfg, e) from e


def _package(cfg: IngestConfig) -> Any:
    """Import ``datasets``."""
    try:
        import datasets
    except ImportError as e:
        msg = f"{cfg.source} is read with the package datasets: pip install 'euclidfm[hub]'"
        raise InputError(msg) from e
    datasets.disable_progress_bars()
    return datasets


def _where(cfg: IngestConfig) -> str:
    """Return the name by which ``datasets`` knows the data set: ``owner/name``, or a folder."""
    return cfg.source.removeprefix("hf://").removeprefix("datasets/").rstrip("/")


def _unreadable(cfg: IngestConfig, e: Exception) -> InputError:
    """Make the error that says that the data set can't be read."""
    msg = (
        f"data set {cfg.source} can't be read ({type(e).__name__}: {short(e)}); check its name, the recipe's "
        "splits and the network"
    )
    return InputError(msg)


def _shards(data: Any) -> int:
    """Count the work units: the files of a stream, or blocks of `UNIT_ROWS` rows."""
    if hasattr(data, "__len__"):
        return max(1, -(-len(data) // UNIT_ROWS))
    return max(1, int(data.num_shards))


def _rows(data: Any, shards: int) -> int:
    """Estimate the number of rows of a shard; 0 if the data set does not say how many it has."""
    if hasattr(data, "__len__"):
        return -(-len(data) // shards)
    known = (data.info.splits or {}).get(str(data.split))
    return -(-int(known.num_examples) // shards) if known is not None and known.num_examples else 0
