"""The HTTP routes of the page.

The server never opens a file by a path that a client sends.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from euclidfm.core.errors import InputError
from euclidfm.explore import export, galaxy, ranking
from euclidfm.explore.guard import Guard
from euclidfm.explore.run import RunData
from euclidfm.explore.surprisal import SurprisalMaps

__all__ = ["create_app"]

MEDIA = {
    "html": "text/html; charset=utf-8",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


def create_app(run: RunData, host: str = "127.0.0.1", token: str | None = None) -> Guard:
    """Create the application that serves a run.

    Parameters
    ----------
    run : RunData
    host : str
        Address that the server binds to. It determines the accepted Host headers.
    token : str, optional
        Secret that every request needs.

    Returns
    -------
    Guard
        The ASGI application, behind its access control.
    """
    app = FastAPI(title="euclidfm explore", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(InputError)
    def _refuse(request: Request, e: InputError) -> JSONResponse:
        return JSONResponse({"detail": str(e)}, 422)

    _page_routes(app)
    surprise = SurprisalMaps(run)
    _table_routes(app, run, surprise)
    _galaxy_routes(app, run, surprise)
    _selection_routes(app, run)
    return Guard(app, host, token)


def _page_routes(app: FastAPI) -> None:
    folder = resources.files("euclidfm.explore") / "static"
    files = {f.name: f.read_bytes() for f in folder.iterdir() if f.is_file()}

    def serve(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "no such part of the page")
        return Response(
            files[name], media_type=MEDIA.get(name.rpartition(".")[2], "application/octet-stream")
        )

    @app.get("/")
    def _index() -> Response:
        return serve("index.html")

    @app.get("/static/{name}")
    def _static(name: str) -> Response:
        return serve(name)


def _table_routes(app: FastAPI, run: RunData, surprise: SurprisalMaps) -> None:
    planes = {"map": run.map, "sky": run.sky}

    @app.get("/api/run")
    def _run() -> dict[str, Any]:
        return {
            "name": run.folder.path.name,
            "galaxies": len(run),
            "map": run.map_kind,
            "sky": run.sky_centre,
            "columns": [run.columns.describe(n) for n in run.columns.names],
            "spaces": run.spaces,
            "outliers": run.outliers is not None,
            "surprise": surprise.modalities(),
            "missing": run.missing(),
        }

    @app.get("/api/plane/{name}")
    def _plane(name: str) -> Response:
        points = planes.get(name)
        if points is None:
            raise HTTPException(404, "this run has no such view")
        return _binary(points.T)  # all x, then all y

    @app.get("/api/column/{name:path}")
    def _column(name: str) -> Response:
        _known(run, name)
        return _binary(run.columns.numbers(name))

    @app.get("/api/categories/{name:path}")
    def _categories(name: str) -> list[str]:
        _known(run, name)
        if run.columns.describe(name)["kind"] != "category":
            raise HTTPException(404, "this column holds numbers, not categories")
        return run.columns.categories(name)

    @app.get("/api/search")
    def _search(q: str = Query(max_length=200)) -> dict[str, Any]:
        return galaxy.find(run, q)


def _galaxy_routes(app: FastAPI, run: RunData, surprise: SurprisalMaps) -> None:
    @app.get("/api/row/{row}")
    def _row(row: int) -> dict[str, Any]:
        if not 0 <= row < len(run):
            raise HTTPException(404, "no such galaxy")
        return {"id": str(run.ids[row])}

    @app.get("/api/galaxy/{object_id}")
    def _galaxy(object_id: int) -> dict[str, Any]:
        return galaxy.describe(run, _row_of(run, object_id))

    @app.get("/api/galaxy/{object_id}/neighbours")
    def _neighbours(
        object_id: int, k: int = Query(12, ge=1, le=100), space: str = Query("joint", max_length=60)
    ) -> list[dict[str, Any]]:
        return galaxy.neighbours(run, _row_of(run, object_id), k, space)

    @app.get("/api/galaxy/{object_id}/picture/{name:path}.png")
    def _picture(
        object_id: int,
        name: str,
        stretch: float = Query(1.0, ge=0.01, le=1000),
        softening: float = Query(3.0, ge=0.01, le=1000),
    ) -> Response:
        row = _row_of(run, object_id)
        try:
            return _png(galaxy.png(galaxy.picture(run, row, name, stretch, softening)))
        except KeyError:
            raise HTTPException(404, "this galaxy has no such picture") from None

    @app.get("/api/galaxy/{object_id}/thumbnail.png")
    def _thumbnail(object_id: int) -> Response:
        return _png(galaxy.png(galaxy.thumbnail(run, _row_of(run, object_id))))

    @app.get("/api/galaxy/{object_id}/surprise/{name:path}.png")
    def _surprise(object_id: int, name: str) -> Response:
        row = _row_of(run, object_id)
        try:
            return _png(galaxy.png(surprise.picture(row, name)))
        except KeyError:
            raise HTTPException(404, "this galaxy has no such picture") from None

    @app.get("/api/outliers")
    def _outliers(top: int = Query(100, ge=1, le=5000)) -> list[dict[str, Any]]:
        return ranking.outlier_list(run, top)

    @app.post("/api/galaxy/{object_id}/rating/{verdict}")
    def _rate(object_id: int, verdict: str) -> dict[str, str]:
        ranking.rate(run, _row_of(run, object_id), verdict)
        return {"rated": verdict}


def _selection_routes(app: FastAPI, run: RunData) -> None:
    @app.post("/api/export/{kind}")
    async def _export(kind: str, request: Request) -> Response:
        if kind not in export.FORMATS:
            raise HTTPException(404, f"a selection is exported as {', '.join(export.FORMATS)}")
        rows = _rows(await request.body())
        body = await run_in_threadpool(lambda: export.as_bytes(export.selected(run, rows), kind))
        name = f'attachment; filename="selection.{export.SUFFIXES[kind]}"'
        return Response(body, media_type=export.FORMATS[kind], headers={"content-disposition": name})

    @app.post("/api/samp/{receiver}")
    async def _samp(receiver: str, request: Request) -> dict[str, list[str]]:
        if receiver not in export.RECEIVERS:
            raise HTTPException(404, f"a selection is sent to {', '.join(export.RECEIVERS)}")
        rows = _rows(await request.body())
        folder = run.folder.explore
        return {
            "sent": await run_in_threadpool(lambda: export.send(export.selected(run, rows), receiver, folder))
        }


def _rows(body: bytes) -> np.ndarray:
    """Decode the row numbers of a selection, sent as little-endian unsigned 32-bit integers."""
    if len(body) % 4:
        msg = "a selection is sent as 32-bit row numbers; this is not a whole number of them"
        raise InputError(msg)
    return np.frombuffer(body, "<u4").astype(np.int64)


def _row_of(run: RunData, object_id: int) -> int:
    try:
        return run.row(object_id)
    except KeyError:
        raise HTTPException(404, f"no galaxy of this run has the id {object_id}") from None


def _known(run: RunData, name: str) -> None:
    if name not in run.columns.names:
        raise HTTPException(404, "this run has no such column")


def _binary(values: np.ndarray) -> Response:
    return Response(np.ascontiguousarray(values, "<f4").tobytes(), media_type="application/octet-stream")


def _png(data: bytes) -> Response:
    return Response(data, media_type="image/png", headers={"cache-control": "private, max-age=600"})
