"""Embeddings: vectors of galaxies, as a catalogue (`EmbeddingTable`) and how to make one (`embed`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from euclidfm.embeddings.table import EmbeddingTable

if TYPE_CHECKING:
    from euclidfm.embeddings.extract import embed as embed

__all__ = ["EmbeddingTable", "embed"]


def __getattr__(name: str) -> Any:
    if name == "embed":  # the only part that needs torch
        from euclidfm.embeddings.extract import embed

        return embed
    msg = f"module 'euclidfm.embeddings' has no attribute {name!r}"
    raise AttributeError(msg)
