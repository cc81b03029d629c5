"""Ingest of pictures and arrays: galaxies per second against reading the same files with PIL or h5py alone.

Each measurement runs in a process of its own, reading and ingest in turn, ``--repeats`` times. The medians
of the processor times and of the walls are printed, for ``--galaxies`` and a quarter, with the peak memory.

    python benchmarks/pictures.py --folder /scratch/pictures --out docs/results/pictures.json
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

SIDE = 263
CODE = {
    "read": """
import sys, numpy as np
from pathlib import Path
folder, n = Path(sys.argv[1]), int(sys.argv[2])
if (folder / "a.h5").exists():
    import h5py
    with h5py.File(folder / "a.h5") as f:
        for start in range(0, n, 64):
            f["images"][start : start + 64]
else:
    from PIL import Image
    for k in range(n):
        with Image.open(folder / f"g{k}.jpg") as im:
            np.asarray(im)
""",
    "ingest": """
import sys
from euclidfm.ingest import IngestConfig, ingest
config = IngestConfig(source=sys.argv[1], recipe=sys.argv[1] + "/recipe.yaml")
ingest(config, sys.argv[1] + "-store", overwrite=True)
""",
}
AFTER = """
import resource, time
u = resource.getrusage(resource.RUSAGE_SELF)
print(u.ru_utime + u.ru_stime - t0, time.monotonic() - w0, u.ru_maxrss / 1024)
"""
BEFORE = """
import time
import numpy, h5py, PIL.Image
{more}
t0, w0 = time.process_time(), time.monotonic()
"""


def recipe(folder: Path, **cutouts: object) -> None:
    bands = [{"name": f"b{k}"} for k in range(int(str(cutouts.pop("bands"))))]
    cutouts |= {"bands": bands, "unit": "uncalibrated", "pixel_arcsec": "unknown"}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": "speed", "version": 1, "cutouts": cutouts}))


def pictures(folder: Path, n: int) -> None:
    from PIL import Image

    folder.mkdir(parents=True)
    rng, (y, x) = np.random.default_rng(1), np.mgrid[:SIDE, :SIDE]
    for k in range(n):
        blob = 200 * np.exp(-((x - SIDE / 2) ** 2 + (y - SIDE / 2) ** 2) / rng.uniform(200, 2000))
        image = blob[..., None] * [1, 0.8, 0.6] + rng.normal(12, 4, (SIDE, SIDE, 3))
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / f"g{k}.jpg", quality=90)
    recipe(folder, files="*.jpg", bands=3, rebin=2, size=128)


def arrays(folder: Path, n: int) -> None:
    import h5py

    folder.mkdir(parents=True)
    rng = np.random.default_rng(2)
    with h5py.File(folder / "a.h5", "w") as f:
        images = f.create_dataset("images", (n, 4, 64, 64), "f4", chunks=(64, 4, 64, 64), compression="gzip")
        for start in range(0, n, 64):
            part = rng.normal(1.0, 0.1, (min(64, n - start), 4, 64, 64))
            images[start : start + 64] = np.round(part, 3)
    recipe(folder, array="a.h5", dataset="images", bands=4)


def measured(what: str, folder: Path, n: int) -> tuple[float, ...]:
    """Processor seconds, seconds and peak MB of one process, without its start."""
    more = "import euclidfm.ingest.sources.recognise" if what == "ingest" else ""
    code = BEFORE.format(more=more) + CODE[what] + AFTER
    out = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(n)], capture_output=True, text=True, check=True
    )
    return tuple(float(v) for v in out.stdout.split()[-3:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--galaxies", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    records = []
    for name, make in (("pictures", pictures), ("HDF5", arrays)):
        for n in (args.galaxies // 4, args.galaxies):
            folder = args.folder / f"{name}-{n}"
            if not folder.exists():
                make(folder, n)
            runs: dict[str, list[tuple[float, ...]]] = {"read": [], "ingest": []}
            for _ in range(args.repeats):
                for what, found in runs.items():
                    found.append(measured(what, folder, n))
            row = {"kind": name, "galaxies": n, "when": time.strftime("%Y-%m-%d")}
            for what, found in runs.items():
                cpu, wall, peak = np.median(np.array(found), axis=0)
                row |= {f"{what}_cpu": n / cpu, f"{what}_wall": n / wall, f"{what}_peak_mb": peak}
            row |= {"cpu_ratio": row["read_cpu"] / row["ingest_cpu"]}
            row |= {"wall_ratio": row["read_wall"] / row["ingest_wall"]}
            row = {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
            print({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
            records.append(row)
    if args.out:
        args.out.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
