"""Densities as a `qp` ensemble, the file format of RAIL."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.files import written_aside

__all__ = ["write_qp"]


def write_qp(path: str | Path, grid: np.ndarray, pdf: np.ndarray, object_id: np.ndarray) -> Path:
    """Write densities as a `qp` interpolated ensemble (HDF5).

    Parameters
    ----------
    path : path
        Name of the file; ``.hdf5`` or ``.fits``, which sets the format.
    grid : (G,) array
        Redshifts at which densities are given.
    pdf : (N, G) array
        Densities; rows that are not finite (objects without data) are skipped.
    object_id : (N,) int64
        Stored as the ensemble's ancillary column ``object_id``.

    Returns
    -------
    Path
        The file: ``qp.read(path)`` gives an ensemble whose row is ``ancil["object_id"]``.

    Raises
    ------
    InputError
        If `qp` is not installed, the name has another ending, or no row is finite.
    """
    path = Path(path)
    if path.suffix not in (".hdf5", ".fits"):
        msg = f"{path}: a qp ensemble is written as .hdf5 or .fits; choose one of these endings"
        raise InputError(msg)
    try:
        import qp
    except ImportError as e:
        msg = f"{path}: writing a qp ensemble needs the package qp-prob: pip install qp-prob"
        raise InputError(msg) from e
    known = np.isfinite(pdf).all(axis=1)
    if not known.any():
        msg = f"{path}: no object has a density; nothing to write"
        raise InputError(msg)
    ensemble = qp.Ensemble(
        qp.interp,
        data={"xvals": np.asarray(grid, float), "yvals": np.asarray(pdf[known], float)},
        ancil={"object_id": np.asarray(object_id, np.int64)[known]},
    )
    with written_aside(path) as aside:
        ensemble.write_to(str(aside))
    return path
