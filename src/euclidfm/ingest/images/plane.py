"""One two-dimensional FITS image, on disk or behind a URL, whose pixels are read piece by piece.

On disk the pixels are mapped. Behind a URL the header is read once, then the rows that cutouts need: the
pixels of an uncompressed image lie row by row at a known place in the file, so a cutout is one request for
each of its rows, or one for all of them where rows are short.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from euclidfm.core.errors import InputError
from euclidfm.ingest.files import Place, RemoteFile, is_compressed, open_system, readable, short

__all__ = ["Plane", "RemotePixels", "RemotePlane", "open_plane"]

GAP = 1 << 15
"""Bytes between two pieces of rows up to which they are read as one."""

TRIES = 3
"""Times that a request is made before it counts as failed."""

_BITPIX = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


def open_plane(place: Place) -> Plane | RemotePlane:
    """An image, on disk or behind a URL."""
    return Plane(place) if isinstance(place, Path) else RemotePlane(place)


def _image_of(place: Place, hdus: Any) -> Any:
    """The first HDU that is a two-dimensional image (apart from axes of one pixel), if any one with a WCS."""
    kinds = fits.PrimaryHDU | fits.ImageHDU | fits.CompImageHDU
    first, seen = None, []
    for hdu in hdus:
        if not isinstance(hdu, kinds) or not hdu.header.get("NAXIS"):
            continue
        axes = [int(hdu.header[f"NAXIS{k}"]) for k in range(int(hdu.header["NAXIS"]), 0, -1)]
        if len(axes) >= 2 and all(n == 1 for n in axes[:-2]):
            if "CTYPE1" in hdu.header or hdu.name.upper() == "SCI":
                return hdu
            first = hdu if first is None else first
        seen.append(f"{hdu.name or 'PRIMARY'} of shape {tuple(axes)}")
    if first is not None:
        return first
    msg = f"{place} has no two-dimensional image in any HDU; it has {', '.join(seen) or 'no image'}"
    raise InputError(msg)


def _is_scaled(header: fits.Header) -> bool:
    blank = "BLANK" in header and header["BITPIX"] > 0
    return header.get("BSCALE", 1) != 1 or header.get("BZERO", 0) != 0 or blank


def _layout(place: Place, hdu: Any, size: int | None) -> tuple[int, np.dtype]:
    """First byte and type of the pixels of an uncompressed image; `size` is that of the file."""
    kind, start = np.dtype(_BITPIX[hdu.header["BITPIX"]]), int(hdu.fileinfo()["datLoc"])
    end = start + kind.itemsize * hdu.header["NAXIS1"] * hdu.header["NAXIS2"]
    if size is not None and size < end:
        msg = f"{place} is truncated: its header promises {end} bytes, the file has {size}; download it again"
        raise InputError(msg)
    return start, kind


class Plane:
    """One two-dimensional image on disk.

    The pixels are mapped, not read, unless the file is compressed.

    Parameters
    ----------
    path : path

    Raises
    ------
    InputError
        If the file is missing, unreadable, truncated or has no image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loaded: np.ndarray | None = None
        self._start = -1
        with readable(path, "FITS"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path, memmap=not is_compressed(path), lazy_load_hdus=True) as hdus:
                self._take(_image_of(path, hdus))
            if self._start < 0:
                with fits.open(path, memmap=False, lazy_load_hdus=True) as hdus:
                    data = np.asarray(_image_of(path, hdus).data)
                    self._loaded = data.reshape(self.shape)

    def _take(self, hdu: Any) -> None:
        self.header: fits.Header = hdu.header.copy()
        self.shape: tuple[int, int] = (int(hdu.header["NAXIS2"]), int(hdu.header["NAXIS1"]))
        if not (isinstance(hdu, fits.CompImageHDU) or _is_scaled(hdu.header) or is_compressed(self.path)):
            self._start, self._kind = _layout(self.path, hdu, self.path.stat().st_size)

    def pixels(self) -> np.ndarray:
        """The plane's pixels, mapped; delete the array to free the memory that reading took."""
        if self._loaded is not None:
            return self._loaded
        return np.asarray(np.memmap(self.path, self._kind, "r", self._start, self.shape))


class RemotePlane:
    """One two-dimensional image behind a URL; the counterpart of `Plane`.

    Parameters
    ----------
    file : RemoteFile

    Raises
    ------
    InputError
        If the file is missing, is no FITS image, or is compressed.
    """

    def __init__(self, file: RemoteFile) -> None:
        self.path = file
        self._system, self._place = open_system(file.url, file.options)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                options = {"block_size": 1 << 16, "cache_type": "readahead"}
                with (
                    self._system.open(self._place, "rb", **options) as stream,
                    fits.open(stream, lazy_load_hdus=True) as hdus,
                ):
                    self._take(hdus, file.size or getattr(stream, "size", None))
        except InputError:
            raise
        except FileNotFoundError:
            msg = f"{file} does not exist; check the address"
            raise InputError(msg) from None
        except Exception as e:
            msg = f"{file} can't be read as a FITS file ({short(e)}); check the address, or use --fetch copy"
            raise InputError(msg) from e

    def _take(self, hdus: Any, size: int | None) -> None:
        hdu = _image_of(self.path, hdus)
        for bad, what in (
            (isinstance(hdu, fits.CompImageHDU), "is compressed"),
            (_is_scaled(hdu.header), "has scaled pixels (BSCALE, BZERO, BLANK)"),
        ):
            if bad:
                msg = f"{self.path} {what}, so it can't be read in pieces; use --fetch copy"
                raise InputError(msg)
        self.header: fits.Header = hdu.header.copy()
        self.shape: tuple[int, int] = (int(hdu.header["NAXIS2"]), int(hdu.header["NAXIS1"]))
        self._start, self._kind = _layout(self.path, hdu, size)

    def pixels(self) -> Any:
        """The pixels (`RemotePixels`), to be cut with two slices."""
        return RemotePixels(self._system, self._place, str(self.path), self._start, self._kind, self.shape)


class RemotePixels:
    """Pixels behind a URL: ``pixels[y0:y1, x0:x1]`` fetches a piece.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    """

    def __init__(
        self, system: Any, place: str, url: str, start: int, dtype: np.dtype, shape: tuple[int, int]
    ) -> None:
        self._system, self._place, self._url, self._start = system, place, url, start
        self.dtype, self.shape = dtype, shape

    def __getitem__(self, at: tuple[slice, slice]) -> np.ndarray:
        (ya, yb, _), (xa, xb, _) = (s.indices(n) for s, n in zip(at, self.shape, strict=True))
        height, width, size = max(yb - ya, 0), max(xb - xa, 0), self.dtype.itemsize
        if not height or not width:
            return np.zeros((height, width), self.dtype)
        row = self.shape[1] * size
        first = self._start + ya * row + xa * size
        if row - width * size <= GAP:
            (raw,) = self._fetch([first], [first + (height - 1) * row + width * size])
            piece = np.zeros(height * self.shape[1], self.dtype)
            flat = np.frombuffer(raw, self.dtype)
            piece[: len(flat)] = flat
            return piece.reshape(height, self.shape[1])[:, :width]
        starts = [first + k * row for k in range(height)]
        rows = self._fetch(starts, [s + width * size for s in starts])
        return np.frombuffer(b"".join(rows), self.dtype).reshape(height, width)

    def _fetch(self, starts: list[int], ends: list[int]) -> list[bytes]:
        """Pieces of the file; a request that fails is repeated a few times."""
        for attempt in range(TRIES):
            try:
                pieces = self._system.cat_ranges([self._place] * len(starts), starts, ends, on_error="raise")
            except FileNotFoundError:
                msg = f"{self._url} does not exist any more; check the address"
                raise InputError(msg) from None
            except Exception as e:
                if attempt + 1 == TRIES:
                    msg = f"{self._url} broke off ({short(e)}); run the same command again to go on"
                    raise InputError(msg) from e
                time.sleep(0.2 * 4**attempt)
                continue
            if any(len(p) > b - a for p, a, b in zip(pieces, starts, ends, strict=True)):
                msg = f"{self._url}: its server does not send pieces of files; use --fetch copy"
                raise InputError(msg)
            if all(len(p) == b - a for p, a, b in zip(pieces, starts, ends, strict=True)):
                return [bytes(p) for p in pieces]
        msg = f"{self._url} ends before its header says, or broke off; run the same command again to go on"
        raise InputError(msg)
