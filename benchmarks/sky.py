"""How fast the mock sky is made, and how close its stamps are to GalSim's.

    python benchmarks/sky.py                  # renderer, one tile, GalSim comparison
    python benchmarks/sky.py --objects 20000 --tiles 20 --processes 2   # a whole sky, timed

Seconds of processor time are given beside wall time, since machines are shared.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time

import numpy as np

from euclidfm.simulate import SkyConfig, simulate_sky
from euclidfm.simulate.images.components import Component, Psf
from euclidfm.simulate.images.render import render
from euclidfm.simulate.population.galaxies import draw_galaxies
from euclidfm.simulate.tile import make_tile


def cpu_seconds() -> float:
    own, children = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def renderer(n: int = 200, size: int = 64) -> dict[str, float]:
    """Four-band stamps of a bulge and a disc, per second of processor time."""
    psfs = [Psf(fwhm=f) for f in (0.214, 0.504, 0.461, 0.587)]
    rng = np.random.default_rng(0)
    parts = [
        [
            Component(flux=np.ones(4), re=float(rng.uniform(0.1, 0.4)), index=float(rng.uniform(2, 4))),
            Component(flux=np.ones(4), re=float(rng.uniform(0.3, 0.8)), index=1.0, axis_ratio=0.5, angle=1.0),
        ]
        for _ in range(n)
    ]
    render(parts[0], psfs, size)
    begun = time.process_time()
    for p in parts:
        render(p, psfs, size, 0.2, 0.1)
    return {"stamps_per_cpu_second": n / (time.process_time() - begun)}


def against_galsim(size: int = 128) -> dict[str, float]:
    """Largest difference from GalSim, in units of the peak, over a few profiles."""
    import galsim

    worst = {}
    psf = Psf(fwhm=0.214)
    for index in (0.6, 1.0, 2.5, 4.0, 5.5):
        ours = render([Component(flux=np.ones(1), re=0.5, index=index, axis_ratio=0.6)], [psf], size)[0]
        profile = galsim.Sersic(index, half_light_radius=0.5 * np.sqrt(0.6)).shear(
            q=0.6, beta=0 * galsim.radians
        )
        image = galsim.Image(np.zeros((size, size), np.float32), xmin=0, ymin=0, scale=0.1)
        both = galsim.Convolve(profile, galsim.Moffat(beta=psf.beta, fwhm=psf.fwhm))
        centre = galsim.PositionD(size // 2, size // 2)
        theirs = both.drawImage(image, method="no_pixel", center=centre).array
        worst[f"sersic_{index}"] = float(np.abs(ours - theirs).max() / theirs.max())
    return worst


def tile(objects: int = 600) -> dict[str, float]:
    """One tile, drawn and measured but not written."""
    cfg = SkyConfig(objects=objects, tiles=1)
    draw_galaxies(cfg, 10, np.random.default_rng(0))  # tables are made once per process
    make_tile(SkyConfig(objects=10, tiles=1), 0)
    begun = time.process_time()
    make_tile(cfg, 0)
    return {"objects_per_cpu_second": objects / (time.process_time() - begun)}


def whole_sky(objects: int, tiles: int, processes: int) -> dict[str, float]:
    """A sky with all its files, into a temporary folder."""
    cfg = SkyConfig(objects=objects, tiles=tiles, processes=processes)
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = cpu_seconds(), time.monotonic()
        simulate_sky(cfg, folder)
        spent, took = cpu_seconds() - cpu, time.monotonic() - wall
    return {
        "objects": objects,
        "wall_seconds": took,
        "cpu_seconds": spent,
        "objects_per_second": objects / took,
        "objects_per_cpu_second": objects / spent,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=0)
    parser.add_argument("--tiles", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    if args.objects:
        result: dict[str, object] = {"sky": whole_sky(args.objects, args.tiles, args.processes)}
    else:
        result = {
            "renderer": renderer(),
            "tile": tile(),
            "difference_from_galsim_over_peak": against_galsim(),
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
