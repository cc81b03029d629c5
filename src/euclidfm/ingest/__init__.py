"""Ingest: from sky files, archives, cutouts, photometric tables or data sets to a store.

`IngestConfig` says what to read and how, `ingest` does it. Begin with `pipeline`, which names the modules
in the order in which a galaxy passes them.
"""

from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.pipeline import ingest
from euclidfm.ingest.quality.page import describe_store, quality_report

__all__ = ["IngestConfig", "PhotometryRecipe", "describe_store", "ingest", "quality_report"]
