"""The store: galaxies on disk, one row each, in Parquet shards anybody can read."""

from euclidfm.store.reader import GalaxyStore
from euclidfm.store.schema import Column, Galaxies, StoreInfo
from euclidfm.store.splits import SPLITS, assign_splits
from euclidfm.store.writer import StoreWriter

__all__ = ["SPLITS", "Column", "Galaxies", "GalaxyStore", "StoreInfo", "StoreWriter", "assign_splits"]
