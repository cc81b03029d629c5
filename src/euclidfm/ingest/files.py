"""Files on disk and behind URLs (anything that ``fsspec`` reaches), and their errors as one sentence each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from euclidfm.core.errors import InputError
from euclidfm.core.progress import Progress, bar, silent

__all__ = [
    "Place",
    "RemoteFile",
    "copy_file",
    "decompressed",
    "fetch_bar",
    "is_compressed",
    "is_remote",
    "no_permission",
    "open_system",
    "read_bytes",
    "readable",
    "short",
]

_CHUNK = 1 << 22
"""Bytes that are copied at a time."""


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
"""A file on disk or behind a URL."""


def is_remote(source: str) -> bool:
    """Whether a source is a URL rather than a path."""
    return "://" in source and not source.startswith("file://")


def short(e: BaseException) -> str:
    """Message of an error, on one line of at most 120 characters."""
    return " ".join(str(e).split())[:120]


def no_permission(path: object) -> InputError:
    """Error for a file on disk that may not be read."""
    return InputError(f"{path} can't be read: permission denied; give yourself read permission (chmod u+r)")


@contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Turn the errors of reading a file on disk into one sentence.

    Parameters
    ----------
    path : Path
    what : str
        Kind of file, such as ``"FITS"``.

    Raises
    ------
    InputError
        If the file is missing, may not be read, or is damaged.
    """
    try:
        yield
    except InputError:
        raise
    except PermissionError:
        raise no_permission(path) from None
    except FileNotFoundError:
        msg = f"{path} does not exist"
        raise InputError(msg) from None
    except (OSError, TypeError, EOFError, KeyError, ValueError, IndexError, UserWarning) as e:
        cut = isinstance(e, EOFError) or any(w in str(e).lower() for w in _CUT_SHORT)
        advice = "it may be truncated: download it again" if cut else "check how it was written"
        msg = f"{path} is not a readable {what} file ({short(e)}); {advice}"
        raise InputError(msg) from None


_CUT_SHORT = ("truncat", "end card", "empty", "corrupt", "unexpected end", "eof", "end-of-stream", "smaller")
"""What readers say of a file that ends too early."""

_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "lzma"}
"""First bytes of compressed files, and the module that reads them."""


def _packing(path: Path) -> str | None:
    with path.open("rb") as f:
        head = f.read(6)
    return next((module for magic, module in _PACKED.items() if head.startswith(magic)), None)


def is_compressed(path: Path) -> bool:
    """Whether a file on disk is compressed as a whole (gzip, bzip2, xz), by its first bytes."""
    return _packing(path) is not None


def decompressed(path: Path) -> bytes:
    """All bytes of a file, decompressed if it is compressed as a whole."""
    import importlib

    module = _packing(path)
    if module is None:
        return path.read_bytes()
    with importlib.import_module(module).open(path, "rb") as f:
        return bytes(f.read())


@contextmanager
def fetch_bar(quiet: bool, unit: str = "MB") -> Iterator[Progress]:
    """Progress bar of the files being fetched; none if `quiet`."""
    with nullcontext(silent) if quiet else bar("fetch", unit) as progress:
        yield progress


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
        msg = f"{url} can't be opened: {e}; pip install 'euclidfm[remote]' or give another address"
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


def copy_file(system: Any, remote: str, url: str, copy: Path, size: int | None) -> None:
    """Copy one remote file under a temporary name, check its size, rename it.

    Raises
    ------
    InputError
        If it does not arrive complete; no partial file is left.
    """
    copy.parent.mkdir(parents=True, exist_ok=True)
    partial = copy.with_name(f".{copy.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as out:
            _stream(system, remote, url, out.write)
        got = partial.stat().st_size
        if size is not None and got != size:
            msg = f"{url} arrived with {got} of {size} bytes; run the same command again to fetch the rest"
            raise InputError(msg)
        partial.replace(copy)
    finally:
        partial.unlink(missing_ok=True)


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
    except Exception as e:
        local_disk = isinstance(e, OSError) and e.errno is not None and not isinstance(e, ConnectionError)
        if local_disk:
            raise  # `pipeline.ingest` explains a full disk
        msg = f"{url} broke off ({type(e).__name__}: {short(e)}); run the same command again to go on"
        raise InputError(msg) from e
