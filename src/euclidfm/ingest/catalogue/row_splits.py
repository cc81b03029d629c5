"""Splits of a table's rows: by position, by a hash of the id, or those of its files."""

from __future__ import annotations

import numpy as np

from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.plan import hashed_splits
from euclidfm.store.schema import Galaxies
from euclidfm.store.splits import assign_splits

__all__ = ["split_rows", "split_rule"]


def split_rule(recipe: PhotometryRecipe) -> str:
    """How the splits of a recipe's rows are assigned, in words."""
    if any(f.split for f in recipe.files):
        return "the table's own files; validation by a hash of the id"
    return "HEALPix pixel" if recipe.ra and recipe.dec else "a hash of the id (the table has no positions)"


def split_rows(g: Galaxies, recipe: PhotometryRecipe, cfg: IngestConfig) -> np.ndarray:
    """Splits by position if there is one, else by a hash of the id; rows keep the split of their file."""
    given = g.split.astype(str)
    if (given != "").all():
        train, validation, _ = cfg.split_fractions
        share = validation / (train + validation) if train + validation > 0 else 0.0
        held = hashed_splits(g.object_id, (1 - share, share, 0.0), cfg.seed)
        return np.where((given == "train") & (held == "validation"), "validation", given)
    if recipe.ra and recipe.dec:
        return assign_splits(g.ra, g.dec, cfg.split_fractions, cfg.split_order, cfg.seed)
    return hashed_splits(g.object_id, cfg.split_fractions, cfg.seed)
