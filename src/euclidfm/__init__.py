"""euclidfm: multi-modal foundation models of galaxies, from telescope files to science tables.

The names below load what they need on first use, so that ``import euclidfm`` and
``euclidfm --help`` answer at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from euclidfm import tasks as tasks
    from euclidfm.embeddings import EmbeddingTable as EmbeddingTable
    from euclidfm.embeddings import embed as embed
    from euclidfm.model import FoundationModel as FoundationModel
    from euclidfm.store import GalaxyStore as GalaxyStore

__version__ = "0.1.0"

_HOMES = {
    "GalaxyStore": "euclidfm.store",
    "FoundationModel": "euclidfm.model",
    "EmbeddingTable": "euclidfm.embeddings",
    "embed": "euclidfm.embeddings",
}

__all__ = ["EmbeddingTable", "FoundationModel", "GalaxyStore", "__version__", "embed", "tasks"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "tasks":
        return import_module("euclidfm.tasks")
    msg = f"module 'euclidfm' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
