"""Conversion of the images of a data set to cutouts in µJy.

An image is a nested Arrow list, a picture (PNG, TIFF), or an entry of a list of bands.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from euclidfm.core.errors import InputError
from euclidfm.ingest.catalogue.recipe import ImageColumns
from euclidfm.ingest.files import short
from euclidfm.ingest.images.geometry import corners, overlap
from euclidfm.ingest.plan import absent_images

__all__ = ["DatasetImages", "cut_images"]


@dataclass
class DatasetImages:
    """Cutouts of N rows.

    S is the side of a cutout in pixels.

    Attributes
    ----------
    images, masks : dict of band to (N, S, S)
        Flux in µJy per pixel, 0 where masked; a mask is True where a pixel is masked.
    noise : dict of band to (N,)
        Median error of the unmasked pixels, µJy; NaN if it is unknown.
    edge : (N,) bool
        True if an image of the row is smaller than the cutout.
    """

    images: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    edge: np.ndarray


def cut_images(
    source: str, batch: pa.Table, where: ImageColumns, bands: tuple[str, ...], size: int
) -> DatasetImages:
    """Cut out the middle of each image. Images smaller than the cutout are padded with masked pixels.

    Parameters
    ----------
    source : str
        Name of the data set, used in messages.
    batch : pyarrow.Table
        Rows of the data set.
    where : ImageColumns
        The columns that hold the images.
    bands : tuple of str
        Bands to cut.
    size : int
        Side of the cutouts in pixels.

    Raises
    ------
    InputError
        If a column is missing or holds no images.
    """
    n = batch.num_rows
    out = DatasetImages(*absent_images(bands, n, size), edge=np.zeros(n, bool))
    for name in (*([where.listed] if where.listed else []), *where.columns.values()):
        if name.split(".")[0] not in batch.column_names:
            have = ", ".join(batch.column_names)
            msg = f"{source} has no column {name!r} of images; it has {have}; correct the recipe"
            raise InputError(msg)
    for band, column in where.columns.items():
        if band in bands:
            values = _nested(batch, column)
            for i in range(n):
                _put(source, column, out, band, i, where, _plane(source, column, values[i]), None, None)
    if where.listed:
        _cut_listed(source, batch, where, bands, out)
    return out


def _nested(batch: pa.Table, name: str) -> pa.Array:
    outer, *inner = name.split(".")
    column = batch.column(outer).combine_chunks()
    for part in inner:
        column = pc.struct_field(column, part)
    return column


def _cut_listed(
    source: str, batch: pa.Table, where: ImageColumns, bands: tuple[str, ...], out: DatasetImages
) -> None:
    """Cut images from a column that lists the bands, as a structure of lists or a list of structures."""
    name = str(where.listed)
    column = batch.column(name).combine_chunks()
    parts = {p: str(getattr(where, p)) for p in ("band", "flux", "ivar", "mask") if getattr(where, p)}
    for i in range(len(column)):
        row = column[i]
        if not row.is_valid:
            continue
        listed = _of_list(source, name, row, parts)
        labels = [str(v) for v in listed["band"].to_pylist()]
        for k, label in enumerate(labels):
            band = where.names.get(label) or where.names.get(label.lower())
            if band is None or band not in bands:
                continue
            planes = {p: _plane(source, f"{name}.{p}", listed[p][k]) for p in parts if p != "band"}
            _put(source, name, out, band, i, where, planes["flux"], planes.get("ivar"), planes.get("mask"))


def _of_list(source: str, name: str, row: pa.Scalar, parts: dict[str, str]) -> dict[str, pa.Array]:
    """Return the parts of a row's list of bands, each as an array over the bands."""
    lists = pa.types.is_struct(row.type)
    if lists:
        inside = row.type
    elif pa.types.is_list(row.type) or pa.types.is_large_list(row.type):
        inside = row.type.value_type
    else:
        msg = f"{source}: column {name!r} is {row.type}, no list of bands; correct the recipe"
        raise InputError(msg)
    names = [f.name for f in inside] if pa.types.is_struct(inside) else []
    for field in parts.values():
        if field not in names:
            have = ", ".join(names) or "nothing"
            msg = f"{source}: column {name!r} holds no {field!r} (it has {have}); correct the recipe"
            raise InputError(msg)
    return {p: row[f].values if lists else pc.struct_field(row.values, f) for p, f in parts.items()}


def _plane(source: str, name: str, value: pa.Scalar) -> np.ndarray | None:
    """Return one image as a (ny, nx) array; None if the row has no image."""
    if isinstance(value, pa.ExtensionScalar):
        value = value.value
    if value is None or not value.is_valid:
        return None
    if pa.types.is_struct(value.type) and value.type.get_field_index("bytes") >= 0:
        return _picture(source, name, value["bytes"].as_py())
    values: Any = value
    shape: list[int] = []
    array: pa.Array | None = None
    while pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or _fixed(values.type):
        array = values.values if isinstance(values, pa.Scalar) else values.flatten()
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        count = int(np.prod(shape)) if shape else 1
        if not count or len(array) % count:
            break
        shape.append(len(array) // count)
        values = array
    if array is None or len(shape) not in (2, 3) or (len(shape) == 3 and 1 not in (shape[0], shape[-1])):
        msg = f"{source}: column {name!r} holds no two-dimensional images ({value.type}); correct the recipe"
        raise InputError(msg)
    plane = array.to_numpy(zero_copy_only=False).astype(np.float32)
    if len(plane) != int(np.prod(shape)):
        msg = f"{source}: column {name!r} holds an image with rows of different lengths"
        raise InputError(msg)
    kept = [s for s in shape if s != 1] if len(shape) == 3 else shape
    return plane.reshape(kept)


def _fixed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


def _picture(source: str, name: str, data: bytes | None) -> np.ndarray | None:
    """Decode a picture of one channel (TIFF or PNG, 8 to 32 bits)."""
    if data is None:
        return None
    from PIL import Image

    try:
        pixels = np.asarray(Image.open(io.BytesIO(data)), np.float32)
    except (OSError, ValueError) as e:
        msg = f"{source}: column {name!r} holds a picture that can't be read ({short(e)})"
        raise InputError(msg) from None
    if pixels.ndim != 2:
        msg = f"{source}: column {name!r} holds colour pictures, which are no fluxes; name another column"
        raise InputError(msg)
    return pixels


def _put(
    source: str,
    name: str,
    out: DatasetImages,
    band: str,
    i: int,
    where: ImageColumns,
    flux: np.ndarray | None,
    ivar: np.ndarray | None,
    mask: np.ndarray | None,
) -> None:
    """Write the middle of an image into row `i` of the cutouts."""
    if flux is None:
        return
    if any(p is not None and p.shape != flux.shape for p in (ivar, mask)):
        msg = f"{source}: column {name!r} has {band} pixels and their errors or masks in different sizes"
        raise InputError(msg)
    size = out.images[band].shape[1]
    (ny, nx), scale = flux.shape, where.to_ujy(band)
    x0, y0 = (int(c[0]) for c in corners(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]), size))
    out.edge[i] |= x0 < 0 or y0 < 0
    common = overlap(x0, y0, (size, size), flux.shape)
    if common is None:
        return
    at, source_at = common
    piece = flux[source_at]
    bad = ~np.isfinite(piece)
    if ivar is not None:
        with np.errstate(invalid="ignore"):
            bad |= ~(ivar[source_at] > 0)
    if mask is not None:
        bad |= (mask[source_at] != 0) == (where.mask_means == "bad")
    out.images[band][i][at] = np.where(bad, 0.0, piece * scale)
    out.masks[band][i][at] = bad
    if ivar is not None and not bad.all():
        out.noise[band][i] = scale * float(np.median(1 / np.sqrt(ivar[source_at][~bad])))
