"""One picture (PNG, JPEG or TIFF) as planes of numbers.

A picture's first row is its top. Planes have their first row at the bottom, as FITS images do, so that a
plot with the origin below shows the picture as it was.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.ingest.files import no_permission, short

__all__ = ["MAX_PIXELS", "SUFFIXES", "PictureKind", "picture_kind", "read_picture"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Endings of pictures that are read."""

MAX_PIXELS = 2**26
"""Pixels of a picture, at most: a small file can promise many more than fit into memory."""

_PLANES = {"L": 1, "I;16": 1, "I;16B": 1, "I": 1, "F": 1, "RGB": 3}
"""Planes of the modes that are read."""
_MODES = {"LA": "grey with transparency", "RGBA": "colour with transparency", "P": "a palette", "1": "1 bit"}
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class PictureKind:
    """What all pictures of a set have in common."""

    shape: tuple[int, int]
    """Height and width in pixels."""
    mode: str
    """Pillow's name of the pixel format, such as ``RGB``."""

    @property
    def planes(self) -> int:
        """Number of colours."""
        return _PLANES[self.mode]

    @property
    def full_scale(self) -> float:
        """Largest number of an integer format; NaN for floats."""
        return {"L": 255.0, "RGB": 255.0, "F": float("nan"), "I": float("nan")}.get(self.mode, 65535.0)

    def __str__(self) -> str:
        return f"{self.shape[1]} x {self.shape[0]} px, {self.mode}"


def picture_kind(path: Path, exif_rotation: str = "refuse") -> PictureKind:
    """Size and format of a picture, from its header.

    Raises
    ------
    InputError
        If it can't be read.
    """
    with _opened(path, exif_rotation) as im:
        return _kind(path, im)


def read_picture(
    path: Path, kind: PictureKind, exif_rotation: str = "refuse", any_size: bool = False
) -> np.ndarray:
    """Planes of a picture.

    Parameters
    ----------
    path : path
    kind : PictureKind
        What it has to be.
    exif_rotation : str
        ``apply`` turns a picture whose EXIF says that it is turned; ``refuse`` makes it an error.
    any_size : bool
        Accept another size than that of `kind`.

    Returns
    -------
    (planes, height, width) array
        In the type of the file, the bottom row first.

    Raises
    ------
    InputError
        If it is no picture, is damaged or too large, or differs from `kind`; says what to do.
    """
    with _opened(path, exif_rotation) as im:
        found = _kind(path, im)
        if found.mode != kind.mode or (found.shape != kind.shape and not any_size):
            msg = (
                f"{path} is {found} and the others are {kind}; make it like them, or take it out of the table"
            )
            raise InputError(msg)
        try:
            pixels = np.asarray(im)
        except (OSError, ValueError, SyntaxError, MemoryError) as e:
            raise _unreadable(path, e) from None
    return np.moveaxis(pixels[::-1].reshape(*pixels.shape[:2], -1), -1, 0)


@contextmanager
def _opened(path: Path, exif_rotation: str) -> Iterator[Any]:
    """A picture whose header was read and checked."""
    with _header(path) as im:
        told = "exif" in im.info or im.format == "TIFF"
        turned = im.getexif().get(_ORIENTATION, 1) if told else 1
        if turned in (0, 1):
            yield im
        elif exif_rotation == "apply":
            yield _upright(path, im)
        else:
            msg = (
                f"{path} is turned (EXIF orientation {turned}); save it upright, or set exif_rotation: apply "
                "in the recipe"
            )
            raise InputError(msg)


def _upright(path: Path, im: Any) -> Any:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(im)
    except (OSError, ValueError, SyntaxError) as e:
        raise _unreadable(path, e) from None


def _header(path: Path) -> Any:
    """A picture, opened; its pixels are not read yet."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            im = Image.open(path, formats=("PNG", "JPEG", "TIFF"))
    except PermissionError:
        raise no_permission(path) from None
    except FileNotFoundError:
        msg = f"{path} does not exist"
        raise InputError(msg) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(path) from None
    except (OSError, ValueError, SyntaxError) as e:
        raise _unreadable(path, e) from None
    if im.width * im.height > MAX_PIXELS:
        im.close()
        raise _too_large(path)
    return im


def _kind(path: Path, im: Any) -> PictureKind:
    """Size and format; an error for a format that is not read."""
    if getattr(im, "n_frames", 1) > 1:
        msg = f"{path} holds {im.n_frames} pictures; save each in a file of its own"
        raise InputError(msg)
    deep = im.mode == "RGB" and any(";16" in str(part) for tile in getattr(im, "tile", ()) for part in tile)
    if im.mode not in _PLANES or deep:
        what = "colour of 16 bits" if deep else _MODES.get(im.mode, im.mode)
        msg = f"{path} is {what}; save it as RGB of 8 bits, as grey of 8 or 16 bits, or as a FITS cube"
        raise InputError(msg)
    return PictureKind((im.height, im.width), im.mode)


def _unreadable(path: Path, e: BaseException) -> InputError:
    msg = f"{path} is no picture that can be read ({short(e)}); replace it, or take it out of the table"
    return InputError(msg)


def _too_large(path: Path) -> InputError:
    msg = f"{path} promises more than {MAX_PIXELS} pixels, too many for a cutout; cut the galaxy out of it"
    return InputError(msg)
