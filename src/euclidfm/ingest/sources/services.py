"""Addresses of the catalogue and image services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["IrsaServices"]


@dataclass(frozen=True, kw_only=True)
class IrsaServices:
    """Where the services are and what their tables are called."""

    tap: str = "https://irsa.ipac.caltech.edu/TAP"
    sia: str = "https://irsa.ipac.caltech.edu/SIA"
    catalogue: str = "euclid_q1_mer_catalogue"
    """Table of the photometry."""
    morphology: str = "euclid_q1_mer_morphology"
    """Table of the morphology; empty for none."""
    collection: str = "euclid_DpdMerBksMosaic"
    """Image collection of the mosaics."""
    images: Literal["archive", "cloud"] = "archive"
    """Read mosaics from IRSA's own server, or from the copy in object storage that it names."""
    timeout: float = 120.0
    """Seconds to wait for an answer."""
