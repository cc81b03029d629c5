"""Ingest: from sky files, archives, cutouts, photometric tables or data sets to a store.

`IngestConfig` says what and how, `ingest` does it. The reading path: `sources` (what is this?),
then `sky` (`gather` with `remote`, `hats` and `irsa`; `catalogue`, `selection`, `sed`,
`spectroscopy`, `mosaics`, `cutouts`), `stacks`, `photometry` or `hub`; `workspace` makes it
resumable; `run` puts it together.
"""

from euclidfm.ingest.catalogue.recipe import PhotometryRecipe
from euclidfm.ingest.config import IngestConfig
from euclidfm.ingest.pipeline import ingest
from euclidfm.ingest.quality.page import describe_store, quality_report

__all__ = ["IngestConfig", "PhotometryRecipe", "describe_store", "ingest", "quality_report"]
