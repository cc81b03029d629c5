"""Ingest a tile of the true size: galaxies per second and memory, against reading the bytes.

Writes one tile of ``--side`` pixels (default 19200) in four bands with RMS and flag maps, made
by repeating a small mock, and measures, each in a process of its own and, unless ``--warm``,
with the files dropped from the page cache:

- floor: reading all bytes of the twelve maps in order;
- ingest, at each of ``--sizes``, with ``--workers`` processes: wall time, CPU time, galaxies/s and the
  peak memory of all processes together (shared pages counted once);
- write: writing as many bytes as that store has, in order, to the disk: what no ingest can beat;
- the peer's way, on ``--peer`` objects: one FITS file a cutout, written, then read back one at a time.

    python benchmarks/ingest.py --folder /scratch/ingest --out ingest.json

Needs 18 GB of disk at full size and 6 GB for a store at 224 px; stores are removed when they are measured,
with ``--clean`` the tile too.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from euclidfm.core.bands import BANDS, EUCLID_BANDS, SED_BANDS
from euclidfm.core.units import ujy_per_count

TILE = 102018211
BLOCK = 1200


def wcs_of(side: int) -> WCS:
    w = WCS(naxis=2)
    w.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    w.wcs.crval, w.wcs.crpix, w.wcs.cdelt = [57.0, -50.0], [side / 2 + 0.5] * 2, [-0.1 / 3600, 0.1 / 3600]
    return w


def block_image(rng: np.random.Generator, band: str) -> np.ndarray:
    """Noise and Gaussian blobs, µJy per pixel."""
    b = BANDS[band]
    image = rng.normal(0.0, b.pixel_rms_ujy * b.noise_correlation, (BLOCK, BLOCK))
    yy, xx = np.mgrid[-20:21, -20:21]
    for x, y in rng.integers(30, BLOCK - 30, (110, 2)):
        s = rng.uniform(1.5, 6.0)
        image[y - 20 : y + 21, x - 20 : x + 21] += (
            rng.lognormal(0.5, 1.0) / (2 * np.pi * s * s) * np.exp(-(xx**2 + yy**2) / (2 * s * s))
        )
    return image


def write_plane(path: Path, block: np.ndarray, side: int, header: fits.Header) -> None:
    """Write a FITS image that repeats a block, a strip at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"f": ">f4", "i": ">i4"}[block.dtype.kind]
    head = fits.PrimaryHDU(np.zeros((1, 1), np.dtype(kind).newbyteorder("=")), header).header
    head["NAXIS1"] = head["NAXIS2"] = side
    strip = np.tile(block, (1, -(-side // BLOCK)))[:, :side].astype(kind)
    with path.open("wb") as f:
        f.write(head.tostring().encode())
        for row in range(0, side, BLOCK):
            strip[: side - row].tofile(f)
        f.write(b"\0" * (-f.tell() % 2880))


def write_mosaics(sky: Path, side: int) -> None:
    rng = np.random.default_rng(0)
    wcs = wcs_of(side)
    for band in EUCLID_BANDS:
        scale = ujy_per_count(BANDS[band].magzero)
        header = wcs.to_header()
        header["MAGZERO"] = BANDS[band].magzero
        rms = np.full((BLOCK, BLOCK), BANDS[band].pixel_rms_ujy / scale)
        rms[300:310] = 1e16
        flag = np.zeros((BLOCK, BLOCK), np.int32)
        flag[:, 700:702] = 2
        folder = sky / "MER" / str(TILE) / ("VIS" if band == "VIS" else "NISP")
        planes = {
            "BGSUB-MOSAIC-{}": block_image(rng, band) / scale,
            "MOSAIC-{}-RMS": rms,
            "MOSAIC-{}-FLAG": flag,
        }
        for stem, block in planes.items():
            name = f"EUC_MER_{stem.format(BANDS[band].mosaic)}_TILE{TILE}-ABC_20241024T000000.0Z_00.00.fits"
            write_plane(folder / name, block, side, header)


def write_catalogue(sky: Path, side: int, objects: int) -> None:
    rng = np.random.default_rng(1)
    wcs = wcs_of(side)
    x, y = rng.uniform(0, side - 1, (2, objects))
    ra, dec = wcs.wcs_pix2world(x, y, 0)
    ids = -(np.round(1e7 * ra).astype(np.int64) * 10**9 + np.round(-1e7 * dec).astype(np.int64))
    t = Table({"OBJECT_ID": ids, "RIGHT_ASCENSION": ra, "DECLINATION": dec, "VIS_DET": np.ones(objects, int)})
    vis = rng.lognormal(1.0, 1.0, objects)
    for name in ("DETECTION_TOTAL", "VIS_PSF"):
        t[f"FLUX_{name}"], t[f"FLUXERR_{name}"] = vis, 0.01 * vis
    for b in SED_BANDS:
        if b != "VIS":
            stem = BANDS[b].column.upper()
            t[f"FLUX_{stem}_TEMPLFIT"], t[f"FLUXERR_{stem}_TEMPLFIT"] = vis, 0.05 * vis
            t[f"FLUX_VIS_TO_{stem}_TEMPLFIT"] = vis
    folder = sky / "catalogs" / "MER_FINAL_CATALOG" / str(TILE)
    folder.mkdir(parents=True, exist_ok=True)
    t.write(folder / f"EUC_MER_FINAL-CAT_TILE{TILE}-ABC_20241024T000000.0Z_00.00.fits", overwrite=True)


def forget(folder: Path) -> None:
    """Drop the files from the page cache."""
    for path in folder.rglob("*.fits"):
        with path.open("rb") as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def floor(sky: Path) -> dict:
    begun, total = time.monotonic(), 0
    for path in sorted((sky / "MER").rglob("*.fits")):
        with path.open("rb", buffering=0) as f:
            while piece := f.read(16 * 1024**2):
                total += len(piece)
    seconds = time.monotonic() - begun
    return {"what": "floor", "seconds": seconds, "gigabytes": total / 1e9, "mb_per_s": total / 1e6 / seconds}


class PeakMemory:
    """Samples the memory of this process and its children; shared pages are counted once."""

    def __init__(self) -> None:
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            self.peak = max(self.peak, sum(pss(p) for p in family(os.getpid())))

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for p in found:
        found += [child for child, parent in parents.items() if parent == p]
    return found


def pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def ingested(sky: Path, size: int, workers: int) -> dict:
    from euclidfm.ingest import IngestConfig, ingest

    out = sky.parent / f"store-{size}"
    shutil.rmtree(out, ignore_errors=True)
    cfg = IngestConfig(source=str(sky), size=size, selection="everything-detected", workers=workers)
    begun = time.monotonic()
    with PeakMemory() as memory:
        rows = ingest(cfg, out)["rows"]
    seconds = time.monotonic() - begun
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    stored = sum(p.stat().st_size for p in out.rglob("*.parquet"))
    return {
        "what": f"ingest {size} px",
        "workers": workers,
        "seconds": seconds,
        "cpu_seconds": sum(u.ru_utime + u.ru_stime for u in usage),
        "rows": rows,
        "galaxies_per_s": rows / seconds,
        "peak_memory_gb": memory.peak / 1e9,
        "store_gb": stored / 1e9,
    }


def written(sky: Path, size: int) -> dict:
    """Write as many bytes as the store of this size has, in order, and wait for the disk."""
    store = sky.parent / f"store-{size}"
    total = sum(p.stat().st_size for p in store.rglob("*.parquet"))
    shutil.rmtree(store)
    path, piece = sky.parent / "written", np.random.default_rng(0).bytes(16 * 1024**2)
    begun, left = time.monotonic(), total
    with path.open("wb", buffering=0) as f:
        while left > 0:
            left -= f.write(piece[:left])
        os.fsync(f.fileno())
    seconds = time.monotonic() - begun
    path.unlink()
    return {
        "what": f"write {size} px",
        "seconds": seconds,
        "gigabytes": total / 1e9,
        "mb_per_s": total / 1e6 / seconds,
    }


def peer(sky: Path, size: int, objects: int) -> dict:
    """One FITS file a cutout (four bands), written, then read back one at a time."""
    folder = sky.parent / "peer"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    catalogue = Table.read(next((sky / "catalogs").rglob("*FINAL-CAT*")))[:objects]
    begun = time.monotonic()
    images = sorted((sky / "MER").rglob("*BGSUB*"))
    hdus = [fits.open(p, memmap=True) for p in images]
    wcs = WCS(hdus[0][0].header)
    x, y = wcs.wcs_world2pix(catalogue["RIGHT_ASCENSION"], catalogue["DECLINATION"], 0)
    half = size // 2
    for i, name in enumerate(catalogue["OBJECT_ID"]):
        a, b = max(int(x[i]) - half, 0), max(int(y[i]) - half, 0)
        cut = [fits.ImageHDU(h[0].data[b : b + size, a : a + size]) for h in hdus]
        fits.HDUList([fits.PrimaryHDU(), *cut]).writeto(folder / f"{name}.fits")
    wrote = time.monotonic() - begun
    begun = time.monotonic()
    for path in folder.iterdir():
        with fits.open(path) as h:
            np.stack([np.asarray(e.data) for e in h[1:]])
    read = time.monotonic() - begun
    for h in hdus:
        h.close()
    shutil.rmtree(folder)
    n = len(catalogue)
    return {"what": f"peer {size} px", "rows": n, "write_per_s": n / wrote, "read_per_s": n / read}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--side", type=int, default=19200)
    parser.add_argument("--objects", type=int, default=30000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 224])
    parser.add_argument("--peer", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--warm", action="store_true", help="leave the files in the page cache")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    parser.add_argument("--clean", action="store_true", help="remove the tile at the end")
    parser.add_argument("--part", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sky = args.folder / "sky"
    if args.part:
        name, size = args.part.split(":")
        run = {
            "floor": lambda: floor(sky),
            "ingest": lambda: ingested(sky, int(size), args.workers),
            "write": lambda: written(sky, int(size)),
            "peer": lambda: peer(sky, int(size), args.peer),
        }[name]
        print(json.dumps(run()))
        return
    if not (sky / "MER").exists():
        write_mosaics(sky, args.side)
    write_catalogue(sky, args.side, args.objects)
    parts = ["floor:0", *(f"{what}:{s}" for s in args.sizes for what in ("ingest", "write", "peer"))]
    base, results = 0.0, []
    for part in parts:
        os.sync()
        if not args.warm:
            forget(sky)
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--part", part], stdout=subprocess.PIPE, check=True
        )
        result = json.loads(done.stdout)
        base = result["seconds"] if result["what"] == "floor" else base
        if "seconds" in result and base:
            result["times_floor"] = result["seconds"] / base
        result["load"] = os.getloadavg()[0]
        results.append(result)
        numbers = ", ".join(f"{k} {v:.4g}" for k, v in result.items() if k != "what")
        print(f"{result['what']:<14}{numbers}", flush=True)
    if args.out:
        setup = {"side": args.side, "objects": args.objects, "cores": os.cpu_count(), "cold": not args.warm}
        args.out.write_text(json.dumps({"setup": setup, "results": results}, indent=1) + "\n")
    if args.clean:
        shutil.rmtree(sky)


if __name__ == "__main__":
    main()
