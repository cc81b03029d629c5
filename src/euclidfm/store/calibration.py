"""Images in µJy, or in the unit of their files: what may be asked of which."""

from __future__ import annotations

from collections.abc import Iterable

from euclidfm.core.errors import InputError
from euclidfm.store.reader import GalaxyStore

__all__ = ["require_ujy"]


def require_ujy(store: GalaxyStore, bands: Iterable[str], what: str) -> None:
    """Check that images of a store are in µJy.

    Parameters
    ----------
    store : GalaxyStore
    bands : iterable of str
        Image bands that are needed.
    what : str
        What needs them, for the message, such as ``"aperture photometry"``.

    Raises
    ------
    InputError
        If a band is uncalibrated; the message says how to calibrate it.
    """
    wanted = set(bands)
    lacking = [b for b in store.info.uncalibrated if b in wanted]
    if lacking:
        msg = (
            f"{what} needs images in µJy, and band {lacking[0]} of store {store.path} is uncalibrated; give "
            "its unit and zero point in the recipe (unit: counts, magzero: ...) and ingest again"
        )
        raise InputError(msg)
