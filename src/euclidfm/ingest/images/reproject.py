"""Resampling a band to the pixel grid of the first band, piece by piece.

The image is averaged as surface brightness over each new pixel and multiplied by the ratio of the
pixels' areas, so that the flux of a source is kept (DeForest 2004, Solar Physics 219, 3, as
implemented by the ``reproject`` package). A new pixel that any bad old one contributes to is bad.
The RMS is interpolated as a variance and scaled by the ratio of the areas, which neglects that
resampling correlates the noise of neighbouring pixels, as the MER RMS maps do; flags are those of
the nearest old pixel.
"""

from __future__ import annotations

import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area

from euclidfm.core.errors import InputError
from euclidfm.ingest.images.sky_wcs import pixels_of, sky_of

__all__ = ["needs_reproject", "regrid"]

_MARGIN_PX = 8
"""Pixels around the block that is needed, for the averaging."""

_EDGE_POINTS = 33
"""Points along each edge of the block, to find what it covers on the old grid."""


def needs_reproject() -> None:
    """Check that ``reproject`` is there.

    Raises
    ------
    InputError
        If it is not.
    """
    try:
        import reproject  # noqa: F401
    except ImportError:
        msg = "reproject: true needs the package reproject: pip install 'euclidfm[reproject]'"
        raise InputError(msg) from None


def regrid(
    planes: tuple[np.ndarray, np.ndarray | None, np.ndarray | None],
    wcs: WCS,
    onto: WCS,
    corner: tuple[int, int],
    shape: tuple[int, int],
    mask_bits: int,
    no_data_rms: float,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """A rectangle of the new grid.

    Parameters
    ----------
    planes : image, RMS and flag map of the old grid, the whole mosaic
    wcs, onto : WCS
        Old and new grid.
    corner : (x, y) int
        Lower left pixel on the new grid.
    shape : (height, width)
    mask_bits : int
        Flags of pixels that don't contribute.
    no_data_rms : float
        RMS from here on means no data.

    Returns
    -------
    image, rms : (height, width) float32, counts per new pixel; NaN = no data
    flag : (height, width) int32
        RMS and flags are None if the band has none.
    """
    new = _shifted(onto, *corner)
    rows, columns = _block(wcs, new, shape, planes[0].shape)
    image = np.full(shape, np.nan, np.float32)
    rms = None if planes[1] is None else image.copy()
    flag = None if planes[2] is None else np.zeros(shape, np.int32)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return image, rms, flag
    old = _shifted(wcs, columns.start, rows.start)
    counts, noise, bits = (None if p is None else np.asarray(p[rows, columns]) for p in planes)
    assert counts is not None
    counts = counts.astype(float)
    if noise is not None:
        noise = noise.astype(float)
        good = (noise > 0) & (noise < no_data_rms)
        counts[~good] = noise[~good] = np.nan
    if bits is not None and mask_bits:
        counts[(bits & mask_bits) != 0] = np.nan
    image[...] = _averaged(counts, old, new, shape)
    if rms is not None and noise is not None:
        rms[...] = _resampled_rms(noise, old, new, shape)
    if flag is not None and bits is not None:
        flag[...] = _nearest(bits, old, new, shape)
    return image, rms, flag


def _averaged(counts: np.ndarray, old: WCS, new: WCS, shape: tuple[int, int]) -> np.ndarray:
    """Counts on the new grid, flux conserved; NaN where any old pixel that contributes is NaN."""
    from reproject import reproject_adaptive

    return np.asarray(
        reproject_adaptive(
            (counts, old),
            new,
            shape_out=shape,
            return_footprint=False,
            conserve_flux=True,
            kernel="gaussian",
            boundary_mode="strict",
            bad_value_mode="strict",
        )
    )


def _resampled_rms(noise: np.ndarray, old: WCS, new: WCS, shape: tuple[int, int]) -> np.ndarray:
    """RMS on the new grid, interpolated as a variance and scaled by the ratio of the pixels' areas."""
    from reproject import reproject_interp

    ratio = proj_plane_pixel_area(new) / proj_plane_pixel_area(old)
    variance = reproject_interp(
        (noise**2, old), new, order="bilinear", shape_out=shape, return_footprint=False
    )
    return np.asarray(np.sqrt(variance * ratio))


def _nearest(bits: np.ndarray, old: WCS, new: WCS, shape: tuple[int, int]) -> np.ndarray:
    """Flags of the nearest old pixels; none beyond the old grid."""
    from reproject import reproject_interp

    nearest = reproject_interp(
        (bits.astype(float), old), new, order="nearest-neighbor", shape_out=shape, return_footprint=False
    )
    return np.nan_to_num(nearest, nan=0.0).astype(np.int64)


def _shifted(wcs: WCS, x: int, y: int) -> WCS:
    """The grid with another pixel as its origin."""
    out = wcs.deepcopy()
    out.wcs.crpix = np.asarray(out.wcs.crpix) - (x, y)
    out.pixel_shape = None
    return out


def _block(wcs: WCS, new: WCS, shape: tuple[int, int], full: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the old grid that a rectangle of the new one needs."""
    (height, width), t = shape, np.linspace(0.0, 1.0, _EDGE_POINTS)
    x = np.concatenate([t, t, 0 * t, 0 * t + 1]) * width - 0.5
    y = np.concatenate([0 * t, 0 * t + 1, t, t]) * height - 0.5
    edge = pixels_of(wcs, *sky_of(new, x, y))
    if not np.isfinite(edge).all():
        return slice(0, 0), slice(0, 0)
    (xa, ya), (xb, yb) = np.floor(np.min(edge, axis=1)), np.ceil(np.max(edge, axis=1))
    rows = slice(max(int(ya) - _MARGIN_PX, 0), min(int(yb) + _MARGIN_PX + 1, full[0]))
    return rows, slice(max(int(xa) - _MARGIN_PX, 0), min(int(xb) + _MARGIN_PX + 1, full[1]))
