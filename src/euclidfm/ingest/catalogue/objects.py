"""The selected objects of a tile: everything that a row of the store holds besides pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from euclidfm.ingest.catalogue.formats import Table
from euclidfm.ingest.config import IngestConfig
from euclidfm.store.schema import Column, Galaxies

__all__ = ["TileObjects"]


@dataclass
class TileObjects:
    """Selected objects of one tile: everything but pixels.

    Attributes
    ----------
    object_id, tile : (N,) int64
    ra, dec : (N,) degrees
    split : (N,) str
    flux, fluxerr : (N, K) µJy
    columns : dict of (N,) arrays
    specs : tuple of Column
        Type and description of each of `columns`.
    centre : (3,) float
        Direction of the tile's centre.
    """

    object_id: np.ndarray
    tile: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    split: np.ndarray
    flux: np.ndarray
    fluxerr: np.ndarray
    columns: Table
    specs: tuple[Column, ...]
    centre: np.ndarray

    def __len__(self) -> int:
        return len(self.object_id)

    def keep(self, rows: np.ndarray) -> None:
        """Drop all but the given rows."""
        for name in ("object_id", "tile", "ra", "dec", "split", "flux", "fluxerr"):
            setattr(self, name, getattr(self, name)[rows])
        self.columns = {k: v[rows] for k, v in self.columns.items()}

    def take(self, rows: np.ndarray) -> TileObjects:
        """The given rows, as objects of their own."""
        part = replace(self)
        part.keep(rows)
        return part

    def galaxies(
        self,
        rows: np.ndarray,
        cfg: IngestConfig,
        images: dict[str, np.ndarray],
        masks: dict[str, np.ndarray],
        noise: dict[str, np.ndarray],
        flags: Table,
    ) -> Galaxies:
        """Galaxies of some rows, with their images, masks, noise and flags."""
        return Galaxies(
            **{k: getattr(self, k)[rows] for k in ("object_id", "ra", "dec", "tile", "split")},
            images={b: images[b] for b in cfg.bands},
            masks={b: masks[b] for b in cfg.bands},
            noise={b: noise[b] for b in cfg.bands},
            flux=self.flux[rows].astype(np.float32),
            fluxerr=self.fluxerr[rows].astype(np.float32),
            sed_bands=cfg.sed_bands,
            columns={k: v[rows] for k, v in self.columns.items()} | flags,
        )
