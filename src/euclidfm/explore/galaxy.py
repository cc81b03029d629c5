"""Data of one galaxy for the page.

These are its values, SED, p(z), images and neighbours, and the search for it by id or position.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.files import plain
from euclidfm.explore.run import RunData
from euclidfm.report.sheets.stamps import composite, grey

__all__ = ["describe", "find", "neighbours", "picture", "png", "thumbnail"]

COLOUR = "colour"
"""Name of the colour picture made from VIS, Y and H."""


def describe(run: RunData, row: int) -> dict[str, Any]:
    """Collect all data of a galaxy except its pixels.

    Returns
    -------
    dict
        The keys are ``id``, ``row``, ``ra``, ``dec``, ``values``, ``pictures``, ``sed`` (µJy against nm) and
        ``pz``. The id is text, since browsers can't represent 64-bit integers.
    """
    galaxy = run.galaxy(row)
    sed, pictures = [], []
    if galaxy is not None and run.store is not None:
        for k, band in enumerate(run.store.info.sed_bands):
            flux, error = float(galaxy.flux[0, k]), float(galaxy.fluxerr[0, k])
            if np.isfinite(flux):
                sed.append({"band": band.name, "nm": band.wavelength_nm, "flux": flux, "error": error})
        pictures = [b for b in galaxy.images if galaxy.has_image(b)[0]]
        if {"VIS", "Y", "H"} <= set(pictures):
            pictures.insert(0, COLOUR)
    density, values = run.pz(row), run.columns.of_row(row)
    return {
        "id": str(run.ids[row]),
        "row": row,
        "ra": float(run.ra[row]),
        "dec": float(run.dec[row]),
        "values": {k: plain(v) for k, v in values.items() if not k.startswith(("flux_", "fluxerr_"))},
        "pictures": pictures,
        "sed": plain(sed),
        "pz": None if density is None else {"z": density[0], "density": density[1].tolist()},
    }


def picture(run: RunData, row: int, name: str, stretch: float, softening: float) -> np.ndarray:
    """Draw one band in grey, or three bands in colour.

    Returns
    -------
    (S, S, 3) uint8
        The first row belongs at the bottom.

    Raises
    ------
    KeyError
        If the galaxy has no such image.
    """
    galaxy = run.galaxy(row)
    if galaxy is None:
        raise KeyError(name)
    images = {b: v[0] for b, v in galaxy.images.items()}
    masks = {b: v[0] for b, v in galaxy.masks.items()}
    noise = {b: float(v[0]) for b, v in galaxy.noise.items()}
    if name == COLOUR:
        shown = composite(images, masks, noise, stretch=stretch, softening=softening)
        if shown is None:
            raise KeyError(name)
        return shown
    return grey(images[name], masks[name], noise[name], stretch=stretch, softening=softening)


def thumbnail(run: RunData, row: int) -> np.ndarray:
    """Draw the galaxy in colour, or else in its first band. Without an image the result is black."""
    names = (COLOUR, *(run.store.info.image_bands if run.store is not None else ()))
    for name in names:
        galaxy = run.galaxy(row)
        if galaxy is not None and (name == COLOUR or galaxy.has_image(name)[0]):
            try:
                return picture(run, row, name, 1.0, 3.0)
            except KeyError:
                continue
    return np.zeros((8, 8, 3), np.uint8)


def png(shown: np.ndarray) -> bytes:
    """Encode a picture as PNG, with north up."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(shown[::-1]).save(out, "PNG")
    return out.getvalue()


def neighbours(run: RunData, row: int, k: int, space: str) -> list[dict[str, Any]]:
    """Find the k most similar galaxies, nearest first. A galaxy without an embedding has none."""
    index = run.index(space)
    if not index.usable[row]:
        return []
    rows, similarity = index.nearest(np.array([row]), k)
    return [
        {"id": str(run.ids[r]), "row": int(r), "similarity": round(float(s), 4)}
        for r, s in zip(rows[0], similarity[0], strict=True)
    ]


def find(run: RunData, text: str, within_arcsec: float = 60.0) -> dict[str, Any]:
    """Find a galaxy by its id, or the galaxy nearest to a position.

    Parameters
    ----------
    run : RunData
    text : str
        An object_id, or a position: ``ra dec`` in degrees, or sexagesimal with ra in hours.
    within_arcsec : float
        Largest separation from the position.

    Raises
    ------
    InputError
        If the text is neither an id nor a position, or if there is no such galaxy.
    """
    text = text.strip()
    if re.fullmatch(r"[+-]?\d{1,19}", text):
        try:
            return {"id": str(int(text)), "row": run.row(int(text)), "separation": None}
        except KeyError:
            msg = f"no galaxy of this run has the id {text}; check it, or search by position"
            raise InputError(msg) from None
    ra, dec = _position(text)
    a, d = np.radians(run.ra), np.radians(run.dec)
    a0, d0 = np.radians(ra), np.radians(dec)
    h = np.sin((d - d0) / 2) ** 2 + np.cos(d) * np.cos(d0) * np.sin((a - a0) / 2) ** 2
    separation = np.degrees(2 * np.arcsin(np.sqrt(np.minimum(h, 1.0)))) * 3600.0
    row = int(np.nanargmin(separation))
    if separation[row] > within_arcsec:
        nearest = f"the nearest is {separation[row]:.0f} arcsec away"
        msg = f"no galaxy within {within_arcsec:g} arcsec of {ra:.5f} {dec:+.5f}; {nearest}"
        raise InputError(msg)
    return {"id": str(run.ids[row]), "row": row, "separation": round(float(separation[row]), 2)}


def _position(text: str) -> tuple[float, float]:
    words = re.split(r"[\s,;]+", text)
    try:
        if len(words) == 2 and ":" not in text and "h" not in text:
            ra, dec = float(words[0]), float(words[1])
            if -360 <= ra <= 360 and -90 <= dec <= 90:
                return ra, dec
        from astropy.coordinates import SkyCoord

        at = SkyCoord(text, unit=("hourangle", "deg"))
        return float(at.ra.deg), float(at.dec.deg)
    except (ValueError, TypeError):
        shown = text[:60]
        msg = (
            f"{shown!r} is neither an object_id nor a position such as `57.05 -50.02` or `3:48:12 -50:01:12`"
        )
        raise InputError(msg) from None
