"""IRSA's catalogue and image services: small samples by a list of coordinates.

One cone of the TAP service a coordinate finds the object, the morphology table is asked by
``object_id``, and the SIA service says which mosaics cover it. Every answer is asked for with a row
limit of our own, below the limit at which services cut answers without a word, so an answer that
reaches it is an error, not a sample with holes.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.core.tables import column_for
from euclidfm.ingest.catalogue.columns import find_columns, normalised
from euclidfm.ingest.catalogue.formats import Table, votable_columns
from euclidfm.ingest.catalogue.matching import unit_vectors
from euclidfm.ingest.sources.coordinates import Targets
from euclidfm.ingest.sources.services import IrsaServices
from euclidfm.ingest.sources.tiles import TileFiles, bands_of, mosaic_of
from euclidfm.ingest.sources.urls import RemoteFile, short

__all__ = ["Mosaics", "catalogue_near", "mosaics_near"]

MAXREC = 1000
"""Row limit of our queries; services cut at 2000 by default."""

SIDE_BY_SIDE = 4
"""Queries under way at once."""

SAME_TILE_DEG = 0.2
"""A position this close to the centre of a tile of 32 arcmin has no other tile that is nearer."""

_IDS = 100


@dataclass(frozen=True)
class Mosaics:
    """A tile that the image service lists.

    Attributes
    ----------
    files : TileFiles
        Without a catalogue of its own.
    ra, dec : float
        Centre, degrees.
    """

    files: TileFiles
    ra: float
    dec: float


def catalogue_near(
    services: IrsaServices,
    targets: Targets,
    needed: Iterable[str],
    optional: Iterable[str],
    progress: Progress | None = None,
) -> Table:
    """Catalogue rows around positions, joined with the morphology table.

    Parameters
    ----------
    services : IrsaServices
    targets : Targets
    needed, optional : iterables of canonical column names
    progress : callable, optional
        In positions.

    Returns
    -------
    dict of arrays
        By canonical name, one row an object; columns of objects without morphology are NaN.

    Raises
    ------
    InputError
        If a service can't be reached or complains, an answer is cut short, or a column is missing.
    """
    needed, optional = tuple(needed), tuple(optional)
    have = _columns(services, services.catalogue)
    shape = _columns(services, services.morphology) if services.morphology else ()
    extra = find_columns(services.tap, shape, (), (*optional, *needed)) if shape else {}
    where = f"{services.tap} table {services.catalogue}"
    main = find_columns(where, have, [c for c in needed if c in _ALWAYS or c not in extra], optional)
    extra = {c: n for c, n in extra.items() if c not in main}
    ra, dec = main["right_ascension"], main["declination"]
    radius = targets.radius_arcsec / 3600

    def cone(i: int) -> Table:
        return _ask(
            services,
            f"SELECT {', '.join(main.values())} FROM {services.catalogue} WHERE CONTAINS(POINT('ICRS', {ra}, "
            f"{dec}), CIRCLE('ICRS', {targets.ra[i]:.8f}, {targets.dec[i]:.8f}, {radius:.8f})) = 1",
        )

    parts = _side_by_side(cone, range(len(targets)), progress)
    raw = {n: np.concatenate([p[n] for p in parts]) for n in main.values()}
    table = normalised(where, main, raw)
    _, first = np.unique(table["object_id"], return_index=True)
    table = {c: v[np.sort(first)] for c, v in table.items()}
    if extra and len(first):
        _add_morphology(services, extra, table)
    return table


_ALWAYS = ("object_id", "right_ascension", "declination")


def _add_morphology(services: IrsaServices, extra: Mapping[str, str], table: Table) -> None:
    """Add columns of the morphology table by object id; NaN where it has no such object."""
    found = {"object_id": "object_id", **extra}
    ids = table["object_id"]

    def some(start: int) -> Table:
        wanted = ", ".join(str(i) for i in ids[start : start + _IDS].tolist())
        return _ask(
            services,
            f"SELECT {', '.join(found.values())} FROM {services.morphology} WHERE object_id IN ({wanted})",
        )

    parts = _side_by_side(some, range(0, len(ids), _IDS), None)
    raw = {n: np.concatenate([p[n] for p in parts]) for n in found.values()}
    other = normalised(f"{services.tap} table {services.morphology}", found, raw)
    for c in extra:
        table[c] = column_for(ids, other, c)


def mosaics_near(
    services: IrsaServices,
    ra: np.ndarray,
    dec: np.ndarray,
    bands: Iterable[str],
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> list[Mosaics]:
    """Tiles whose mosaics cover positions (degrees), by number.

    Raises
    ------
    InputError
        If the service can't be reached or complains, or its answer is cut short or lacks a column.
    """
    wanted = frozenset(bands)
    report = progress or silent
    tiles: dict[int, Mosaics] = {}
    for i, (a, d) in enumerate(zip(ra.tolist(), dec.tolist(), strict=True)):
        if not any(_degrees(a, d, t.ra, t.dec) < SAME_TILE_DEG for t in tiles.values()):
            for t in _tiles_at(services, a, d, wanted, options):
                tiles.setdefault(t.files.tile, t)
        report(i + 1, len(ra), "mosaics")
    return [tiles[n] for n in sorted(tiles)]


def _degrees(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    v = unit_vectors(np.array([ra, other_ra]), np.array([dec, other_dec]))
    return float(np.degrees(2 * np.arcsin(np.linalg.norm(v[0] - v[1]) / 2)))


def _tiles_at(
    services: IrsaServices, ra: float, dec: float, bands: frozenset[str], options: Mapping[str, Any] | None
) -> list[Mosaics]:
    from pyvo.dal.sia2 import SIA2Service

    def search() -> Any:
        service = SIA2Service(services.sia, session=_session(services), check_baseurl=False)
        return service.search(pos=(ra, dec, 1 / 3600), collection=services.collection, maxrec=MAXREC)

    rows = _answer(services.sia, search)
    for c in ("access_url", "s_ra", "s_dec"):
        if c not in rows:
            msg = f"{services.sia} lists images without {c}; it has {', '.join(sorted(rows)) or 'nothing'}"
            raise InputError(msg)
    files: dict[int, list[RemoteFile]] = {}
    centre: dict[int, tuple[float, float]] = {}
    for k in range(len(rows["access_url"])):
        url = _url(services, rows, k)
        file = RemoteFile(url, options=options or {})
        found = mosaic_of(file.name)
        if found is None or found[0] not in bands:
            continue
        parts = url.split("?")[0].split("/")
        place = f"MER/{found[1]}/{parts[-2]}/{parts[-1]}"
        files.setdefault(found[1], []).append(RemoteFile(url, place, None, options or {}))
        centre.setdefault(found[1], (float(rows["s_ra"][k]), float(rows["s_dec"][k])))
    return [
        Mosaics(TileFiles(tile=n, catalogue=services.tap, bands=bands_of(n, f)), *centre[n])
        for n, f in files.items()
    ]


def _url(services: IrsaServices, rows: Table, k: int) -> str:
    """Address of an image: the archive's own, or that of the copy in object storage."""
    if services.images == "cloud" and "cloud_access" in rows:
        try:
            aws = json.loads(str(rows["cloud_access"][k]))["aws"]
            return f"s3://{aws['bucket_name']}/{aws['key']}"
        except (ValueError, KeyError, TypeError):
            pass
    return str(rows["access_url"][k])


def _columns(services: IrsaServices, table: str) -> tuple[str, ...]:
    """Names of the columns of a table of the service."""
    query = f"SELECT column_name FROM TAP_SCHEMA.columns WHERE table_name = '{table}'"
    names = tuple(str(n).strip().strip('"') for n in _ask(services, query).get("column_name", ()))
    if not names:
        msg = f"{services.tap} has no table {table}; see its list of tables, and set irsa.catalogue"
        raise InputError(msg)
    return names


def _ask(services: IrsaServices, query: str) -> Table:
    from pyvo.dal import TAPService

    def search() -> Any:
        return TAPService(services.tap, session=_session(services)).run_sync(query, maxrec=MAXREC)

    return _answer(services.tap, search)


def _session(services: IrsaServices) -> Any:
    import requests

    class Patient(requests.Session):  # type: ignore[misc]
        """A session whose requests end."""

        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **{"timeout": services.timeout, **kwargs})

    return Patient()


def _answer(url: str, search: Callable[[], Any]) -> Table:
    """Columns of a service's answer; its complaints, and the network's, in one sentence."""
    from pyvo.dal import DALQueryError, DALServiceError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = search()
        columns = votable_columns(url, result.votable)
    except DALQueryError as e:
        msg = f"{url} refuses the query: {short(e)}"
        raise InputError(msg) from None
    except DALServiceError as e:
        msg = f"{url} does not answer ({short(e)}); check the address and the network, and try again"
        raise InputError(msg) from None
    except InputError:
        raise
    except Exception as e:
        msg = f"{url} sends no table ({type(e).__name__}: {short(e)}); check the address, and try again"
        raise InputError(msg) from None
    rows = max((len(v) for v in columns.values()), default=0)
    if rows >= MAXREC:
        msg = f"{url} has {MAXREC} rows or more for one query, so some are cut off; use a smaller radius"
        raise InputError(msg)
    return columns


def _side_by_side(work: Callable[[int], Table], items: range, progress: Progress | None) -> list[Table]:
    """Results of queries in the order of the items, a few queries at a time."""
    report, done = progress or silent, []
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for result in pool.map(work, items):
            done.append(result)
            report(len(done), len(items), "catalogue")
    return done
