"""Queries of virtual-observatory services: TAP for tables, SIA for images.

Services truncate long results, often silently. Each query therefore sets a row limit below the limit of the
service. A result that reaches this limit is an error.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, silent
from euclidfm.ingest.catalogue.formats import Table, votable_columns
from euclidfm.ingest.config import IrsaServices
from euclidfm.ingest.files import short

__all__ = ["images_at", "in_parallel", "need_pyvo", "table_columns", "tap_query"]

MAXREC = 1000
"""Row limit of a query; services cut at 2000 by default."""

PARALLEL = 4
"""Queries that run at once."""


def need_pyvo() -> None:
    """Check that ``pyvo`` is installed.

    Raises
    ------
    InputError
        If it is not.
    """
    try:
        import pyvo  # noqa: F401
    except ImportError as e:
        msg = "the source irsa needs pyvo: pip install 'euclidfm[archive]'"
        raise InputError(msg) from e


def tap_query(services: IrsaServices, query: str) -> Table:
    """Result of an ADQL query.

    Raises
    ------
    InputError
        If the service can't be reached, refuses the query, or truncates the result.
    """
    from pyvo.dal import TAPService

    def search() -> Any:
        return TAPService(services.tap, session=_session(services)).run_sync(query, maxrec=MAXREC)

    return _answer(services.tap, search)


def table_columns(services: IrsaServices, table: str) -> tuple[str, ...]:
    """Names of the columns of a table of the TAP service.

    Raises
    ------
    InputError
        If there is no such table, or as of `tap_query`.
    """
    query = f"SELECT column_name FROM TAP_SCHEMA.columns WHERE table_name = '{table}'"
    names = tuple(str(n).strip().strip('"') for n in tap_query(services, query).get("column_name", ()))
    if not names:
        msg = f"{services.tap} has no table {table}; see its list of tables, and set irsa.catalogue"
        raise InputError(msg)
    return names


def images_at(services: IrsaServices, ra: float, dec: float) -> Table:
    """Images of the collection that cover a position (degrees).

    Raises
    ------
    InputError
        If the result lacks a column, or for the reasons given in `tap_query`.
    """
    from pyvo.dal.sia2 import SIA2Service

    def search() -> Any:
        service = SIA2Service(services.sia, session=_session(services), check_baseurl=False)
        return service.search(pos=(ra, dec, 1 / 3600), collection=services.collection, maxrec=MAXREC)

    rows = _answer(services.sia, search)
    for c in ("access_url", "s_ra", "s_dec"):
        if c not in rows:
            msg = f"{services.sia} lists images without {c}; it has {', '.join(sorted(rows)) or 'nothing'}"
            raise InputError(msg)
    return rows


def in_parallel(query: Callable[[int], Table], items: range, progress: Progress | None = None) -> list[Table]:
    """Results of the queries of `items`, in their order, a few at a time."""
    report, done = progress or silent, []
    with ThreadPoolExecutor(PARALLEL) as pool:
        for result in pool.map(query, items):
            done.append(result)
            report(len(done), len(items), "catalogue")
    return done


def _session(services: IrsaServices) -> Any:
    import requests

    class Session(requests.Session):  # type: ignore[misc]
        """A session whose requests time out."""

        def request(self, *args: Any, **kwargs: Any) -> Any:
            return super().request(*args, **{"timeout": services.timeout, **kwargs})

    return Session()


def _answer(url: str, search: Callable[[], Any]) -> Table:
    """Columns of a service's result. Errors of the service or the network become one sentence."""
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
