"""The whole sky: tiles in parallel, written in the layout of ``docs/sky-files.md``."""

from __future__ import annotations

import os
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from euclidfm.core.bands import BANDS, EUCLID_BANDS, PIXEL_ARCSEC
from euclidfm.core.errors import InputError
from euclidfm.core.files import write_table, written_aside
from euclidfm.core.units import ujy_per_count
from euclidfm.simulate.config import SkyConfig

__all__ = ["simulate_sky"]

CENTRE = (61.241, -48.423)
"""RA and Dec (deg) of the first tile: the centre of the Euclid Deep Field South."""

STAMP = "20250319T000000.000000"
"""Date in file names and headers: fixed, so that files are identical from run to run."""


def simulate_sky(
    cfg: SkyConfig, out_dir: str | Path, progress: Callable[[int, int, str], None] | None = None
) -> dict[str, Any]:
    """Simulate a sky and write its files.

    Parameters
    ----------
    cfg : SkyConfig
    out_dir : str or Path
        Created if needed. Tiles that it already holds, of the same configuration, are kept.
    progress : callable, optional
        ``progress(done, total, what)`` in catalogued objects.

    Returns
    -------
    dict
        ``objects``, ``kinds``, ``subtypes``, ``tiles``, ``tiles_done_before``, ``files``,
        ``pixels`` (of a tile's side) and ``seconds``.
    """
    begun = time.monotonic()
    out = Path(out_dir)
    parts = out / ".parts"
    parts.mkdir(parents=True, exist_ok=True)
    _same_sky(cfg, parts)
    todo = [i for i in range(cfg.tiles) if not (parts / f"{tile_id(cfg, i)}.done").exists()]
    done = sum(cfg.tile_objects(i) for i in range(cfg.tiles) if i not in todo)
    report = progress or (lambda done, total, what: None)
    report(done, cfg.objects, f"{cfg.tiles - len(todo)} tiles found done")
    workers = min(cfg.processes or os.cpu_count() or 1, len(todo))
    if workers <= 1:
        for i in todo:
            done += _simulate_tile(cfg, i, str(out))
            report(done, cfg.objects, f"tile {tile_id(cfg, i)}")
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(_simulate_tile, cfg, i, str(out)): i for i in todo}
            for future in as_completed(futures):
                done += future.result()
                report(done, cfg.objects, f"tile {tile_id(cfg, futures[future])}")
    truth = _gather(cfg, out, parts)
    return {
        "objects": truth.num_rows,
        "kinds": dict(Counter(truth["kind"].to_pylist())),
        "subtypes": dict(Counter(truth["subtype"].to_pylist())),
        "tiles": cfg.tiles,
        "tiles_done_before": cfg.tiles - len(todo),
        "pixels": cfg.tile_pixels,
        "files": sorted(
            str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and ".parts" not in p.parts
        ),
        "seconds": time.monotonic() - begun,
    }


def tile_id(cfg: SkyConfig, index: int) -> str:
    """Nine-digit name of a tile, as in Q1."""
    return str(102_018_000 + index)


def _same_sky(cfg: SkyConfig, parts: Path) -> None:
    """Refuse to mix two configurations in one folder."""
    described = asdict(cfg)
    described.pop("processes")
    text = repr(sorted(described.items()))
    note = parts / "config.txt"
    if note.exists() and note.read_text() != text:
        msg = f"{parts.parent} holds a sky of another configuration; choose an empty folder"
        raise InputError(msg)
    note.write_text(text)


def tile_wcs(cfg: SkyConfig, index: int) -> Any:
    """TAN projection of a tile; tiles lie on a square grid around `CENTRE`."""
    from astropy.wcs import WCS

    columns = int(np.ceil(np.sqrt(cfg.tiles)))
    step = cfg.tile_pixels * PIXEL_ARCSEC / 3600.0
    dec = CENTRE[1] + (index // columns) * step
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [CENTRE[0] + (index % columns) * step / np.cos(np.radians(dec)), dec]
    wcs.wcs.crpix = [cfg.tile_pixels / 2 + 0.5] * 2
    wcs.wcs.cdelt = [-PIXEL_ARCSEC / 3600.0, PIXEL_ARCSEC / 3600.0]
    wcs.wcs.cunit = ["deg", "deg"]
    return wcs


def _simulate_tile(cfg: SkyConfig, index: int, out_dir: str) -> int:
    """Simulate and write one tile; return its number of objects."""
    import pyarrow as pa
    from threadpoolctl import threadpool_limits

    from euclidfm.simulate.catalogue.rows import catalogue_rows
    from euclidfm.simulate.tile import make_tile

    out, name = Path(out_dir), tile_id(cfg, index)
    wcs = tile_wcs(cfg, index)
    with threadpool_limits(1):  # each core has its own tile, so more threads would compete
        tile = make_tile(cfg, index)
    digest = f"{zlib.crc32(f'{cfg.seed}/{index}'.encode()):08X}"
    position = wcs.pixel_to_world_values([s.x for s in tile.sources], [s.y for s in tile.sources])
    tables = catalogue_rows(cfg, tile, name, np.asarray(position[0]), np.asarray(position[1]))
    for band in EUCLID_BANDS:
        mosaic, magzero = BANDS[band].mosaic, BANDS[band].magzero
        folder = out / "MER" / name / ("VIS" if band == "VIS" else "NISP")
        scale = np.float32(1 / ujy_per_count(magzero))
        header = wcs.to_header()
        header["MAGZERO"] = (magzero, "AB zero point of one count")
        header["FILTER"] = mosaic
        header["TILEID"] = name
        header["DATE-OBS"] = "2025-03-19"
        rms = np.where(tile.rms[band] > 1e15, np.float32(1e16), tile.rms[band] * scale)
        for stem, data in (
            (f"BGSUB-MOSAIC-{mosaic}", tile.image[band] * scale),
            (f"MOSAIC-{mosaic}-RMS", rms.astype(np.float32)),
            (f"MOSAIC-{mosaic}-FLAG", tile.flag[band]),
        ):
            _write_image(folder / f"EUC_MER_{stem}_TILE{name}-{digest}_{STAMP}Z_00.00.fits", data, header)
    folder = out / "catalogs" / "MER_FINAL_CATALOG" / name
    _write_table(folder / f"EUC_MER_FINAL-CAT_TILE{name}-{digest}_{STAMP}Z_00.00.fits", tables["photometry"])
    _write_table(
        folder / f"EUC_MER_FINAL-MORPH-CAT_TILE{name}-{digest}_{STAMP}Z_00.00.fits", tables["morphology"]
    )
    parts = out / ".parts"
    for what in ("truth", "spectroscopy"):
        write_table(pa.Table.from_pylist(tables[what]), parts / f"{name}.{what}.parquet")
    (parts / f"{name}.done").touch()
    return len(tile.sources)


def _write_image(path: Path, data: np.ndarray, header: Any) -> None:
    from astropy.io import fits

    _write_aside(path, fits.PrimaryHDU(data, header))


def _write_table(path: Path, records: list[dict[str, object]]) -> None:
    from astropy.io import fits
    from astropy.table import Table

    columns = {k: np.asarray([r[k] for r in records]) for k in records[0]}
    columns = {
        k: v.astype(np.int32) if v.dtype == np.int64 and "ID" not in k else v for k, v in columns.items()
    }
    _write_aside(path, fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(Table(columns))]))


def _write_aside(path: Path, hdu: Any) -> None:
    with written_aside(path) as aside:
        hdu.writeto(aside)


def _gather(cfg: SkyConfig, out: Path, parts: Path) -> Any:
    """Join the tiles' truth and spectroscopy into one table each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [tile_id(cfg, i) for i in range(cfg.tiles)]
    truth = pa.concat_tables([pq.read_table(parts / f"{n}.truth.parquet") for n in names])
    write_table(truth, out / "truth.parquet")
    spectra = [pq.read_table(parts / f"{n}.spectroscopy.parquet").to_pylist() for n in names]
    _write_table(out / "catalogs" / "spectroscopy.fits", [r for rows in spectra for r in rows])
    return truth
