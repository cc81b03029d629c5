"""Start of the server."""

from __future__ import annotations

import socket
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from euclidfm.core.errors import InputError
from euclidfm.core.progress import bar
from euclidfm.explore.guard import check_address
from euclidfm.explore.maps import MapKind

__all__ = ["ExploreConfig", "explore"]


@dataclass(frozen=True, kw_only=True)
class ExploreConfig:
    """Settings of the server."""

    host: str = "127.0.0.1"
    """Address to bind to. An address that other machines can reach needs a token."""
    port: int = 8765
    """Port to bind to; 0 chooses a free one."""
    token: str | None = None
    """Secret that the browser must give once, at least 16 characters."""
    browser: bool = True
    """Open the page in a browser."""
    map: MapKind = "auto"
    """Method of the map: umap, pca, or auto (UMAP up to 100 000 galaxies)."""


def explore(folder: Path, config: ExploreConfig) -> None:
    """Serve a run until the program is stopped.

    Raises
    ------
    InputError
        If the folder holds no run, the address is in use, the address needs a token, or the packages of the
        extra are not installed.
    """
    try:
        import uvicorn

        from euclidfm.explore.app import create_app
        from euclidfm.explore.connections import TimedProtocol
    except ImportError as e:
        msg = f"the explorer needs {e.name}; install it with `pip install euclidfm[explore]`"
        raise InputError(msg) from None
    from euclidfm.explore.run import RunData

    check_address(config.host, config.token)
    with _bound(config.host, config.port) as listening:
        with bar("map") as progress:
            run = RunData(folder, config.map, progress)
        shown = f"[{config.host}]" if ":" in config.host else config.host
        url = f"http://{shown}:{listening.getsockname()[1]}/"
        url += f"?token={config.token}" if config.token else ""
        for part in run.missing():
            print(f"no {part['what']}; make it with: {part['command']}", flush=True)
        print(f"{folder}: {len(run)} galaxies at {url} (Ctrl-C stops)", flush=True)
        app = create_app(run, config.host, config.token)
        listening.listen(128)  # before the browser connects
        if config.browser:
            webbrowser.open(url)
        settings = uvicorn.Config(
            app,
            http=TimedProtocol,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
        )
        uvicorn.Server(settings).run(sockets=[listening])


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    out = socket.socket(family, socket.SOCK_STREAM)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        out.bind((host, port))
    except OSError as e:
        out.close()
        msg = f"can't listen on {host} port {port} ({e.strerror}); choose another with --port, 0 for any"
        raise InputError(msg) from None
    return out
