"""Files behind URLs: object storage, web servers, anything that ``fsspec`` reaches.

Every error of the network becomes one sentence that names the URL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.files import written_aside

__all__ = ["Place", "RemoteFile", "copy_file", "is_remote", "open_system", "read_bytes", "short"]

_CHUNK = 1 << 22


@dataclass(frozen=True)
class RemoteFile:
    """A file behind a URL, read through ``fsspec``."""

    url: str
    place: str = ""
    """Path under the root of its sky, where a copy goes."""
    size: int | None = None
    """Bytes; None if unknown."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the file system."""

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return self.url.split("?")[0].rstrip("/").rsplit("/", 1)[-1]


Place = Path | RemoteFile
"""Where a file is: here or behind a URL."""


def is_remote(source: str) -> bool:
    """Whether a source is a URL rather than a path."""
    return "://" in source and not source.startswith("file://")


def open_system(url: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """File system of a URL and the path in it; ``s3://`` is read anonymously unless `options` say otherwise.

    Raises
    ------
    InputError
        If the package that reads such URLs is missing, or there is none.
    """
    try:
        import fsspec
    except ImportError as e:
        msg = f"{url}: reading remote files needs fsspec and s3fs: pip install 'euclidfm[remote]'"
        raise InputError(msg) from e
    options = {"anon": True, **(options or {})} if url.startswith("s3://") else dict(options or {})
    try:
        system, root = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as e:
        msg = f"{url} can't be opened: {e}; pip install 'euclidfm[remote]' or another address"
        raise InputError(msg) from e
    return system, str(root).rstrip("/")


def read_bytes(url: str, options: Mapping[str, Any] | None = None) -> bytes | None:
    """All of a small file; None if there is no such file."""
    system, path = open_system(url, options)
    try:
        return bytes(system.cat_file(path))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    except Exception as e:
        msg = f"{url} can't be read ({type(e).__name__}: {short(e)}); check the address and the network"
        raise InputError(msg) from e


def copy_file(system: Any, remote: str, url: str, here: Path, size: int | None) -> None:
    """Copy one file aside, check its size, give it its name.

    Raises
    ------
    InputError
        If it does not arrive whole; nothing half-written is left.
    """
    with written_aside(here) as aside:
        with aside.open("wb") as out:
            _stream(system, remote, url, out.write)
        got = aside.stat().st_size
        if size is not None and got != size:
            msg = f"{url} arrived with {got} of {size} bytes; run the same command again to fetch the rest"
            raise InputError(msg)


def _stream(system: Any, remote: str, url: str, write: Callable[[bytes], Any]) -> None:
    try:
        with system.open(remote, "rb", block_size=_CHUNK) as source:
            while chunk := source.read(_CHUNK):
                write(chunk)
    except InputError:
        raise
    except FileNotFoundError as e:
        msg = f"{url} does not exist; check the address"
        raise InputError(msg) from e
    except OSError as e:
        if e.errno is not None and not isinstance(e, ConnectionError):
            raise  # the disk's own trouble, which ingest explains
        msg = f"{url} broke off ({short(e)}); run the same command again to go on"
        raise InputError(msg) from e
    except Exception as e:
        msg = f"{url} broke off ({type(e).__name__}: {short(e)}); run the same command again to go on"
        raise InputError(msg) from e


def short(e: BaseException) -> str:
    """Message of an error, in one short line."""
    return " ".join(str(e).split())[:120]
