"""Embeddings: vectors of galaxies, as a catalogue (`EmbeddingTable`) and how to make one (`embed`).

Also how much the model was surprised by each token (`surprise_of`, `surprise_table`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from euclidfm.embeddings.table import EmbeddingTable

if TYPE_CHECKING:
    from euclidfm.embeddings.extract import embed as embed
    from euclidfm.embeddings.extract import embed_stream as embed_stream
    from euclidfm.embeddings.surprisal import SurpriseMap as SurpriseMap
    from euclidfm.embeddings.surprisal import surprise_of as surprise_of
    from euclidfm.embeddings.surprisal import surprise_table as surprise_table

__all__ = ["EmbeddingTable", "SurpriseMap", "embed", "embed_stream", "surprise_of", "surprise_table"]


def __getattr__(name: str) -> Any:
    if name in ("embed", "embed_stream"):  # the parts that need torch
        from euclidfm.embeddings import extract

        return getattr(extract, name)
    if name in ("SurpriseMap", "surprise_of", "surprise_table"):
        from euclidfm.embeddings import surprisal

        return getattr(surprisal, name)
    msg = f"module 'euclidfm.embeddings' has no attribute {name!r}"
    raise AttributeError(msg)
