"""Export of selections to files, and to other programs by SAMP."""

from __future__ import annotations

import io
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow.csv import write_csv

from euclidfm.core.errors import InputError
from euclidfm.core.files import written_aside
from euclidfm.core.spreadsheet import escape_table
from euclidfm.explore.run import RunData

__all__ = ["FORMATS", "as_bytes", "samp_package", "selected", "send"]

FORMATS = {"csv": "text/csv", "fits": "application/fits", "votable": "application/x-votable+xml"}
"""Media type of each format of an exported selection."""

SUFFIXES = {"csv": "csv", "fits": "fits", "votable": "vot"}

RECEIVERS = {"topcat": "topcat", "aladin": "aladin", "all": ""}
"""Programs that accept a selection, with the start of their SAMP name."""


def selected(run: RunData, rows: np.ndarray) -> Any:
    """Collect all columns of the selected galaxies in an astropy table.

    Parameters
    ----------
    run : RunData
    rows : (M,) array of int
        Rows of the run.

    Raises
    ------
    InputError
        If there are no rows, or if the run has fewer rows.
    """
    from astropy.table import Table

    if not len(rows) or rows.max() >= len(run):
        msg = (
            f"a selection is one to {len(run)} row numbers below {len(run)}; select galaxies on the map first"
        )
        raise InputError(msg)
    columns = {"object_id": run.ids[rows]}
    columns |= {name: run.columns.values(name, rows) for name in run.columns.names}
    table = Table(columns, meta={"EXTNAME": "SELECTION"})
    table["ra"].unit = table["dec"].unit = "deg"
    for name in columns:
        if name.startswith(("flux_", "fluxerr_")):
            table[name].unit = "uJy"
    return table


def as_bytes(table: Any, kind: str) -> bytes:
    """Encode a table as the contents of a CSV, FITS or VOTable file.

    In CSV, text that a spreadsheet would take for a formula is escaped (`core.spreadsheet`).
    """
    out = io.BytesIO()
    if kind == "csv":
        data = {
            n: pa.array(c.tolist() if c.dtype.kind in "OU" else np.asarray(c))
            for n, c in table.columns.items()
        }
        write_csv(escape_table(pa.table(data)), out)
        return out.getvalue()
    table.write(out, format="fits" if kind == "fits" else "votable")
    return out.getvalue()


def send(table: Any, receiver: str, folder: Path) -> list[str]:
    """Send a table to other programs by SAMP.

    Parameters
    ----------
    table : astropy Table
    receiver : {"topcat", "aladin", "all"}
    folder : path
        Folder for ``selection.vot``, the file that the programs read.

    Returns
    -------
    list of str
        Names of the programs that received the table.

    Raises
    ------
    InputError
        If no SAMP hub runs, or if the program is not connected to it.
    """
    samp = samp_package()
    client = samp.SAMPIntegratedClient(name="euclidfm explore", description="selections of euclidfm explore")
    try:
        client.connect()
    except (samp.SAMPHubError, samp.errors.SAMPProxyError, OSError) as e:
        reason = type(e).__name__
        msg = f"no SAMP hub was found ({reason}); start TOPCAT or Aladin on this machine, then send again"
        raise InputError(msg) from None
    try:
        there = {
            i: str(client.get_metadata(i).get("samp.name", i))
            for i in client.get_subscribed_clients("table.load.votable")
        }
        chosen = {i: n for i, n in there.items() if n.lower().startswith(RECEIVERS[receiver])}
        if not chosen:
            msg = f"{receiver} is not connected to the SAMP hub; start it, then send again"
            raise InputError(msg)
        file = folder / "selection.vot"
        with written_aside(file) as aside:
            aside.write_bytes(as_bytes(table, "votable"))
        name = {"url": file.as_uri(), "table-id": "euclidfm-selection", "name": "euclidfm selection"}
        for identity in chosen:
            client.notify(identity, {"samp.mtype": "table.load.votable", "samp.params": name})
        return sorted(chosen.values())
    finally:
        client.disconnect()


def samp_package() -> Any:
    """Import the SAMP package of astropy, or the one of pyvo, to which it moved with astropy 8.

    Raises
    ------
    InputError
        If neither is installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import_module("astropy.samp.errors")
            return import_module("astropy.samp")
        except ImportError:
            pass
    try:
        import_module("pyvo.samp.errors")
        return import_module("pyvo.samp")
    except ImportError:
        msg = "this astropy has no SAMP any more; install its successor with `pip install pyvo`"
        raise InputError(msg) from None
