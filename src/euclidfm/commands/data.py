"""Commands about skies and stores: ``simulate``, ``validate``, ``ingest``, ``info``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from euclidfm.core.progress import bar
from euclidfm.ingest.config import IngestConfig
from euclidfm.simulate.config import SkyConfig
from euclidfm.store.reader import GalaxyStore
from euclidfm.workflow.steps import make_sky, make_store

__all__ = ["info", "ingest", "simulate", "validate"]


def simulate(config: SkyConfig, *, out: Path = Path("sky")) -> dict[str, Any]:
    """Make a mock Euclid sky with known truth.

    Writes a folder of VIS, NIR-Y, NIR-J and NIR-H mosaics with RMS and flag maps, MER catalogues, a table
    of spectroscopic redshifts, and truth.parquet, in the names and units of the Q1 release.

    example: euclidfm simulate --preset q1-like --galaxies 20000 --seed 1
    example: euclidfm simulate --objects 3600 --seed 1 --out sky/

    Parameters
    ----------
    config : SkyConfig
    out : Path
        Folder for the sky files.

    Returns
    -------
    dict
        Counts of the objects and names of the files, see `euclidfm.simulate.simulate_sky`.
    """
    summary = make_sky(config, out)
    kinds = ", ".join(f"{n} {kind}" for kind, n in summary["kinds"].items())
    print(f"{out}: {summary['objects']} objects ({kinds}) in {len(summary['files'])} files", flush=True)
    return summary


def validate(sky: Path, *, out: Path = Path("validation"), real: Path | None = None) -> dict[str, Any]:
    """Draw the validation figures of a mock sky and measure how far it is from real data.

    Input: a sky. Output: a folder with number counts, n(z), size and colour planes, a contact sheet of every
    class, and validation.json. With real tables (--real, EUCLIDFM_REAL_DATA) mock and real are overlaid, and
    two-sample distances and the accuracy of a real-or-mock classifier are printed.

    example: euclidfm validate sky/ --out validation/

    Parameters
    ----------
    sky : Path
        Folder that `euclidfm simulate` wrote.
    out : Path
        Folder for the figures.
    real : Path, optional
        Folder of real tables to compare with.

    Returns
    -------
    dict
        What is in validation.json.
    """
    from euclidfm.simulate.validation.run import summary_lines, validate_sky

    with bar("validate", "steps") as progress:
        result = validate_sky(sky, out, real, progress)
    for line in summary_lines(result):
        print(line)
    print(f"{out}: figures and validation.json", flush=True)
    return result


def ingest(config: IngestConfig, *, out: Path, overwrite: bool = False) -> GalaxyStore:
    """Read telescope files into a store.

    Input: a folder of MER mosaics and catalogues or its URL, IRSA's services with a list of positions, a
    folder of multi-extension cutouts (VIS, NIR_Y, ...), or with a recipe: a photometric table, a folder of
    pictures, arrays or FITS files with a table, or a Hugging Face data set. Output: a store, one row a
    galaxy, with cutouts, masks, noise, SED and labels;
    objects that can't be used go to quarantine.parquet with the reason.

    example: euclidfm ingest sky/ --out store/ --size 64
    example: euclidfm ingest s3://nasa-irsa-euclid-q1/q1 --tiles '[102018211]' --out store/
    example: euclidfm ingest irsa --coordinates list.csv --out store/
    example: euclidfm ingest zcosmos.csv --recipe zcosmos --out store/
    example: euclidfm ingest pictures/ --recipe my-pictures.yaml --out store/

    Parameters
    ----------
    config : IngestConfig
    out : Path
        Folder of the store.
    overwrite : bool
        Replace an existing store.
    """
    summary = make_store(config, out, overwrite=overwrite)
    for step, left in summary["funnel"]:
        print(f"{left:>9}  {step}")
    for what in ("images", "splits_by"):
        if what in summary:
            print(f"{what.replace('_', ' ')}: {summary[what]}")
    print(f"{out}: {summary['rows']} galaxies, {summary['quarantined']} in quarantine", flush=True)
    return GalaxyStore.open(out)


def info(path: Path, *, quality: Path | None = None) -> str:
    """Describe a file or folder that this program made: a sky, a store, a run, embeddings, results.

    With --quality the quality report of a store is written: sky map, counts, magnitudes, colours, masked
    pixels, cutouts, cut flow of the selection, quarantine, on one self-contained page.

    example: euclidfm info store/
    example: euclidfm info store/ --quality quality.html

    Parameters
    ----------
    path : Path
        Any file or folder that this program made.
    quality : Path, optional
        HTML file for the quality report of a store.

    Returns
    -------
    str
        The text that is printed.
    """
    from euclidfm.report.describe import describe

    text = describe(path)
    print(text, flush=True)
    if quality is not None:
        from euclidfm.ingest.quality.page import quality_report

        quality_report(path, quality)
        print(f"{quality}: quality report", flush=True)
    return text
