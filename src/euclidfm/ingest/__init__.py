"""Ingest: from sky files, cutouts or photometric tables to a store.

`IngestConfig` says what and how, `ingest` does it. The reading path: `sources` (what is this?),
then `sky` (`catalogue`, `selection`, `sed`, `spectroscopy`, `mosaics`, `cutouts`), `stacks` or
`photometry`; `workspace` makes it resumable; `run` puts it together.
"""

from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.quality import describe_store, quality_report
from euclidfm.ingest.recipe import PhotometryRecipe
from euclidfm.ingest.run import ingest

__all__ = ["IngestConfig", "PhotometryRecipe", "describe_store", "ingest", "quality_report"]
